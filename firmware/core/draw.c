#include "draw.h"

#include <string.h>

#include "shape.h"

enum {
    MIN_PLACE = -1024,
    MAX_PLACE = 2047,
    MAX_LENGTH = 1023,
    MIN_CENTRE = -480,
    MAX_CENTRE = 1440,
    MAX_WIDTH = 1920,
};

static bool placed(int32_t x, int32_t y)
{
    return x >= MIN_PLACE && y >= MIN_PLACE && x <= MAX_PLACE && y <= MAX_PLACE;
}

static bool measured(int32_t length)
{
    return length >= 0 && length <= MAX_LENGTH;
}

static struct point fine(int32_t x, int32_t y)
{
    return (struct point){.x = (int16_t)(4 * x), .y = (int16_t)(4 * y)};
}

void draw_clear(const struct band *band)
{
    memset(band->pixels, 0, (size_t)band->rows * DRAW_SIZE * sizeof *band->pixels);
}

void draw_disc(const struct band *band, int16_t x, int16_t y, int16_t radius, struct ink ink)
{
    if (placed(x, y) && measured(radius)) {
        struct shape shape;
        shape.used = 0;
        shape_disc(&shape, MODE_ADD, fine(x, y), 4 * radius, -1);
        shape_fill(&shape, band, ink);
    }
}

void draw_arc(const struct band *band, int16_t x, int16_t y, int16_t radius, int16_t width, uint16_t from,
              uint32_t sweep, struct ink ink)
{
    if (placed(x, y) && measured(radius) && measured(width) && sweep <= DRAW_TURN) {
        struct shape shape;
        shape.used = 0;
        if (sweep == DRAW_TURN) {
            shape_disc(&shape, MODE_ADD, fine(x, y), 4 * radius + 2 * width, 4 * radius - 2 * width);
        } else {
            shape_arc(&shape, MODE_ADD, fine(x, y), 4 * radius, 2 * width, from, (int32_t)sweep);
        }
        shape_fill(&shape, band, ink);
    }
}

void draw_box(const struct band *band, int16_t x, int16_t y, int16_t width, int16_t height, int16_t radius,
              struct ink ink)
{
    if (!placed(x, y) || !measured(width) || !measured(height) || radius < 0 || 2 * radius > width ||
        2 * radius > height) {
        return;
    }
    int32_t left = 4 * x - 2 * width;
    int32_t right = 4 * x + 2 * width;
    int32_t top = 4 * y - 2 * height;
    int32_t bottom = 4 * y + 2 * height;
    const struct point corners[4] = {
        {(int16_t)left, (int16_t)top},
        {(int16_t)right, (int16_t)top},
        {(int16_t)right, (int16_t)bottom},
        {(int16_t)left, (int16_t)bottom},
    };
    struct shape shape;
    shape.used = 0;
    shape_path(&shape, MODE_ADD, shape_path_of(KIND_ROUND), corners, 4, 0, 4 * radius);
    shape_fill(&shape, band, ink);
}

void draw_rim(const struct band *band)
{
    struct shape shape;
    shape.used = 0;
    shape_disc(&shape, MODE_ADD, fine(DRAW_MIDDLE, DRAW_MIDDLE), 5 * DRAW_MIDDLE, 4 * DRAW_MIDDLE);
    shape_fill(&shape, band, (struct ink){.alpha = 255});
}

/* A reader takes ops apart. What is read past the end is zero, and bad is set. */
struct reader {
    const uint8_t *next;
    const uint8_t *end;
    struct place place;
    int32_t x; /* the last point, in units */
    int32_t y;
    bool bad;
};

static uint8_t read_byte(struct reader *r)
{
    if (r->next == r->end) {
        r->bad = true;
        return 0;
    }
    return *r->next++;
}

/* read_number reads 7 bits, or 15 if the first is set. */
static int32_t read_number(struct reader *r)
{
    int32_t v = read_byte(r);
    if (v >= 0x80) {
        v = (v & 0x7f) << 8;
        v |= read_byte(r);
    }
    return v;
}

/* read_signed reads a number whose lowest bit says that it is negative. */
static int32_t read_signed(struct reader *r)
{
    int32_t v = read_number(r);
    return (v & 1) ? -(v >> 1) - 1 : v >> 1;
}

/* scaled turns a length in units of the picture into sixteenths of a pixel. */
static int32_t scaled(const struct reader *r, int32_t length)
{
    return length * r->place.width / (DRAW_WHOLE / 4);
}

