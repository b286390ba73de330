#include "face.h"

#include <string.h>

#include "art.h"
#include "bytes.h"
#include "crc.h"
#include "glyph.h"

#define VERSION 2u

/* NUMBERS are the numbers of a face in the order in which they are saved. */
#define NUMBERS(face) \
	{&(face)->friends, &(face)->backgrounds, &(face)->next_background_friends, &(face)->next_medal_friends, \
	 &(face)->steps, &(face)->day, &(face)->step_goal}
#define COUNT 7u

void face_save(const struct face *face, uint8_t to[FACE_SAVED_SIZE]) {
	const uint32_t *const numbers[COUNT] = NUMBERS(face);
	*to++ = VERSION;
	*to++ = (uint8_t)face->medal;
	*to++ = (uint8_t)face->next_medal;
	memcpy(to, face->background, sizeof face->background);
	to += sizeof face->background;
	memcpy(to, face->next_background, sizeof face->next_background);
	to += sizeof face->next_background;
	for (size_t i = 0; i < COUNT; i++) {
		put32(to + 4 * i, *numbers[i]);
	}
}

bool face_load(struct face *face, const uint8_t *from, size_t size) {
	memset(face, 0, sizeof *face);
	if (size != FACE_SAVED_SIZE || from[0] != VERSION || from[1] > FACE_GOLD || from[2] > FACE_GOLD) {
		return false;
	}
	uint32_t *const numbers[COUNT] = NUMBERS(face);
	face->medal = (enum face_medal)from[1];
	face->next_medal = (enum face_medal)from[2];
	from += 3;
	memcpy(face->background, from, sizeof face->background - 1);
	from += sizeof face->background;
	memcpy(face->next_background, from, sizeof face->next_background - 1);
	from += sizeof face->next_background;
	for (size_t i = 0; i < COUNT; i++) {
		*numbers[i] = get32(from + 4 * i);
	}
	return true;
}

int face_sport(const char *sport) {
	for (size_t i = 0; i < ART_SPORTS; i++) {
		if (strcmp(art_sports[i].name, sport) == 0) {
			return (int)i;
		}
	}
	return -1;
}

void face_view_init(struct face_view *view) {
	memset(view, 0, sizeof *view);
}

/* ---- drawing: places and lengths in units of a quarter of a pixel, see draw.h */

static const struct ink white = DRAW_RGB(0xFFFFFF);
static const struct ink soft = DRAW_RGB(0xD0D8E0);
static const struct ink black = DRAW_RGB(0x000000);
static const struct ink night = DRAW_RGB(0x101C30);
static const struct ink accent = DRAW_RGB(0xFFC840);
static const struct ink good = DRAW_RGB(0x48D890);
static const struct ink warning = DRAW_RGB(0xFF7050);
static const struct ink track = {.colour = 0xFFFF, .alpha = 70};

#define RING_RADIUS 452
#define RING_WIDTH 26
#define GROUP 5u /* friends from one background to the next, in the default rules: so many marks has the ring */

/* Lines that show the day's steps and nothing else that changes with them. */
#define STEPS_Y 668
#define BAR_Y 732
#define STEPS_TOP_ROW 155u
#define STEPS_END_ROW 188u

/* A line of text being put together; what does not fit is left out. */
struct line {
	char text[GLYPH_MAX_TEXT + 1];
	size_t size;
};

static void add(struct line *line, const char *text) {
	while (*text != '\0' && line->size < GLYPH_MAX_TEXT) {
		line->text[line->size++] = *text++;
	}
	line->text[line->size] = '\0';
}

/* add_number writes 1234567 as 1,234,567. */
static void add_number(struct line *line, uint32_t n) {
	char digits[14];
	size_t at = sizeof digits;
	digits[--at] = '\0';
	for (int i = 0; i == 0 || n > 0; i++, n /= 10) {
		if (i > 0 && i % 3 == 0) {
			digits[--at] = ',';
		}
		digits[--at] = (char)((uint32_t)'0' + n % 10u);
	}
	add(line, digits + at);
}

