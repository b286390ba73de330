/*
 * Prints how well steps.c counts: recordings of people who walk, and an hour each of what must not count. Exits with 1 if a limit
 * is missed, with 2 if it could not measure. Usage: steps_table [FOLDER with the recordings]
 *
 * The recordings are Oxford-step-counter's `validation` (Salvi, Velardo, Brynes, Tarassenko: "An optimised algorithm for
 * accurate steps counting from smartphone accelerometry", EMBC 2018; CC BY 4.0), gzipped CSV: time in ns, acceleration in
 * m/s2 on three axes, steps of their algorithm, true steps so far, steps of the phone's counter. They are no part of this
 * project. Without them only the hours are measured, and that is said.
 */
#define _POSIX_C_SOURCE 200809L

#include "steps.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double pi = 3.14159265358979323846;
static const double standard_gravity = 9.80665; /* m/s2 in one g */

static void fail(const char *what, const char *which) {
    fprintf(stderr, "steps_table: %s: %s\n", which, what);
    exit(2);
}

static int16_t milli_g(double mg) {
    return (int16_t)lrint(fmax(INT16_MIN, fmin(INT16_MAX, mg)));
}

/* --- Recordings --- */

enum { LONGEST = 60000, RATES = 3, RECORDINGS = 32 };

/* At how many samples a second a recording is played; 0 is as it was recorded. */
static const int rates[RATES] = {25, 50, 0};

struct recording {
    int count;
    long truth;
    int64_t time_ns[LONGEST];
    double axis[LONGEST][3]; /* mg */
};

static void read_recording(const char *path, struct recording *to) {
    char command[1024], line[256];
    if (strpbrk(path, "'\\") != NULL || strlen(path) > sizeof command - 32) {
        fail("a path that the shell would need quoted, or too long", path);
    }
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    FILE *pipe = popen(command, "r");
    if (pipe == NULL) {
        fail("gzip does not start", path);
    }
    to->count = 0;
    while (fgets(line, sizeof line, pipe) != NULL) {
        long long time_ns;
        double x, y, z;
        long theirs, truth;
        if (sscanf(line, "%lld,%lf,%lf,%lf,%ld,%ld", &time_ns, &x, &y, &z, &theirs, &truth) != 6) {
            fail("not time,x,y,z,steps,true steps", line);
        }
        if (to->count == LONGEST) {
            fail("longer than ten minutes", path);
        }
        double *axis = to->axis[to->count];
        to->time_ns[to->count] = time_ns;
        axis[0] = x / standard_gravity * 1000;
        axis[1] = y / standard_gravity * 1000;
        axis[2] = z / standard_gravity * 1000;
        to->truth = truth;
        to->count++;
    }
    if (pclose(pipe) != 0 || to->count < 2 || to->truth <= 0) {
        fail("not a whole recording", path);
    }
}

static uint32_t feed(struct steps *steps, int64_t time_ns, const double axis[3]) {
    return steps_sample(steps, (uint32_t)(time_ns / 1000000), milli_g(axis[0]), milli_g(axis[1]), milli_g(axis[2]));
}

static uint32_t play_as_recorded(const struct recording *from) {
    struct steps steps;
    uint32_t count = 0;
    steps_init(&steps);
    for (int i = 0; i < from->count; i++) {
        count += feed(&steps, from->time_ns[i], from->axis[i]);
    }
    return count;
}

/* Plays it at another rate: each sample lies on the line between its neighbours in the recording. */
static uint32_t play_at(const struct recording *from, int rate) {
    struct steps steps;
    uint32_t count = 0;
    int at = 0;
    steps_init(&steps);
    for (int64_t time = from->time_ns[0]; time < from->time_ns[from->count - 1]; time += 1000000000 / rate) {
        while (from->time_ns[at + 1] <= time) {
            at++;
        }
        double part = (double)(time - from->time_ns[at]) / (double)(from->time_ns[at + 1] - from->time_ns[at]);
        double axis[3];
        for (int i = 0; i < 3; i++) {
            axis[i] = from->axis[at][i] + part * (from->axis[at + 1][i] - from->axis[at][i]);
        }
        count += feed(&steps, time, axis);
    }
    return count;
}

static int only_recordings(const struct dirent *entry) {
    const char *end = strstr(entry->d_name, ".csv.gz");
    return end != NULL && end[7] == 0;
}

static bool print_mean(const char *name, const double sum[RATES], int count, double limit) {
    bool ok = true;
    printf("| %-32s |      |", name);
    for (int i = 0; i < RATES; i++) {
        bool within = sum[i] / count <= limit;
        printf("         %5.2f%%%c |", sum[i] / count, within ? ' ' : '!');
        ok = ok && within;
    }
    printf(" at most %g%%\n", limit);
    return ok;
}

