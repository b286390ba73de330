/* The display as an emulated board sends it to who looks on: frames (core/frame.h), each with pixels of one line.

       y u8 | x u8 | { n u8, pixel u16 big-endian RGB565 } 1 to 80 times

   n pixels (1 to 240) of that colour, from (x, y) to the right; the next run goes on where this one ends. Only what has
   changed is sent. When the whole display is drawn again (inject.h, 'R'), all lines are, from the top down, each from x = 0:
   the picture is complete with the end of line 239. */
#ifndef PINFOLD_HAL_MIRROR_H
#define PINFOLD_HAL_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hal.h"

#define MIRROR_RUNS 80u
#define MIRROR_MAX (2u + 3u * MIRROR_RUNS)

/* What was sent. The board has the display's own memory for it, which a pin does not see. */
struct mirror {
	uint16_t (*shown)[HAL_DISPLAY_SIZE]; /* HAL_DISPLAY_SIZE lines */
	bool known[HAL_DISPLAY_SIZE];        /* the line is shown to those who look on */
};

/* Makes all lines unknown, so that they are sent whole. */
void mirror_forget(struct mirror *mirror);

/* Writes the payload of the next frame for what is new in line y, at or after *x. Returns its size, 0 = nothing is
   new, and moves *x behind the pixels it holds. Begin with *x = 0. */
size_t mirror_next(struct mirror *mirror, uint8_t out[MIRROR_MAX], const uint16_t *line, uint8_t y, uint16_t *x);

#endif
