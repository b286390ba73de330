/*
 * Text, in the font of art/font.glyphs: printable ASCII as lines with round ends, of any height and weight.
 */
#ifndef PINFOLD_GLYPH_H
#define PINFOLD_GLYPH_H

#include "draw.h"

enum {
    GLYPH_MAX_TEXT = 32,    /* characters drawn of a text; the rest is left out */
    GLYPH_MAX_HEIGHT = 480, /* units */
};

/* How text looks, in units: the height of its capitals, from 1 to 480, and the width of its lines, from 0 to 1023. A weight
 * of a seventh of the height looks good. Capitals are half a line's width higher on each side than their height says. */
struct text_style {
    int16_t height;
    int16_t weight;
    struct ink ink;
};

/* text_width returns how wide draw_text will draw the text, in units. The height is from 1 to 480. */
int16_t text_width(const char *text, int16_t height);

/* draw_text draws printable ASCII centred on x, with the middle of the capitals at y. Other characters are drawn as '?'.
 * All digits are equally wide. For text on a picture, draw it twice: first darker and with more weight. */
void draw_text(const struct band *band, const char *text, int16_t x, int16_t y, struct text_style style);

#endif
