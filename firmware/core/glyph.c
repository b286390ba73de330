#include "glyph.h"

#include "../gen/art.h"
#include "shape.h"

enum {
    CAPITAL_MIDDLE = 120, /* font units; a capital is 160 high */
    CAPITAL = 160,
};

static const uint8_t *glyph_of(char c)
{
    if (c < ' ' || c > '~') {
        c = '?';
    }
    return &art_glyphs[art_glyph_starts[c - ' ']];
}

static int32_t advance(const char *text)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < GLYPH_MAX_TEXT && text[i] != '\0'; i++) {
        sum += glyph_of(text[i])[0];
    }
    return sum;
}

int16_t text_width(const char *text, int16_t height)
{
    return (int16_t)(advance(text) * height / CAPITAL);
}

/* add_glyph adds the lines of a glyph that starts at x and has the middle of its capitals at y, in sixteenths of a
 * pixel. That every glyph has room in a shape and few enough points was checked when the font was compiled. Not inlined,
 * so that its points are off the stack while the shape is painted. */
__attribute__((noinline)) static void add_glyph(struct shape *shape, const uint8_t *glyph, int32_t x, int32_t y, struct text_style style)
{
    struct point points[SHAPE_POINTS];
    const uint8_t *next = glyph + 2;
    for (int32_t lines = glyph[1]; lines > 0; lines--) {
        struct path path = shape_path_of(*next++);
        int32_t radius = 0;
        if (path.how == PATH_BENT) {
            radius = *next++ * style.height / (CAPITAL / 4);
        }
        int32_t count = *next++;
        for (int32_t i = 0; i < count; i++, next += 2) {
            points[i].x = (int16_t)(x + next[0] * style.height / (CAPITAL / 4));
            points[i].y = (int16_t)(y + (next[1] - CAPITAL_MIDDLE) * style.height / (CAPITAL / 4));
        }
        (void)shape_path(shape, MODE_ADD, path, points, count, 2 * style.weight, radius);
    }
}

void draw_text(const struct band *band, const char *text, int16_t x, int16_t y, struct text_style style)
{
    if (x < -1024 || x > 2047 || y < -1024 || y > 2047 || style.height < 1 || style.height > GLYPH_MAX_HEIGHT ||
        style.weight < 0 || style.weight > 1023) {
        return;
    }
    int32_t left = 4 * x - advance(text) * style.height / (2 * CAPITAL / 4);
    int32_t pen = 0;
    for (int32_t i = 0; i < GLYPH_MAX_TEXT && text[i] != '\0'; i++) {
        const uint8_t *glyph = glyph_of(text[i]);
        int32_t from = left + pen * style.height / (CAPITAL / 4);
        pen += glyph[0];
        if (from < -8 * DRAW_SIZE || from > 16 * DRAW_SIZE) {
            continue;
        }
        struct shape shape;
        shape.used = 0;
        add_glyph(&shape, glyph, from, 4 * y, style);
        shape_fill(&shape, band, style.ink);
    }
}