static bool print_recordings(const char *folder) {
    static struct recording recording;
    struct dirent **names = NULL;
    double all[RATES] = {0}, neck[RATES] = {0};
    int necks = 0;
    int count = scandir(folder, &names, only_recordings, alphasort);
    if (count <= 0) {
        fail("no recordings (*.csv.gz) in it", folder);
    }
    printf("| recording                        | true |    25 Hz error |    50 Hz error | recorded error |\n");
    printf("|----------------------------------|-----:|---------------:|---------------:|---------------:|\n");
    for (int i = 0; i < count; i++) {
        char path[1024];
        bool is_neck = strstr(names[i]->d_name, "neckpouch") != NULL;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        read_recording(path, &recording);
        printf("| %-32.*s | %4ld |", (int)strlen(names[i]->d_name) - 7, names[i]->d_name, recording.truth);
        for (int j = 0; j < RATES; j++) {
            uint32_t counted = rates[j] == 0 ? play_as_recorded(&recording) : play_at(&recording, rates[j]);
            double error = 100 * ((double)counted / (double)recording.truth - 1);
            printf("    %4u %+5.1f%% |", (unsigned)counted, error);
            all[j] += fabs(error);
            neck[j] += is_neck ? fabs(error) : 0;
        }
        printf("\n");
        necks += is_neck ? 1 : 0;
        free(names[i]);
    }
    free(names);
    bool ok = print_mean("mean absolute error", all, count, 4);
    if (necks > 0) {
        ok = print_mean("mean absolute error, neck pouch", neck, necks, 2) && ok;
    }
    return ok;
}

/* --- Hours of what is no walking --- */

enum { HOUR_S = 3600, FASTEST = 50, SEEDS = 8 };

/* A generator of our own, so that every machine prints the same table: xorshift64*. */
struct chance {
    uint64_t state;
};

static struct chance chance_of(uint64_t seed) {
    return (struct chance){(seed + 1) * UINT64_C(0x9E3779B97F4A7C15)};
}

static double between(struct chance *chance, double low, double high) {
    chance->state ^= chance->state >> 12;
    chance->state ^= chance->state << 25;
    chance->state ^= chance->state >> 27;
    uint64_t bits = (chance->state * UINT64_C(0x2545F4914F6CDD1D)) >> 11;
    return low + (high - low) * (double)bits / 9007199254740992.0;
}

static double normal(struct chance *chance) {
    double u = between(chance, 1e-12, 1), v = between(chance, 0, 1);
    return sqrt(-2 * log(u)) * cos(2 * pi * v);
}

/* An hour of acceleration in mg, gravity included. */
struct hour {
    int rate;
    double axis[HOUR_S * FASTEST][3];
};

static void any_direction(struct chance *chance, double to[3]) {
    double turn = between(chance, 0, 2 * pi), up = between(chance, -1, 1), out = sqrt(1 - up * up);
    to[0] = out * cos(turn);
    to[1] = out * sin(turn);
    to[2] = up;
}

/* A pin that hangs somehow, whose sensor has `noise_mg` of white noise on each axis, and that turns by about
   `drift` radians in an hour. */
static void hang(struct hour *hour, struct chance chance, double noise_mg, double drift) {
    double turn = between(&chance, 0, 2 * pi), tilt = acos(between(&chance, -1, 1));
    double change = drift / sqrt(HOUR_S * hour->rate);
    for (int i = 0; i < HOUR_S * hour->rate; i++) {
        double *axis = hour->axis[i];
        turn += change * normal(&chance);
        tilt += change * normal(&chance);
        axis[0] = 1000 * sin(tilt) * cos(turn) + noise_mg * normal(&chance);
        axis[1] = 1000 * sin(tilt) * sin(turn) + noise_mg * normal(&chance);
        axis[2] = 1000 * cos(tilt) + noise_mg * normal(&chance);
    }
}

/* A movement along one direction; shape(p) for p from 0 to 1 is its course. */
static void move(struct hour *hour, double begin_s, double length_s, const double direction[3], double mg,
                 double (*shape)(double)) {
    for (int i = (int)ceil(begin_s * hour->rate); i < HOUR_S * hour->rate; i++) {
        double part = ((double)i / hour->rate - begin_s) / length_s;
        if (part >= 1) {
            return;
        }
        for (int j = 0; j < 3; j++) {
            hour->axis[i][j] += direction[j] * mg * shape(part);
        }
    }
}

static double knock(double part) { return 1.5 * sin(2 * pi * part) * (1 - part); }
static double push(double part) { return sin(pi * part); }
static double there_and_back(double part) { return sin(2 * pi * part); }
static double nod(double part) { return part < 0.3 ? 0.5 - 0.5 * cos(2 * pi * part / 0.3) : 0; }

/* Keys: 2 to 6 a second, each interval off by 15 to 50%, of 50 to 300 mg, for 1 to 15 s, with pauses to think. */
static double type(struct hour *hour, struct chance *chance, double now) {
    double direction[3], end = now + between(chance, 1, 15);
    double interval = 1 / between(chance, 2, 6), uneven = between(chance, 0.15, 0.5);
    any_direction(chance, direction);
    while (now < end) {
        double key[3];
        for (int i = 0; i < 3; i++) {
            key[i] = direction[i] + 0.3 * normal(chance);
        }
        move(hour, now, between(chance, 0.06, 0.12), key, between(chance, 50, 300), knock);
        now += fmax(0.08, interval * (1 + uneven * normal(chance)));
        now += between(chance, 0, 1) < 0.06 ? between(chance, 0.3, 1.3) : 0;
    }
    return now;
}

