#include "shape.h"

#include <string.h>

/* The head of an element; its vertices follow. A vertex has two cells, that of a line two more: the offset from its
 * centre to its edge for the piece that begins there. */
enum {
    HEAD_CODE, /* KIND_DISC, KIND_POLYGON, KIND_LINE or KIND_ALL, * 4 + mode */
    HEAD_TOP,  /* the lines that it may touch */
    HEAD_BOTTOM,
    HEAD_RADIUS, /* of a disc, or half the width of a line */
    HEAD_INNER,  /* radius of the hole of a ring, or negative */
    HEAD_COUNT,  /* vertices */
    HEAD_CELLS,
};

enum {
    LINES = 16 * DRAW_SIZE, /* sixteenths of a pixel down the display */
    FULL = 32, /* parts of a pixel: four lines of eight, as many shades as RGB565 has */
    MAX_PIECES = 24,    /* of one curve */
    MAX_CROSSINGS = 32, /* of a polygon's edges with one line; what exceeds it is not drawn */
};

/* sin(i * 90 degrees / 64) * 16384, as in art/trig.go. */
static const int16_t sines[65] = {
    0,     402,   804,   1205,  1606,  2006,  2404,  2801,  3196,  3590,  3981,  4370,  4756,
    5139,  5520,  5897,  6270,  6639,  7005,  7366,  7723,  8076,  8423,  8765,  9102,  9434,
    9760,  10080, 10394, 10702, 11003, 11297, 11585, 11866, 12140, 12406, 12665, 12916, 13160,
    13395, 13623, 13842, 14053, 14256, 14449, 14635, 14811, 14978, 15137, 15286, 15426, 15557,
    15679, 15791, 15893, 15986, 16069, 16143, 16207, 16261, 16305, 16340, 16364, 16379, 16384,
};

static int32_t sine(int32_t angle)
{
    int32_t a = angle & (DRAW_TURN - 1);
    int32_t quarter = a >> 14;
    int32_t rest = a & 0x3fff;
    if (quarter & 1) {
        rest = 0x4000 - rest;
    }
    int32_t i = rest >> 8;
    int32_t f = rest & 0xff;
    int32_t v = sines[i];
    if (f != 0) {
        v += ((sines[i + 1] - v) * f) >> 8;
    }
    return quarter >= 2 ? -v : v;
}

static int32_t cosine(int32_t angle)
{
    return sine(angle + DRAW_TURN / 4);
}

