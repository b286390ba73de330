#include "mirror.h"

#include <string.h>

void mirror_forget(struct mirror *mirror) {
	memset(mirror->known, 0, sizeof mirror->known);
}

/* changed finds what of the line is new: from *x on, to before *end. */
static bool changed(const struct mirror *mirror, const uint16_t *line, uint8_t y, uint16_t *x, uint16_t *end) {
	*end = HAL_DISPLAY_SIZE;
	if (mirror->known[y]) {
		const uint16_t *shown = mirror->shown[y];
		while (*x < HAL_DISPLAY_SIZE && shown[*x] == line[*x]) {
			(*x)++;
		}
		while (*end > *x && shown[*end - 1] == line[*end - 1]) {
			(*end)--;
		}
	}
	return *x < *end;
}

size_t mirror_next(struct mirror *mirror, uint8_t out[MIRROR_MAX], const uint16_t *line, uint8_t y, uint16_t *x) {
	uint16_t end;
	if (!changed(mirror, line, y, x, &end)) {
		return 0;
	}
	out[0] = y;
	out[1] = (uint8_t)*x;
	size_t size = 2;
	while (*x < end && size < MIRROR_MAX) {
		uint16_t from = *x;
		while (*x < end && line[*x] == line[from]) {
			mirror->shown[y][(*x)++] = line[from];
		}
		out[size++] = (uint8_t)(*x - from);
		out[size++] = (uint8_t)(line[from] >> 8);
		out[size++] = (uint8_t)line[from];
	}
	mirror->known[y] = mirror->known[y] || *x == HAL_DISPLAY_SIZE;
	return size;
}