/* add_sport writes a sport's id with blanks for hyphens. */
static void add_sport(struct line *line, const char *sport) {
	size_t from = line->size;
	add(line, sport);
	for (; from < line->size; from++) {
		line->text[from] = line->text[from] == '-' ? ' ' : line->text[from];
	}
}

/* put draws text that is to be read on any picture: it stands in its own shade. It is made smaller where it would be wider
   than max. */
static void put(const struct band *band, const char *text, int16_t y, int16_t height, int16_t max, struct ink ink) {
	while (height > 24 && text_width(text, height) > max) {
		height = (int16_t)(height - 4);
	}
	int16_t weight = (int16_t)(height / 7);
	struct ink shade = black;
	shade.alpha = 150;
	draw_text(band, text, DRAW_MIDDLE, (int16_t)(y + 4), (struct text_style){height, (int16_t)(weight + 20), shade});
	draw_text(band, text, DRAW_MIDDLE, y, (struct text_style){height, weight, ink});
}

static void draw_ring(const struct band *band, const struct face *face) {
	if (face->next_background[0] == '\0' && face->backgrounds > 0) {
		draw_arc(band, DRAW_MIDDLE, DRAW_MIDDLE, RING_RADIUS, RING_WIDTH, 0, DRAW_TURN, accent); /* all were given */
		return;
	}
	uint32_t more = face->next_background[0] == '\0' || face->next_background_friends > GROUP ? GROUP : face->next_background_friends;
	const uint32_t step = (uint32_t)DRAW_TURN / GROUP;
	const uint32_t gap = step / 8; /* round ends reach into it */
	for (uint32_t i = 0; i < GROUP; i++) {
		uint16_t from = (uint16_t)(i * step + gap / 2);
		draw_arc(band, DRAW_MIDDLE, DRAW_MIDDLE, RING_RADIUS, RING_WIDTH, from, step - gap, i < GROUP - more ? accent : track);
	}
}

static void draw_steps(const struct band *band, const struct face_view *view) {
	struct line line = {.size = 0};
	if (!view->clock_set) {
		put(band, "clock not set", STEPS_Y, 40, 560, soft);
		return;
	}
	add_number(&line, view->steps);
	add(&line, view->steps == 1 ? " step" : " steps");
	put(band, line.text, STEPS_Y, 52, 620, white);
	uint32_t goal = view->face.step_goal;
	if (goal == 0) {
		return;
	}
	const int16_t whole = 320, height = 18;
	uint64_t part = view->steps >= goal ? 320u : (uint64_t)view->steps * 320u / goal;
	draw_box(band, DRAW_MIDDLE, BAR_Y, whole, height, height / 2, track);
	if (part >= 18u) {
		int16_t x = (int16_t)(DRAW_MIDDLE - whole / 2 + (int16_t)part / 2);
		draw_box(band, x, BAR_Y, (int16_t)part, height, height / 2, view->steps >= goal ? good : accent);
	}
}

/* draw_notice draws a warning on a ground of its own. */
static void draw_notice(const struct band *band, const char *text) {
	const int16_t height = 40;
	draw_box(band, DRAW_MIDDLE, 800, (int16_t)(text_width(text, height) + 56), 76, 38, warning);
	draw_text(band, text, DRAW_MIDDLE, 800, (struct text_style){height, 7, black});
}

/* next_unlock writes what comes next: the medal where it comes as soon as the background, or there is none left. False if
   nothing is known to come. */
static bool next_unlock(struct line *line, const struct face *face) {
	static const char *const medals[] = {[FACE_BRONZE] = "bronze", [FACE_SILVER] = "silver", [FACE_GOLD] = "gold"};
	bool background = face->next_background[0] != '\0', medal = face->next_medal != FACE_NO_MEDAL;
	if (medal && (!background || face->next_medal_friends <= face->next_background_friends)) {
		add_number(line, face->next_medal_friends);
		add(line, " more: ");
		add(line, medals[face->next_medal]);
	} else if (background) {
		add_number(line, face->next_background_friends);
		add(line, " more: ");
		add_sport(line, face->next_background);
	}
	return medal || background;
}