/* The integer part of the square root. */
static int32_t root(uint32_t v)
{
    uint32_t bit = (uint32_t)1 << 30;
    uint32_t r = 0;
    while (bit > v) {
        bit >>= 2;
    }
    for (; bit != 0; bit >>= 2) {
        if (v >= r + bit) {
            v -= r + bit;
            r = (r >> 1) + bit;
        } else {
            r >>= 1;
        }
    }
    return (int32_t)r;
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static int32_t distance(int32_t v)
{
    return v < 0 ? -v : v;
}

static int32_t square_sum(int32_t dx, int32_t dy)
{
    return root((uint32_t)(dx * dx) + (uint32_t)(dy * dy));
}

static struct point point_at(int32_t x, int32_t y)
{
    return (struct point){.x = (int16_t)x, .y = (int16_t)y};
}

/* A builder appends the vertices of one element. */
struct builder {
    struct shape *shape;
    int16_t *head;
    uint16_t stride;
    bool full;
};

static struct builder begin(struct shape *shape, uint8_t kind, uint8_t mode)
{
    struct builder b = {.shape = shape, .stride = kind == KIND_LINE ? 4 : 2};
    if (shape->used + HEAD_CELLS > SHAPE_CELLS) {
        b.full = true;
        return b;
    }
    b.head = &shape->cells[shape->used];
    shape->used = (uint16_t)(shape->used + HEAD_CELLS);
    memset(b.head, 0, HEAD_CELLS * sizeof *b.head);
    b.head[HEAD_CODE] = (int16_t)(kind * 4 + mode);
    b.head[HEAD_BOTTOM] = LINES;
    return b;
}

static void emit(struct builder *b, struct point p)
{
    if (b->full || b->shape->used + b->stride > SHAPE_CELLS) {
        b->full = true;
        return;
    }
    int16_t *cell = &b->shape->cells[b->shape->used];
    memset(cell, 0, b->stride * sizeof *cell);
    cell[0] = p.x;
    cell[1] = p.y;
    b->shape->used = (uint16_t)(b->shape->used + b->stride);
    b->head[HEAD_COUNT]++;
}

/* The offset from the middle of a line to its edge, for the piece from p to q. */
static void set_offset(int16_t *p, const int16_t *q, int32_t length)
{
    int32_t dx = q[0] - p[0];
    int32_t dy = q[1] - p[1];
    uint32_t square = (uint32_t)(dx * dx) + (uint32_t)(dy * dy);
    if (square < (uint32_t)1 << 22) {
        square <<= 8;
        length *= 16;
    }
    if (square != 0) {
        int32_t r = root(square);
        p[2] = (int16_t)(-dy * length / r);
        p[3] = (int16_t)(dx * length / r);
    }
}

/* finish completes a polygon or a line. */
static bool finish(struct builder *b, int32_t half_width)
{
    if (b->full) {
        return false;
    }
    int16_t *vertex = b->head + HEAD_CELLS;
    int32_t top = vertex[1];
    int32_t bottom = vertex[1];
    for (int32_t i = 0; i < b->head[HEAD_COUNT]; i++, vertex += b->stride) {
        top = least(top, vertex[1]);
        bottom = most(bottom, vertex[1]);
        if (b->stride == 4 && i + 1 < b->head[HEAD_COUNT]) {
            set_offset(vertex, vertex + 4, half_width);
        }
    }
    b->head[HEAD_TOP] = (int16_t)(top - half_width);
    b->head[HEAD_BOTTOM] = (int16_t)(bottom + half_width);
    b->head[HEAD_RADIUS] = (int16_t)half_width;
    return true;
}

bool shape_all(struct shape *shape, uint8_t mode)
{
    return !begin(shape, KIND_ALL, mode).full;
}

bool shape_disc(struct shape *shape, uint8_t mode, struct point centre, int32_t radius, int32_t inner)
{
    struct builder b = begin(shape, KIND_DISC, mode);
    emit(&b, centre);
    if (b.full) {
        return false;
    }
    b.head[HEAD_TOP] = (int16_t)(centre.y - radius);
    b.head[HEAD_BOTTOM] = (int16_t)(centre.y + radius);
    b.head[HEAD_RADIUS] = (int16_t)radius;
    b.head[HEAD_INNER] = (int16_t)inner;
    return true;
}

bool shape_arc(struct shape *shape, uint8_t mode, struct point centre, int32_t radius, int32_t half_width,
               int32_t from, int32_t sweep)
{
    struct builder b = begin(shape, KIND_LINE, mode);
    int32_t pieces = 1 + sweep * least(16 + radius / 16, 96) / DRAW_TURN;
    for (int32_t i = 0; i <= pieces; i++) {
        int32_t angle = from + sweep * i / pieces;
        emit(&b, point_at(centre.x + ((radius * sine(angle) + 8192) >> 14),
                          centre.y - ((radius * cosine(angle) + 8192) >> 14)));
    }
    return finish(&b, half_width);
}

bool shape_ellipse(struct shape *shape, uint8_t mode, struct point centre, int32_t across, int32_t down,
                   int32_t tilt)
{
    struct builder b = begin(shape, KIND_POLYGON, mode);
    int32_t n = least(16 + most(across, down) / 32, 72);
    int32_t s = sine(tilt);
    int32_t c = cosine(tilt);
    for (int32_t i = 0; i < n; i++) {
        int32_t x = (across * sine(i * DRAW_TURN / n)) >> 14;
        int32_t y = (-down * cosine(i * DRAW_TURN / n)) >> 14;
        emit(&b, point_at(centre.x + ((x * c - y * s) >> 14), centre.y + ((x * s + y * c) >> 14)));
    }
    return finish(&b, 0);
}

/* emit_bezier appends the curve from p, which is there already, to q. The further it bends, the more pieces it has. */
static void emit_bezier(struct builder *b, struct point p, struct point cp, struct point cq, struct point q)
{
    int32_t bend = most(most(distance(p.x - 2 * cp.x + cq.x), distance(p.y - 2 * cp.y + cq.y)),
                        most(distance(cp.x - 2 * cq.x + q.x), distance(cp.y - 2 * cq.y + q.y)));
    int32_t n = least(1 + root((uint32_t)(bend * 3 / 8)), MAX_PIECES);
    for (int32_t k = 1; k <= n; k++) {
        int32_t j = n - k;
        int32_t wp = j * j * j;
        int32_t wcp = 3 * j * j * k;
        int32_t wcq = 3 * j * k * k;
        int32_t wq = k * k * k;
        emit(b, point_at((p.x * wp + cp.x * wcp + cq.x * wcq + q.x * wq) / (n * n * n),
                         (p.y * wp + cp.y * wcp + cq.y * wcq + q.y * wq) / (n * n * n)));
    }
}

/* toward returns the point on the way from p to q at the distance, but not past q, nor past the middle unless all of
 * the way may be taken. */
static struct point toward(struct point p, struct point q, int32_t far, bool whole)
{
    int32_t dx = q.x - p.x;
    int32_t dy = q.y - p.y;
    int32_t length = square_sum(dx, dy);
    far = least(far, whole ? length : length / 2);
    if (length == 0) {
        return p;
    }
    return point_at(p.x + dx * far / length, p.y + dy * far / length);
}

/* emit_bent rounds each corner with a curve that for a right angle is a quarter of a circle, of the radius or of what
 * the sides have room for. */
static void emit_bent(struct builder *b, const struct point *corners, int32_t n, int32_t radius, bool closed)
{
    for (int32_t i = 0; i < n; i++) {
        struct point p = corners[i];
        if (!closed && (i == 0 || i == n - 1)) {
            emit(b, p);
            continue;
        }
        struct point from = toward(p, corners[(i + n - 1) % n], radius, !closed && i == 1);
        struct point to = toward(p, corners[(i + 1) % n], radius, !closed && i == n - 2);
        /* A quarter of a circle has its control points 0.55 of the way to the corner. */
        struct point cp = point_at(from.x + (p.x - from.x) * 141 / 256, from.y + (p.y - from.y) * 141 / 256);
        struct point cq = point_at(to.x + (p.x - to.x) * 141 / 256, to.y + (p.y - to.y) * 141 / 256);
        emit(b, from);
        emit_bezier(b, from, cp, cq, to);
    }
}

/* emit_smooth is a Catmull-Rom curve. An open one goes on at its ends as straight as it can. */
static void emit_smooth(struct builder *b, const struct point *through, int32_t n, bool closed)
{
    if (!closed) {
        emit(b, through[0]);
    }
    for (int32_t i = 0; i < (closed ? n : n - 1); i++) {
        struct point p = through[i];
        struct point q = through[(i + 1) % n];
        int32_t ox = through[(i + n - 1) % n].x;
        int32_t oy = through[(i + n - 1) % n].y;
        int32_t rx = through[(i + 2) % n].x;
        int32_t ry = through[(i + 2) % n].y;
        if (!closed && i == 0) {
            ox = 2 * p.x - q.x;
            oy = 2 * p.y - q.y;
        }
        if (!closed && i == n - 2) {
            rx = 2 * q.x - p.x;
            ry = 2 * q.y - p.y;
        }
        struct point cp = point_at(p.x + (q.x - ox) / 6, p.y + (q.y - oy) / 6);
        struct point cq = point_at(q.x - (rx - p.x) / 6, q.y - (ry - p.y) / 6);
        emit_bezier(b, p, cp, cq, q);
    }
}

struct path shape_path_of(uint8_t kind)
{
    static const struct path paths[] = {
        {.how = PATH_STRAIGHT, .closed = true, .least = 3},
        {.how = PATH_STRAIGHT, .line = true, .least = 1},
        {.how = PATH_BENT, .closed = true, .least = 3},
        {.how = PATH_BENT, .line = true, .least = 2},
        {.how = PATH_BENT, .line = true, .closed = true, .least = 3},
        {.how = PATH_SMOOTH, .closed = true, .least = 3},
        {.how = PATH_SMOOTH, .line = true, .least = 2},
    };
    return paths[kind - KIND_POLYGON];
}

bool shape_path(struct shape *shape, uint8_t mode, struct path path, const struct point *points, int32_t count,
                int32_t half_width, int32_t radius)
{
    struct builder b = begin(shape, path.line ? KIND_LINE : KIND_POLYGON, mode);
    if (b.full) {
        return false;
    }
    int16_t *first = b.head + HEAD_CELLS;
    if (path.how == PATH_SMOOTH) {
        emit_smooth(&b, points, count, path.closed);
    } else if (path.how == PATH_BENT && radius > 0) {
        emit_bent(&b, points, count, radius, path.closed);
    } else {
        for (int32_t i = 0; i < count; i++) {
            emit(&b, points[i]);
        }
    }
    if (path.line && path.closed && !b.full) {
        emit(&b, point_at(first[0], first[1]));
    }
    return finish(&b, path.line ? half_width : 0);
}

/* A mask holds which of the eight parts of each pixel are covered, on one line; lo and hi bound what is set. */
struct mask {
    uint8_t parts[DRAW_SIZE];
    int16_t lo;
    int16_t hi;
};

static void mask_clear(struct mask *m)
{
    if (m->lo < m->hi) {
        memset(&m->parts[m->lo], 0, (size_t)(m->hi - m->lo));
    }
    m->lo = DRAW_SIZE;
    m->hi = 0;
}

/* mask_add covers from..to. A part is covered if its centre is. */
static void mask_add(struct mask *m, int32_t from, int32_t to)
{
    int32_t a = most(from, 0) >> 1;
    int32_t b = least(to, LINES) >> 1;
    if (a >= b) {
        return;
    }
    int32_t first = a >> 3;
    int32_t last = (b - 1) >> 3;
    uint8_t head = (uint8_t)(0xff << (a & 7));
    uint8_t tail = (uint8_t)(0xff >> (7 - ((b - 1) & 7)));
    if (first == last) {
        m->parts[first] |= head & tail;
    } else {
        m->parts[first] |= head;
        memset(&m->parts[first + 1], 0xff, (size_t)(last - first - 1));
        m->parts[last] |= tail;
    }
    m->lo = (int16_t)least(m->lo, first);
    m->hi = (int16_t)most(m->hi, last + 1);
}

/* mask_join keeps in m what other has, or cuts it; four pixels at a time. */
static void mask_join(struct mask *m, const struct mask *other, bool cut)
{
    for (int32_t i = m->lo & ~3; i < m->hi; i += 4) {
        uint32_t a;
        uint32_t b;
        memcpy(&a, m->parts + i, sizeof a);
        memcpy(&b, other->parts + i, sizeof b);
        a &= cut ? ~b : b;
        memcpy(m->parts + i, &a, sizeof a);
    }
}

/* crossing finds where the edge crosses the line at y. An edge holds its upper end and not its lower one. */
static bool crossing(int32_t x0, int32_t y0, int32_t x1, int32_t y1, int32_t y, int32_t *x)
{
    if (y0 > y1) {
        int32_t swap = x0;
        x0 = x1;
        x1 = swap;
        swap = y0;
        y0 = y1;
        y1 = swap;
    }
    if (y < y0 || y >= y1) {
        return false;
    }
    *x = x0 + (y - y0) * (x1 - x0) / (y1 - y0);
    return true;
}

static void cover_disc(const int16_t *head, struct mask *m, int32_t y)
{
    int32_t radius = head[HEAD_RADIUS];
    int32_t inner = head[HEAD_INNER];
    int32_t x = head[HEAD_CELLS];
    int32_t dy = y - head[HEAD_CELLS + 1];
    int32_t half = root((uint32_t)(radius * radius - dy * dy));
    if (inner < distance(dy)) {
        mask_add(m, x - half, x + half + 1);
        return;
    }
    int32_t hole = root((uint32_t)(inner * inner - dy * dy));
    mask_add(m, x - half, x - hole);
    mask_add(m, x + hole + 1, x + half + 1);
}

static void cover_polygon(const int16_t *head, struct mask *m, int32_t y)
{
    int16_t xs[MAX_CROSSINGS];
    int32_t n = 0;
    const int16_t *p = head + HEAD_CELLS;
    const int16_t *q = p + 2 * (head[HEAD_COUNT] - 1);
    for (int32_t k = 0; k < head[HEAD_COUNT]; k++, q = p, p += 2) {
        int32_t x;
        if (n < MAX_CROSSINGS && crossing(q[0], q[1], p[0], p[1], y, &x)) {
            int32_t i = n++;
            for (; i > 0 && xs[i - 1] > x; i--) {
                xs[i] = xs[i - 1];
            }
            xs[i] = (int16_t)x;
        }
    }
    for (int32_t i = 0; i + 1 < n; i += 2) {
        mask_add(m, xs[i], xs[i + 1]);
    }
}

/* cover_line covers each piece, the hull of the discs at its two ends. */
static void cover_line(const int16_t *head, struct mask *m, int32_t y)
{
    int32_t radius = head[HEAD_RADIUS];
    int32_t pieces = most(head[HEAD_COUNT] - 1, 1);
    const int16_t *p = head + HEAD_CELLS;
    for (int32_t i = 0; i < pieces; i++, p += 4) {
        const int16_t *q = head[HEAD_COUNT] == 1 ? p : p + 4;
        if (y < least(p[1], q[1]) - radius || y > most(p[1], q[1]) + radius) {
            continue;
        }
        int32_t from = 1 << 15;
        int32_t to = -(1 << 15);
        for (const int16_t *end = p;; end = q) {
            int32_t dy = y - end[1];
            if (distance(dy) <= radius) {
                int32_t half = root((uint32_t)(radius * radius - dy * dy));
                from = least(from, end[0] - half);
                to = most(to, end[0] + half + 1);
            }
            if (end == q) {
                break;
            }
        }
        for (int32_t side = -1; side <= 1; side += 2) {
            int32_t ox = side * p[2];
            int32_t oy = side * p[3];
            int32_t x;
            if (crossing(p[0] + ox, p[1] + oy, q[0] + ox, q[1] + oy, y, &x)) {
                from = least(from, x);
                to = most(to, x);
            }
        }
        mask_add(m, from, to);
    }
}

static void cover_element(const int16_t *head, struct mask *m, int32_t y)
{
    switch (head[HEAD_CODE] >> 2) {
    case KIND_ALL:
        mask_add(m, 0, LINES);
        break;
    case KIND_DISC:
        cover_disc(head, m, y);
        break;
    case KIND_POLYGON:
        cover_polygon(head, m, y);
        break;
    default:
        cover_line(head, m, y);
        break;
    }
}

static const int16_t *next_element(const int16_t *head)
{
    int32_t stride = head[HEAD_CODE] >> 2 == KIND_LINE ? 4 : 2;
    return head + HEAD_CELLS + stride * head[HEAD_COUNT];
}

/* cover sets m to what the shape covers on the line at y. */
static void cover(const struct shape *shape, struct mask *m, struct mask *other, int32_t y)
{
    mask_clear(m);
    const int16_t *end = shape->cells + shape->used;
    for (const int16_t *head = shape->cells; head < end; head = next_element(head)) {
        bool out = y < head[HEAD_TOP] || y > head[HEAD_BOTTOM];
        int32_t mode = head[HEAD_CODE] & 3;
        if (out) {
            if (mode == MODE_KEEP) {
                mask_clear(m);
            }
            continue;
        }
        if (mode == MODE_ADD) {
            cover_element(head, m, y);
            continue;
        }
        mask_clear(other);
        cover_element(head, other, y);
        mask_join(m, other, mode == MODE_CUT);
    }
}

/* share returns how much of the other ink the middle of a pixel takes, of 256. */
static int32_t share(const struct paint *paint, int32_t column, int32_t row)
{
    int32_t x = 16 * column + 8;
    int32_t y = 16 * row + 8;
    if (paint->kind == PAINT_DOWN) {
        if (y >= paint->reach) {
            return 256;
        }
        return y <= paint->y ? 0 : (y - paint->y) * 256 / (paint->reach - paint->y);
    }
    if (paint->kind == PAINT_AROUND) {
        int32_t dx = x - paint->x;
        int32_t dy = y - paint->y;
        int32_t ring = most((paint->reach * paint->reach) >> 8, 1);
        return least((dx * dx + dy * dy) / ring, 256);
    }
    return 0;
}

/* Thresholds that hide the steps between RGB565 colours, of 256. */
static const uint8_t dither[16] = {8, 136, 40, 168, 200, 72, 232, 104, 56, 184, 24, 152, 248, 120, 216, 88};

/* channel blends one colour channel of a pixel. Weight is of 1 << 14, t and threshold of 256. */
static inline uint32_t channel(uint32_t old, uint32_t from, uint32_t to, uint32_t t, uint32_t weight,
                               uint32_t threshold)
{
    uint32_t mixed = from * (256 - t) + to * t;
    if (weight == 1 << 14) {
        return (mixed + threshold) >> 8; /* as below, but most pixels are this */
    }
    return (old * 256 * ((1 << 14) - weight) + mixed * weight + (threshold << 14)) >> 22;
}

/* blend returns what a pixel becomes that is covered to so many 32nds. */
static uint16_t blend(const struct paint *paint, uint32_t pixel, int32_t column, int32_t row, uint32_t covered)
{
    uint32_t t = 0;
    uint32_t alpha = paint->ink.alpha;
    uint32_t threshold = 128;
    if (paint->kind != PAINT_PLAIN) {
        t = (uint32_t)share(paint, column, row);
        alpha = (alpha * (256 - t) + paint->other.alpha * t) >> 8;
        threshold = dither[(row & 3) * 4 + (column & 3)];
    }
    uint32_t weight = 2 * covered * (alpha + (alpha >> 7));
    uint32_t from = paint->ink.colour;
    uint32_t to = paint->other.colour;
    uint32_t red = channel(pixel >> 11, from >> 11, to >> 11, t, weight, threshold);
    uint32_t green = channel(pixel >> 5 & 63, from >> 5 & 63, to >> 5 & 63, t, weight, threshold);
    uint32_t blue = channel(pixel & 31, from & 31, to & 31, t, weight, threshold);
    return (uint16_t)(red << 11 | green << 5 | blue);
}

/* The first column of a row that touches the round display; as many are missing on the right. */
static int32_t round_left(int32_t row)
{
    int32_t d = row - DRAW_SIZE / 2;
    if (d < 0) {
        d = -d - 1;
    }
    int32_t square = DRAW_SIZE * DRAW_SIZE / 4 - d * d;
    int32_t half = root((uint32_t)square);
    if (half * half < square) {
        half++;
    }
    return DRAW_SIZE / 2 - half;
}

/* count_parts adds the covered parts of each pixel from lo to hi, four pixels at a time. */
static void count_parts(uint8_t *covered, const uint8_t *parts, int32_t lo, int32_t hi)
{
    for (int32_t i = lo & ~3; i < hi; i += 4) {
        uint32_t four;
        uint32_t sum;
        memcpy(&four, parts + i, sizeof four);
        if (four == 0) {
            continue;
        }
        memcpy(&sum, covered + i, sizeof sum);
        four -= (four >> 1) & 0x55555555u;
        four = (four & 0x33333333u) + ((four >> 2) & 0x33333333u);
        sum += (four + (four >> 4)) & 0x0f0f0f0fu;
        memcpy(covered + i, &sum, sizeof sum);
    }
}

/* is_all reports whether the shape is the whole display. */
static bool is_all(const struct shape *shape)
{
    return shape->used == HEAD_CELLS && shape->cells[HEAD_CODE] == KIND_ALL * 4 + MODE_ADD;
}

static void paint_row(const struct shape *shape, const struct band *band, const struct paint *paint, int32_t row,
                      struct mask *m, struct mask *other)
{
    uint8_t covered[DRAW_SIZE];
    bool all = is_all(shape);
    memset(covered, all ? FULL : 0, sizeof covered);
    int32_t lo = all ? 0 : DRAW_SIZE;
    int32_t hi = all ? DRAW_SIZE : 0;
    for (int32_t line = 0; line < 4 && !all; line++) {
        cover(shape, m, other, 16 * row + 4 * line + 2);
        count_parts(covered, m->parts, m->lo, m->hi);
        lo = least(lo, m->lo);
        hi = most(hi, m->hi);
    }
    int32_t left = round_left(row);
    uint16_t *pixels = band->pixels + (row - band->top) * DRAW_SIZE;
    int32_t end = least(hi, DRAW_SIZE - left);
    bool solid = paint->kind == PAINT_PLAIN && paint->ink.alpha == 255;
    for (int32_t i = most(lo, left); i < end; i++) {
        if (solid && covered[i] == FULL) {
            pixels[i] = paint->ink.colour;
        } else if (covered[i] != 0) {
            pixels[i] = blend(paint, pixels[i], i, row, covered[i]);
        }
    }
}

void shape_paint(const struct shape *shape, const struct band *band, const struct paint *paint)
{
    int32_t top = LINES;
    int32_t bottom = 0;
    const int16_t *end = shape->cells + shape->used;
    for (const int16_t *head = shape->cells; head < end; head = next_element(head)) {
        if ((head[HEAD_CODE] & 3) == MODE_ADD) {
            top = least(top, head[HEAD_TOP]);
            bottom = most(bottom, head[HEAD_BOTTOM]);
        }
    }
    struct mask m = {.hi = DRAW_SIZE};
    struct mask other = {.hi = DRAW_SIZE};
    int32_t row = most(most(band->top, top >> 4), 0);
    int32_t stop = least(least(band->top + band->rows, (bottom >> 4) + 1), DRAW_SIZE);
    for (; row < stop; row++) {
        paint_row(shape, band, paint, row, &m, &other);
    }
}

void shape_fill(const struct shape *shape, const struct band *band, struct ink ink)
{
    struct paint paint = {.kind = PAINT_PLAIN, .ink = ink};
    shape_paint(shape, band, &paint);
}
