/* The face: what the round display shows. */
#ifndef PINFOLD_FACE_H
#define PINFOLD_FACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "draw.h"
#include "phone.h"
#include "tap.h"

/* A sport's id has at most so many bytes, as in pin.options and in the rules of a Games (internal/rules). */
#define FACE_SPORT_MAX 32u

enum face_medal { FACE_NO_MEDAL, FACE_BRONZE, FACE_SILVER, FACE_GOLD };

/* What the gateway last said, by way of a phone. It survives a reboot. */
struct face {
	uint32_t friends;
	enum face_medal medal;                     /* the highest held */
	char background[FACE_SPORT_MAX + 1];       /* a sport that has a picture; empty = none chosen */
	uint32_t backgrounds;                      /* held */
	char next_background[FACE_SPORT_MAX + 1];  /* empty = all were given */
	uint32_t next_background_friends;          /* so many friends more unlock it */
	enum face_medal next_medal;                /* FACE_NO_MEDAL = all were given */
	uint32_t next_medal_friends;               /* so many friends more earn it */
	uint32_t steps, day;                       /* of the wearer on that local day, days since 1970-01-01 */
	uint32_t step_goal;                        /* 0 = none */
};

/* Bytes of a saved face. */
#define FACE_SAVED_SIZE (3u + 2u * (FACE_SPORT_MAX + 1u) + 7u * 4u)

/* Writes the face for face_load. */
void face_save(const struct face *face, uint8_t to[FACE_SAVED_SIZE]);

/* Reads a saved face. False, and an empty face, if it is none. */
bool face_load(struct face *face, const uint8_t *from, size_t size);

/* Returns the number of the sport's picture in art_sports, or -1 if the text is no sport that has one. */
int face_sport(const char *sport);

/* All that decides the picture. Fill it with face_view_of, so that two that look the same are the same bytes. */
struct face_view {
	struct face face;
	enum tap_state tap;
	enum phone_prompt prompt;
	uint32_t steps;      /* to be shown */
	uint32_t dropped;    /* step reports that were lost */
	bool clock_set;
	bool full;           /* no tap fits the store */
	bool broken;         /* the flash does not work */
};

/* Makes a view of nothing: everything 0, the padding too. */
void face_view_init(struct face_view *view);

/* Draws the view's part in the band: clears it first, and smooths the rim at last. */
void face_draw(const struct face_view *view, const struct band *band);

#define SCREEN_ROWS 20u /* of a band; a whole frame does not fit the RAM */
#define SCREEN_BANDS (DRAW_SIZE / SCREEN_ROWS)

/* The picture as it is on the display, and the one being drawn, band after band. */
struct screen {
	struct face_view drawn; /* the view of the picture, finished or not */
	uint8_t next, end;      /* bands still to be drawn of it */
	uint32_t crc[SCREEN_BANDS];
	bool known[SCREEN_BANDS]; /* the display shows what crc says */
	uint16_t pixels[SCREEN_ROWS * DRAW_SIZE];
};

/* Begins with a display that shows nothing known. */
void screen_init(struct screen *screen);

/* Draws everything again, whatever the display shows. */
void screen_redraw(struct screen *screen);

/* Draws the next band that can differ from what the display shows. True if it does: then send screen->pixels as
   SCREEN_ROWS lines from line *top. A picture that was begun is finished before a new view is taken, so what is seen is
   never half of each for long. */
bool screen_step(struct screen *screen, const struct face_view *view, uint16_t *top);

/* Whether the display shows the view. */
bool screen_done(const struct screen *screen, const struct face_view *view);

#endif
