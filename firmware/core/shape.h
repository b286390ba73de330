/*
 * The machine below draw.h and glyph.h: a shape is what one paint covers. Its elements add to it, cut from it or keep
 * only what they share with it, in order. All lengths here are in sixteenths of a pixel, and all coordinates from
 * -32768 to 32767 (the limits of the callers see to that).
 */
#ifndef PINFOLD_SHAPE_H
#define PINFOLD_SHAPE_H

#include "draw.h"

enum {
    SHAPE_CELLS = 448,   /* for all elements of a shape */
    SHAPE_POINTS = 64,   /* of an element, before curves are flattened */
};

/* Kinds of elements. An element's code is kind * 4 + mode. */
enum kind {
    KIND_ALL = 1,
    KIND_DISC,
    KIND_RING,
    KIND_ARC,
    KIND_POLYGON,
    KIND_LINE,
    KIND_ROUND,
    KIND_BEND,
    KIND_LOOP,
    KIND_BLOB,
    KIND_CURVE,
    KIND_ELLIPSE,
};

enum mode {
    MODE_ADD,
    MODE_CUT,
    MODE_KEEP,
};

struct point {
    int16_t x;
    int16_t y;
};

/* What the kinds from KIND_POLYGON to KIND_CURVE differ in. */
struct path {
    uint8_t how; /* enum how */
    bool line;
    bool closed;
    uint8_t least; /* points */
};

enum how {
    PATH_STRAIGHT,
    PATH_BENT,   /* corners are rounded */
    PATH_SMOOTH, /* through all points, without corners */
};

/* Elements, one after the other; used == 0 is the empty shape. */
struct shape {
    int16_t cells[SHAPE_CELLS];
    uint16_t used;
};

/* A colour, or two that flow into each other downwards (from the line y to the line reach) or outwards from (x, y) to
 * the distance reach. */
enum paint_kind {
    PAINT_NONE,
    PAINT_PLAIN,
    PAINT_DOWN,
    PAINT_AROUND,
};

struct paint {
    uint8_t kind; /* enum paint_kind */
    struct ink ink;
    struct ink other;
    int16_t x;
    int16_t y;
    int16_t reach;
};

/* shape_path_of returns what a kind from KIND_POLYGON to KIND_CURVE is. */
struct path shape_path_of(uint8_t kind);

/* These add an element, or return false if the shape has no room for it; then the shape must not be painted. */
bool shape_all(struct shape *shape, uint8_t mode);
bool shape_disc(struct shape *shape, uint8_t mode, struct point centre, int32_t radius, int32_t inner);
bool shape_arc(struct shape *shape, uint8_t mode, struct point centre, int32_t radius, int32_t half_width,
               int32_t from, int32_t sweep);
bool shape_ellipse(struct shape *shape, uint8_t mode, struct point centre, int32_t across, int32_t down,
                   int32_t tilt);
bool shape_path(struct shape *shape, uint8_t mode, struct path path, const struct point *points, int32_t count,
                int32_t half_width, int32_t radius);

/* shape_paint draws the shape on the band. */
void shape_paint(const struct shape *shape, const struct band *band, const struct paint *paint);

/* shape_fill draws the shape in one colour. */
void shape_fill(const struct shape *shape, const struct band *band, struct ink ink);

#endif
