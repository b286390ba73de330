/* What the face shows, held to the hashes of pictures that were looked at. With a folder as argument it writes the pictures
   there, as NAME.ppm, and prints the hashes: `make faces`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crc.h"
#include "face.h"

struct golden {
	const char *name;
	struct face_view view;
	uint32_t crc;
};

static const struct golden goldens[] = {
#include "face_goldens.h"
};

#define GOLDENS (sizeof goldens / sizeof goldens[0])

/* copy takes the view over field by field, so that its padding is 0. */
static void copy(struct face_view *to, const struct face_view *from) {
	face_view_init(to);
	strcpy(to->face.background, from->face.background);
	strcpy(to->face.next_background, from->face.next_background);
	to->face.friends = from->face.friends;
	to->face.medal = from->face.medal;
	to->face.backgrounds = from->face.backgrounds;
	to->face.next_background_friends = from->face.next_background_friends;
	to->face.next_medal = from->face.next_medal;
	to->face.next_medal_friends = from->face.next_medal_friends;
	to->face.step_goal = from->face.step_goal;
	to->tap = from->tap;
	to->prompt = from->prompt;
	to->steps = from->steps;
	to->dropped = from->dropped;
	to->clock_set = from->clock_set;
	to->full = from->full;
	to->broken = from->broken;
}

/* paint draws the view through a screen, as the pin does. */
static void paint(struct screen *screen, const struct face_view *view, uint16_t *frame) {
	uint16_t top;
	for (int i = 0; !screen_done(screen, view) && i < 100; i++) {
		if (screen_step(screen, view, &top)) {
			memcpy(frame + top * DRAW_SIZE, screen->pixels, sizeof screen->pixels);
		}
	}
}

static uint16_t frame[DRAW_SIZE * DRAW_SIZE];

static uint32_t picture(const struct golden *golden) {
	static struct screen screen;
	struct face_view view;
	copy(&view, &golden->view);
	screen_init(&screen);
	paint(&screen, &view, frame);
	return crc32(frame, sizeof frame);
}

static void test_goldens(void **state) {
	(void)state;
	for (size_t i = 0; i < GOLDENS; i++) {
		uint32_t crc = picture(&goldens[i]);
		if (crc != goldens[i].crc) {
			fail_msg("%s: 0x%08x, wanted 0x%08x: look at what `make faces` draws", goldens[i].name, crc, goldens[i].crc);
		}
	}
}

/* Whatever came before, and however little was sent, the display ends up with the picture of the last view. */
static void test_only_changes_are_sent(void **state) {
	(void)state;
	static struct screen screen;
	static uint16_t shown[DRAW_SIZE * DRAW_SIZE];
	screen_init(&screen);
	for (size_t i = 0; i < 3 * GOLDENS; i++) {
		const struct golden *golden = &goldens[i * 7 % GOLDENS];
		struct face_view view;
		copy(&view, &golden->view);
		paint(&screen, &view, shown);
		assert_true(screen_done(&screen, &view));
		assert_int_equal(crc32(shown, sizeof shown), golden->crc);
	}
}

static void test_a_step_draws_few_bands(void **state) {
	(void)state;
	static struct screen screen;
	struct face_view view;
	uint16_t top;
	copy(&view, &goldens[0].view);
	view.clock_set = true;
	screen_init(&screen);
	paint(&screen, &view, frame);
	for (uint32_t steps = 1; steps < 2000000000; steps *= 7) {
		static uint16_t whole[DRAW_SIZE * DRAW_SIZE];
		static struct screen fresh;
		int drawn = 0;
		view.steps = steps;
		while (!screen_done(&screen, &view)) {
			if (screen_step(&screen, &view, &top)) {
				memcpy(frame + top * DRAW_SIZE, screen.pixels, sizeof screen.pixels);
			}
			drawn++;
		}
		assert_in_range(drawn, 1, 4);
		screen_init(&fresh);
		paint(&fresh, &view, whole);
		assert_memory_equal(frame, whole, sizeof frame);
	}
}