/* draw_bottom says what the wearer should know most: what is wrong, what was lost, or what comes next. */
static void draw_bottom(const struct band *band, const struct face_view *view) {
	struct line line = {.size = 0};
	if (view->full) {
		draw_notice(band, "full: to a phone!");
		return;
	}
	if (view->dropped > 0) {
		add_number(&line, view->dropped);
		add(&line, view->dropped == 1 ? " step report lost" : " step reports lost");
		draw_notice(band, line.text);
		return;
	}
	if (!next_unlock(&line, &view->face)) {
		add(&line, view->face.backgrounds > 0 ? "all backgrounds!" : "tap a friend's pin");
	}
	put(band, line.text, 804, 42, 540, white);
}

static void draw_home(const struct band *band, const struct face_view *view) {
	const struct face *face = &view->face;
	int sport = face_sport(face->background);
	if (sport >= 0) {
		draw_art(band, art_sports[sport].ops, art_sports[sport].size, (struct place)DRAW_EVERYWHERE);
	} else {
		draw_disc(band, DRAW_MIDDLE, DRAW_MIDDLE, DRAW_MIDDLE, night);
	}
	draw_art(band, art_scrim.ops, art_scrim.size, (struct place)DRAW_EVERYWHERE);
	draw_ring(band, face);
	draw_art(band, art_medals[face->medal].ops, art_medals[face->medal].size, (struct place){DRAW_MIDDLE, 196, 190});
	struct line friends = {.size = 0};
	add_number(&friends, face->friends);
	put(band, friends.text, 410, 176, 640, white);
	put(band, face->friends == 1 ? "friend" : "friends", 562, 48, 500, soft);
	draw_steps(band, view);
	draw_bottom(band, view);
}

/* A scene takes the whole display: up to three lines of text and a colour. */
struct scene {
	struct ink ground, ink;
	const char *lines[3];
};

/* draw_pins draws two pins that meet; together they stand for friends. */
static void draw_pins(const struct band *band, struct ink left, struct ink right) {
	draw_disc(band, DRAW_MIDDLE - 86, 264, 106, left);
	draw_disc(band, DRAW_MIDDLE + 86, 264, 106, right);
	draw_arc(band, DRAW_MIDDLE + 86, 264, 106, 16, 0, DRAW_TURN, white);
	draw_arc(band, DRAW_MIDDLE - 86, 264, 106, 16, 0, DRAW_TURN, white);
}

static void draw_scene(const struct band *band, const struct scene *scene, int pins) {
	struct ink none = track;
	draw_disc(band, DRAW_MIDDLE, DRAW_MIDDLE, DRAW_MIDDLE, scene->ground);
	draw_arc(band, DRAW_MIDDLE, DRAW_MIDDLE, RING_RADIUS, RING_WIDTH, 0, DRAW_TURN, scene->ink);
	if (pins >= 0) {
		draw_pins(band, pins > 0 ? scene->ink : none, pins > 1 ? scene->ink : none);
	}
	int16_t y = pins >= 0 ? 506 : 370;
	for (size_t i = 0; i < sizeof scene->lines / sizeof scene->lines[0] && scene->lines[i] != NULL; i++) {
		put(band, scene->lines[i], y, i == 0 ? 88 : 62, i == 0 ? 740 : 680, i == 0 ? white : soft);
		y = (int16_t)(y + (i == 0 ? 130 : 100));
	}
}