static int32_t read_length(struct reader *r)
{
    int32_t v = read_number(r);
    if (!measured(v)) {
        r->bad = true;
        return 0;
    }
    return scaled(r, v);
}

/* read_point reads a point, as the step from the last one. */
static struct point read_point(struct reader *r)
{
    r->x += read_signed(r);
    r->y += read_signed(r);
    if (!placed(r->x, r->y)) {
        r->bad = true;
        r->x = 0;
        r->y = 0;
    }
    return (struct point){
        .x = (int16_t)(scaled(r, r->x - DRAW_MIDDLE) + 4 * r->place.x),
        .y = (int16_t)(scaled(r, r->y - DRAW_MIDDLE) + 4 * r->place.y),
    };
}

static struct ink read_ink(struct reader *r)
{
    uint8_t low = read_byte(r);
    uint8_t high = read_byte(r);
    uint8_t alpha = read_byte(r);
    return (struct ink){.colour = (uint16_t)(high << 8 | low), .alpha = alpha};
}

static struct paint read_paint(struct reader *r, uint8_t kind)
{
    struct paint paint = {.kind = kind, .ink = read_ink(r)};
    if (kind == PAINT_DOWN) {
        paint.other = read_ink(r);
        paint.y = read_point(r).y;
        paint.reach = read_point(r).y;
    } else if (kind == PAINT_AROUND) {
        paint.other = read_ink(r);
        struct point centre = read_point(r);
        paint.x = centre.x;
        paint.y = centre.y;
        paint.reach = (int16_t)read_length(r);
    } else if (kind != PAINT_PLAIN) {
        r->bad = true;
    }
    return paint;
}

/* Not inlined, so that its points are off the stack while the shape is painted. */
__attribute__((noinline)) static bool read_path(struct reader *r, struct shape *shape, uint8_t mode, struct path path)
{
    struct point points[SHAPE_POINTS];
    int32_t half_width = path.line ? read_length(r) / 2 : 0;
    int32_t radius = path.how == PATH_BENT ? read_length(r) : 0;
    int32_t count = read_byte(r);
    if (count < path.least || count > SHAPE_POINTS) {
        return false;
    }
    for (int32_t i = 0; i < count; i++) {
        points[i] = read_point(r);
    }
    return !r->bad && shape_path(shape, mode, path, points, count, half_width, radius);
}

static bool read_element(struct reader *r, struct shape *shape, uint8_t code)
{
    uint8_t kind = code >> 2;
    uint8_t mode = code & 3;
    if (mode > MODE_KEEP || kind < KIND_ALL || kind > KIND_ELLIPSE) {
        return false;
    }
    if (kind == KIND_ALL) {
        return shape_all(shape, mode);
    }
    if (kind >= KIND_POLYGON && kind <= KIND_CURVE) {
        return read_path(r, shape, mode, shape_path_of(kind));
    }
    struct point centre = read_point(r);
    int32_t radius = read_length(r);
    if (kind == KIND_DISC) {
        return !r->bad && shape_disc(shape, mode, centre, radius, -1);
    }
    int32_t second = read_length(r);
    if (kind == KIND_RING) {
        int32_t half = second / 2;
        return !r->bad && shape_disc(shape, mode, centre, radius + half, radius - half);
    }
    int32_t angle = 2 * read_number(r);
    if (kind == KIND_ELLIPSE) {
        return !r->bad && shape_ellipse(shape, mode, centre, radius, second, angle);
    }
    int32_t sweep = 2 * read_number(r);
    return !r->bad && shape_arc(shape, mode, centre, radius, second / 2, angle, sweep);
}

bool draw_art(const struct band *band, const uint8_t *ops, size_t size, struct place place)
{
    if (place.x < MIN_CENTRE || place.x > MAX_CENTRE || place.y < MIN_CENTRE || place.y > MAX_CENTRE ||
        place.width < 1 || place.width > MAX_WIDTH) {
        return false;
    }
    struct reader r = {.next = ops, .end = ops + size, .place = place};
    struct shape shape;
    shape.used = 0;
    struct paint paint = {.kind = PAINT_NONE};
    while (r.next != r.end) {
        uint8_t code = read_byte(&r);
        if (code < 4) {
            shape_paint(&shape, band, &paint);
            shape.used = 0;
            paint = read_paint(&r, code);
        } else if (paint.kind == PAINT_NONE || !read_element(&r, &shape, code)) {
            return false;
        }
        if (r.bad) {
            return false;
        }
    }
    shape_paint(&shape, band, &paint);
    return true;
}