/* One to five movements of 0.3 to 1.5 s with up to 1 g, half a second apart at most. */
static double gesture(struct hour *hour, struct chance *chance, double now) {
    int count = 1 + (int)between(chance, 0, 5);
    for (int i = 0; i < count; i++) {
        double direction[3], length = between(chance, 0.3, 1.5);
        any_direction(chance, direction);
        move(hour, now, length, direction, between(chance, 100, 1000), between(chance, 0, 1) < 0.5 ? push : there_and_back);
        now += length + between(chance, 0, 0.5);
    }
    return now;
}

/* Ten to sixty seconds of a strict rhythm that is none of walking: a leg that jiggles, 3.8 to 6.5 times a second, or
   swaying and nodding, 0.25 to 0.85 times, with 50 to 300 mg. */
static double rhythm(struct hour *hour, struct chance *chance, double now) {
    double direction[3], end = now + between(chance, 10, 60), mg = between(chance, 50, 300);
    bool fast = between(chance, 0, 1) < 0.5;
    double frequency = fast ? between(chance, 3.8, 6.5) : between(chance, 0.25, 0.85);
    double (*shape)(double) = !fast && between(chance, 0, 1) < 0.5 ? nod : there_and_back;
    any_direction(chance, direction);
    for (; now < end; now += 1 / frequency) {
        move(hour, now, 1 / frequency, direction, mg, shape);
    }
    return now;
}

static void at_rest(struct hour *hour, uint64_t seed) { hang(hour, chance_of(seed), 4, 0.5); }
static void noise(struct hour *hour, uint64_t seed) { hang(hour, chance_of(seed), 40, 0); }

static void fidget(struct hour *hour, uint64_t seed, double rhythms) {
    struct chance chance = chance_of(seed + 1000);
    hang(hour, chance_of(seed), 4, 0.5);
    for (double now = 0; now < HOUR_S; now += -6 * log(between(&chance, 1e-9, 1))) {
        double what = between(&chance, 0, 1);
        if (what < rhythms) {
            now = rhythm(hour, &chance, now);
        } else {
            now = what < 0.55 ? type(hour, &chance, now) : gesture(hour, &chance, now);
        }
    }
}

static void type_and_gesture(struct hour *hour, uint64_t seed) { fidget(hour, seed, 0); }
static void also_in_rhythm(struct hour *hour, uint64_t seed) { fidget(hour, seed, 0.05); }

static uint32_t play_hour(const struct hour *hour) {
    struct steps steps;
    uint32_t count = 0;
    steps_init(&steps);
    for (int i = 0; i < HOUR_S * hour->rate; i++) {
        count += feed(&steps, (int64_t)i * 1000000000 / hour->rate, hour->axis[i]);
    }
    return count;
}

static bool print_hours(void) {
    static const struct {
        const char *name;
        void (*make)(struct hour *hour, uint64_t seed);
        uint32_t limit;
    } kinds[] = {
        {"at rest, sensor noise of 4 mg", at_rest, 0},
        {"white noise of 40 mg", noise, 5},
        {"typing and gestures", type_and_gesture, 20},
        {"the same, some of it in rhythm", also_in_rhythm, 20},
    };
    static struct hour hour;
    bool ok = true;
    printf("| false steps in an hour           |    25 Hz, %d seeds |    50 Hz, %d seeds |\n", SEEDS, SEEDS);
    printf("|----------------------------------|-------------------|-------------------|\n");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        printf("| %-32s |", kinds[i].name);
        for (hour.rate = 25; hour.rate <= FASTEST; hour.rate += 25) {
            for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                kinds[i].make(&hour, seed);
                uint32_t counted = play_hour(&hour);
                ok = ok && counted <= kinds[i].limit;
                printf(" %u%s", (unsigned)counted, counted <= kinds[i].limit ? "" : "!");
            }
            printf("  |");
        }
        printf(" each at most %u\n", (unsigned)kinds[i].limit);
    }
    return ok;
}

int main(int count, char **arguments) {
    struct stat about;
    bool ok = true, played = count > 1 && stat(arguments[1], &about) == 0;
    if (played) {
        ok = print_recordings(arguments[1]);
    } else {
        printf("no recordings in %s: get the validation files of Oxford-step-counter (Salvi and others, EMBC 2018; CC BY 4.0)\n"
               "from the Oxford University Research Archive, or say with STEPS_DATA=DIR where they are\n",
               count > 1 ? arguments[1] : "no folder");
    }
    printf("\n");
    ok = print_hours() && ok;
    if (!ok) {
        printf("\na limit is missed, see the marks (!)\n");
    } else if (played) {
        printf("\nevery limit is held\n");
    } else {
        printf("\nthe limits on false steps are held; those on walks were NOT MEASURED\n");
    }
    return ok ? 0 : 1;
}