static void test_a_lost_picture_is_drawn_again(void **state) {
	(void)state;
	static struct screen screen;
	struct face_view view;
	uint16_t top;
	copy(&view, &goldens[0].view);
	screen_init(&screen);
	paint(&screen, &view, frame);
	assert_false(screen_step(&screen, &view, &top));
	screen_redraw(&screen);
	for (uint16_t row = 0; row < DRAW_SIZE; row = (uint16_t)(row + SCREEN_ROWS)) {
		assert_true(screen_step(&screen, &view, &top));
		assert_int_equal(top, row);
	}
	assert_false(screen_step(&screen, &view, &top));
}

static void test_saved_face(void **state) {
	(void)state;
	struct face face = {.friends = 4000000000u, .medal = FACE_GOLD, .background = "karate", .backgrounds = 33, .next_background = "modern-pentathlon",
						.next_background_friends = 3, .next_medal = FACE_SILVER, .next_medal_friends = 77, .steps = 12345, .day = 20000, .step_goal = 10000};
	struct face back;
	uint8_t saved[FACE_SAVED_SIZE];
	face_save(&face, saved);
	assert_true(face_load(&back, saved, sizeof saved));
	assert_int_equal(back.friends, face.friends);
	assert_int_equal(back.medal, face.medal);
	assert_string_equal(back.background, face.background);
	assert_string_equal(back.next_background, face.next_background);
	assert_int_equal(back.backgrounds, 33);
	assert_int_equal(back.next_background_friends, 3);
	assert_int_equal(back.next_medal, FACE_SILVER);
	assert_int_equal(back.next_medal_friends, 77);
	assert_int_equal(back.steps, 12345);
	assert_int_equal(back.day, 20000);
	assert_int_equal(back.step_goal, 10000);
	assert_false(face_load(&back, saved, sizeof saved - 1));
	assert_int_equal(back.friends, 0);
	saved[1] = 4; /* no such medal */
	assert_false(face_load(&back, saved, sizeof saved));
	saved[1] = 3;
	saved[2] = 4;
	assert_false(face_load(&back, saved, sizeof saved));
	memset(saved + 3, 'x', 2 * (FACE_SPORT_MAX + 1)); /* no end of text */
	saved[2] = 3;
	assert_true(face_load(&back, saved, sizeof saved));
	assert_int_equal(strlen(back.background), FACE_SPORT_MAX);
	assert_int_equal(strlen(back.next_background), FACE_SPORT_MAX);
}

static void test_sports(void **state) {
	(void)state;
	assert_int_equal(face_sport("aquatics"), 0);
	assert_int_equal(face_sport("wrestling"), 32);
	assert_int_equal(face_sport(""), -1);
	assert_int_equal(face_sport("Karate"), -1);
}

static int write_all(const char *folder) {
	for (size_t i = 0; i < GOLDENS; i++) {
		char name[512];
		snprintf(name, sizeof name, "%s/%s.ppm", folder, goldens[i].name);
		FILE *f = fopen(name, "wb");
		if (f == NULL) {
			perror(name);
			return 1;
		}
		uint32_t crc = picture(&goldens[i]);
		printf("%s%s 0x%08x\n", crc == goldens[i].crc ? "  " : "! ", goldens[i].name, crc);
		fprintf(f, "P6 240 240 255\n");
		for (size_t p = 0; p < DRAW_SIZE * DRAW_SIZE; p++) {
			unsigned v = frame[p];
			fputc((int)((v >> 11) * 255 / 31), f);
			fputc((int)((v >> 5 & 63) * 255 / 63), f);
			fputc((int)((v & 31) * 255 / 31), f);
		}
		fclose(f);
	}
	return 0;
}

int main(int argc, char **argv) {
	if (argc == 2) {
		return write_all(argv[1]);
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_only_changes_are_sent),
		cmocka_unit_test(test_a_step_draws_few_bands),
		cmocka_unit_test(test_a_lost_picture_is_drawn_again),
		cmocka_unit_test(test_saved_face),
		cmocka_unit_test(test_sports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
