/*
 * Checks of drawing that need no other renderer. With the argument "serve" it draws what it is told to instead, for the
 * Go tests that compare every pixel with the Go renderer (go test -tags firmware ./art): a request on the standard input is the number of rows of a band, a length (u16) and that many bytes of calls; the answer is the frame and one
 * byte, 1 if every draw_art returned true. Numbers are i16, little-endian. Each band is an allocation of its own, so that
 * the address sanitizer sees any step beside it. With the argument "time" it prints how long each picture takes.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../core/draw.h"
#include "../core/glyph.h"
#include "../gen/art.h"

struct input {
    const uint8_t *next;
    const uint8_t *end;
};

static const uint8_t *take(struct input *in, size_t size)
{
    if ((size_t)(in->end - in->next) < size) {
        fprintf(stderr, "the request ends early\n");
        exit(2);
    }
    const uint8_t *at = in->next;
    in->next += size;
    return at;
}

static int16_t number(struct input *in)
{
    const uint8_t *b = take(in, 2);
    return (int16_t)(uint16_t)(b[0] | b[1] << 8);
}

static struct ink ink(struct input *in)
{
    uint16_t colour = (uint16_t)number(in);
    return (struct ink){.colour = colour, .alpha = (uint8_t)number(in)};
}

static struct place place(struct input *in)
{
    struct place p;
    p.x = number(in);
    p.y = number(in);
    p.width = number(in);
    return p;
}

/* copy returns bytes in an allocation of their own, so that a step past their end is seen. */
static uint8_t *copy(struct input *in, size_t *size, bool text)
{
    *size = (uint16_t)number(in);
    uint8_t *bytes = calloc(1, *size + (text || *size == 0));
    if (bytes == NULL) {
        exit(2);
    }
    memcpy(bytes, take(in, *size), *size);
    return bytes;
}

static bool draw(struct input *in, const struct band *band)
{
    bool good = true;
    int16_t n[6];
    size_t size;
    uint8_t *bytes;
    struct text_style style;
    switch (*take(in, 1)) {
    case 'a':
        bytes = copy(in, &size, false);
        good = draw_art(band, bytes, size, place(in));
        free(bytes);
        break;
    case 's':
        n[0] = number(in);
        good = draw_art(band, art_sports[n[0]].ops, art_sports[n[0]].size, place(in));
        break;
    case 'm':
        n[0] = number(in);
        good = draw_art(band, art_medals[n[0]].ops, art_medals[n[0]].size, place(in));
        break;
    case 'c':
        good = draw_art(band, art_scrim.ops, art_scrim.size, place(in));
        break;
    case 'd':
        for (size_t i = 0; i < 3; i++) {
            n[i] = number(in);
        }
        draw_disc(band, n[0], n[1], n[2], ink(in));
        break;
    case 'r':
        for (size_t i = 0; i < 6; i++) {
            n[i] = number(in);
        }
        /* One more, so that the whole circle fits 16 bits. */
        draw_arc(band, n[0], n[1], n[2], n[3], (uint16_t)n[4], (uint32_t)(uint16_t)n[5] + 1, ink(in));
        break;
    case 'b':
        for (size_t i = 0; i < 5; i++) {
            n[i] = number(in);
        }
        draw_box(band, n[0], n[1], n[2], n[3], n[4], ink(in));
        break;
    case 't':
        bytes = copy(in, &size, true);
        n[0] = number(in);
        n[1] = number(in);
        style.height = number(in);
        style.weight = number(in);
        style.ink = ink(in);
        draw_text(band, (const char *)bytes, n[0], n[1], style);
        free(bytes);
        break;
    case 'e':
        draw_rim(band);
        break;
    default:
        fprintf(stderr, "an unknown call\n");
        exit(2);
    }
    return good;
}

static bool draw_frame(const uint8_t *calls, size_t size, int16_t rows, uint16_t *frame)
{
    bool good = true;
    for (int16_t top = 0; top < DRAW_SIZE; top = (int16_t)(top + rows)) {
        int16_t here = (int16_t)(top + rows > DRAW_SIZE ? DRAW_SIZE - top : rows);
        size_t bytes = (size_t)here * DRAW_SIZE * sizeof(uint16_t);
        struct band band = {.pixels = malloc(bytes), .top = top, .rows = here};
        if (band.pixels == NULL) {
            exit(2);
        }
        draw_clear(&band);
        struct input in = {.next = calls, .end = calls + size};
        while (in.next != in.end) {
            good = draw(&in, &band) && good;
        }
        memcpy(frame + (size_t)top * DRAW_SIZE, band.pixels, bytes);
        free(band.pixels);
    }
    return good;
}

static void draw_sport(size_t i)
{
    static uint16_t pixels[16 * DRAW_SIZE];
    const struct place everywhere = DRAW_EVERYWHERE;
    for (int16_t top = 0; top < DRAW_SIZE; top = (int16_t)(top + 16)) {
        struct band band = {.pixels = pixels, .top = top, .rows = 16};
        draw_clear(&band);
        draw_art(&band, art_sports[i].ops, art_sports[i].size, everywhere);
        draw_rim(&band);
    }
}