/* scene_of says what has the whole display, and how many pins it shows held; false = nothing has, and it shows the face. */
static bool scene_of(const struct face_view *view, struct scene *scene, int *pins) {
	const struct ink blue = DRAW_RGB(0x16304E), green = DRAW_RGB(0x0C4030), red = DRAW_RGB(0x4A1418);
	*pins = -1;
	if (view->broken) {
		*scene = (struct scene){red, warning, {"memory fails", "take the pin", "to the help desk"}};
		return true;
	}
	switch (view->prompt) {
	case PHONE_PROVE:
		*scene = (struct scene){blue, accent, {"your phone?", "press the button", "if it is"}};
		return true;
	case PHONE_WIPE:
		*scene = (struct scene){red, warning, {"erase all?", "press the button", "to start anew"}};
		return true;
	case PHONE_NOTHING:
		break;
	}
	*pins = 0;
	switch (view->tap) {
	case TAP_SEARCHING:
		*scene = (struct scene){blue, soft, {"hello?", "looking for", "a friend's pin"}};
		return true;
	case TAP_WAITING:
		*pins = 1;
		*scene = (struct scene){blue, accent, {"hold on", "waiting for your", "friend's pin"}};
		return true;
	case TAP_FRIENDS:
		*pins = 2;
		*scene = (struct scene){green, good, {"friends!", "saved for", "your phone"}};
		return true;
	case TAP_FAILED:
		*scene = (struct scene){red, warning, {"no luck", "tap again"}};
		return true;
	case TAP_FULL:
		*pins = -1;
		*scene = (struct scene){red, warning, {"full", "bring me", "to a phone"}};
		return true;
	case TAP_IDLE:
		break;
	}
	return false;
}

void face_draw(const struct face_view *view, const struct band *band) {
	struct scene scene;
	int pins;
	draw_clear(band);
	if (scene_of(view, &scene, &pins)) {
		draw_scene(band, &scene, pins);
	} else {
		draw_home(band, view);
	}
	draw_rim(band);
}

/* ---- the screen */

void screen_init(struct screen *screen) {
	memset(screen, 0, sizeof *screen);
	face_view_init(&screen->drawn);
	screen_redraw(screen);
}

void screen_redraw(struct screen *screen) {
	memset(screen->known, 0, sizeof screen->known);
	screen->next = 0;
	screen->end = SCREEN_BANDS;
}

/* steps_apart reports whether two views differ in nothing but the day's steps. */
static bool steps_apart(const struct face_view *a, const struct face_view *b) {
	struct face_view same;
	memcpy(&same, a, sizeof same);
	same.steps = b->steps;
	return memcmp(&same, b, sizeof same) == 0;
}

bool screen_done(const struct screen *screen, const struct face_view *view) {
	return screen->next == screen->end && memcmp(&screen->drawn, view, sizeof *view) == 0;
}

bool screen_step(struct screen *screen, const struct face_view *view, uint16_t *top) {
	bool fresh = screen->next == 0 && screen->end == SCREEN_BANDS;
	if (screen->next == screen->end) {
		if (memcmp(&screen->drawn, view, sizeof *view) == 0) {
			return false;
		}
		bool steps = steps_apart(&screen->drawn, view);
		screen->next = (uint8_t)(steps ? STEPS_TOP_ROW / SCREEN_ROWS : 0);
		screen->end = (uint8_t)(steps ? (STEPS_END_ROW + SCREEN_ROWS - 1) / SCREEN_ROWS : SCREEN_BANDS);
		fresh = true;
	}
	if (fresh) {
		memcpy(&screen->drawn, view, sizeof *view);
	}
	uint8_t i = screen->next++;
	*top = (uint16_t)(i * SCREEN_ROWS);
	face_draw(&screen->drawn, &(struct band){.pixels = screen->pixels, .top = (int16_t)*top, .rows = SCREEN_ROWS});
	uint32_t crc = crc32(screen->pixels, sizeof screen->pixels);
	bool differs = !screen->known[i] || screen->crc[i] != crc;
	screen->crc[i] = crc;
	screen->known[i] = true;
	return differs;
}
