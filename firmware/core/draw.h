/*
 * Drawing on the round display, 240 x 240 pixels of RGB565. A whole frame does not fit the RAM, so it is drawn in
 * bands: for each band, clear it, draw everything in the same order, smooth the rim, send it. What is drawn does not
 * depend on how the rows are divided.
 *
 * All lengths and places are in units of a quarter of a pixel: the display is 960 wide, its centre is at (480, 480)
 * and y grows downwards. Places are from -1024 to 2047 and lengths from 0 to 1023 unless said otherwise; what is
 * outside these draws nothing. Nothing is drawn outside the round display.
 *
 * Whole numbers only, no heap, no state: under 2 KiB of stack. The Go package art draws the same pixels, and the
 * language of the pictures is described in art/README.md.
 */
#ifndef PINFOLD_DRAW_H
#define PINFOLD_DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRAW_SIZE 240   /* pixels across the display */
#define DRAW_WHOLE 960  /* units across the display */
#define DRAW_MIDDLE 480 /* its centre */
#define DRAW_TURN 65536 /* angles in a turn */

/* Rows of the display: pixels holds rows * 240 of them, the first row is top. RGB565 in the order of the processor. */
struct band {
    uint16_t *pixels;
    int16_t top;
    int16_t rows;
};

/* An RGB565 colour, and how much of it is seen: 0 to 255. */
struct ink {
    uint16_t colour;
    uint8_t alpha;
};

/* The ink nearest to 0xrrggbb, opaque; a constant expression inside braces. */
#define DRAW_RGB(rgb) \
    { .colour = (uint16_t)((((((uint32_t)(rgb) >> 16) & 255u) * 31u + 127u) / 255u) << 11 | \
                           (((((uint32_t)(rgb) >> 8) & 255u) * 63u + 127u) / 255u) << 5 | \
                           ((((uint32_t)(rgb) & 255u) * 31u + 127u) / 255u)), \
      .alpha = 255 }

/* Where a picture goes: the centre and the width of its square. The centre is from -480 to 1440, the width from 1 to
 * 1920. */
struct place {
    int16_t x;
    int16_t y;
    int16_t width;
};

/* The place of a background; a constant expression inside braces. */
#define DRAW_EVERYWHERE { .x = DRAW_MIDDLE, .y = DRAW_MIDDLE, .width = DRAW_WHOLE }

/* draw_clear makes all pixels of the band black. */
void draw_clear(const struct band *band);

/* draw_art draws a compiled picture, such as art_sports[i] of gen/art.h. It returns false if the place is not as above
 * or the ops are malformed; the shapes before the malformed one are drawn. */
bool draw_art(const struct band *band, const uint8_t *ops, size_t size, struct place place);

/* draw_disc draws a filled circle. */
void draw_disc(const struct band *band, int16_t x, int16_t y, int16_t radius, struct ink ink);

/* draw_arc draws a line with round ends along a circle, for progress. Angles are parts of 65536 of a turn, from the top
 * clockwise; a sweep of 65536 is the whole circle, of 0 a dot. */
void draw_arc(const struct band *band, int16_t x, int16_t y, int16_t radius, int16_t width, uint16_t from,
              uint32_t sweep, struct ink ink);

/* draw_box draws a rectangle around its centre. The radius of its corners is at most half of each side. */
void draw_box(const struct band *band, int16_t x, int16_t y, int16_t width, int16_t height, int16_t radius,
              struct ink ink);

/* draw_rim smooths the edge of the round display. It comes last. */
void draw_rim(const struct band *band);

#endif