/* print_times prints the least of some trials. */
static void print_times(void)
{
    for (size_t i = 0; i < ART_SPORTS; i++) {
        double best = 1e9;
        for (int trial = 0; trial < 9; trial++) {
            struct timespec from;
            struct timespec to;
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
            draw_sport(i);
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
            double took = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
            best = took < best ? took : best;
        }
        printf("%-20s %5u bytes %8.3f ms\n", art_sports[i].name, (unsigned)art_sports[i].size, best);
    }
}

static int failures;

static void check(bool good, const char *what, const char *name)
{
    if (!good) {
        fprintf(stderr, "%s: %s\n", name, what);
        failures++;
    }
}

static bool draw_picture(const struct picture *picture, size_t size, int16_t rows, uint16_t *frame)
{
    bool good = true;
    const struct place everywhere = DRAW_EVERYWHERE;
    for (int16_t top = 0; top < DRAW_SIZE; top = (int16_t)(top + rows)) {
        struct band band = {.pixels = frame + top * DRAW_SIZE, .top = top, .rows = rows};
        draw_clear(&band);
        good = draw_art(&band, picture->ops, size, everywhere) && good;
        draw_rim(&band);
    }
    return good;
}

/* A picture is whole, looks the same in all bands, leaves the corners black, and can be cut short anywhere. */
static void check_picture(const struct picture *picture)
{
    static uint16_t frame[DRAW_SIZE * DRAW_SIZE];
    static uint16_t again[DRAW_SIZE * DRAW_SIZE];
    check(draw_picture(picture, picture->size, DRAW_SIZE, frame), "is malformed", picture->name);
    for (int16_t rows = 1; rows < DRAW_SIZE; rows = (int16_t)(rows * 16)) {
        check(draw_picture(picture, picture->size, rows, again), "is malformed in bands", picture->name);
        check(memcmp(frame, again, sizeof frame) == 0, "differs in bands", picture->name);
    }
    check(frame[0] == 0 && frame[DRAW_SIZE - 1] == 0 && frame[DRAW_SIZE * DRAW_SIZE - 1] == 0, "reaches a corner",
          picture->name);
    for (size_t size = 0; size < picture->size; size++) {
        uint8_t *ops = malloc(size + (size == 0));
        if (ops == NULL) {
            exit(2);
        }
        memcpy(ops, picture->ops, size);
        struct band band = {.pixels = again, .top = 120, .rows = 1};
        const struct place everywhere = DRAW_EVERYWHERE;
        (void)draw_art(&band, ops, size, everywhere);
        free(ops);
    }
}

static void check_text(void)
{
    static uint16_t frame[DRAW_SIZE * DRAW_SIZE];
    const struct band band = {.pixels = frame, .top = 0, .rows = DRAW_SIZE};
    const struct text_style style = {.height = 160, .weight = 24, .ink = DRAW_RGB(0xffffff)};
    check(text_width("0123456789", 160) == 10 * 128, "digits are not 128 wide", "text");
    check(text_width("", 160) == 0, "nothing has a width", "text");
    draw_text(&band, "\x01\xff long text that ends somewhere beyond the display", 480, 480, style);
    check(frame[120 * DRAW_SIZE + 5] == 0 || frame[120 * DRAW_SIZE + 5] == 0xffff, "is neither black nor white", "text");
    draw_clear(&band);
    draw_text(&band, "1", 480, 480, style);
    size_t lit = 0;
    for (size_t i = 0; i < DRAW_SIZE * DRAW_SIZE; i++) {
        lit += frame[i] != 0;
    }
    check(lit > 250 && lit < 500, "a one has too few or too many pixels", "text");
}

static int check_all(void)
{
    for (size_t i = 0; i < ART_SPORTS; i++) {
        check_picture(&art_sports[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        check_picture(&art_medals[i]);
    }
    check_picture(&art_scrim);
    check_text();
    printf("test_draw: %d failures\n", failures);
    return failures != 0;
}

static int serve(void)
{
    static uint16_t frame[DRAW_SIZE * DRAW_SIZE];
    static uint8_t calls[UINT16_MAX];
    uint8_t head[3];
    while (fread(head, sizeof head, 1, stdin) == 1) {
        size_t size = (size_t)(head[1] | head[2] << 8);
        if (head[0] == 0 || (size > 0 && fread(calls, size, 1, stdin) != 1)) {
            fprintf(stderr, "not a request\n");
            return 2;
        }
        uint8_t good = draw_frame(calls, size, head[0], frame);
        for (size_t i = 0; i < DRAW_SIZE * DRAW_SIZE; i++) {
            uint8_t bytes[2] = {(uint8_t)frame[i], (uint8_t)(frame[i] >> 8)};
            fwrite(bytes, sizeof bytes, 1, stdout);
        }
        fwrite(&good, 1, 1, stdout);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "time") == 0) {
        print_times();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "serve") == 0) {
        return serve();
    }
    return check_all();
}
