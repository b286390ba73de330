/* What tests and demonstrations feed to a pin's sensors, and what they see of it, the same on every emulated board: each
   command is one frame (core/frame.h) whose first byte names it. Numbers are big-endian. Anything else is ignored.

       'A' { time u32 ms, x i16, y i16, z i16 mg } 1 to 24 times    accelerometer samples; time is in hal_millis' time
       'B'                                                          a press of the button
       'N' near u8                                                  another pin is near (1) or not (0)
       'R'                                                          draw the whole display again
       'T' ms u32                                                   let hal_millis run ahead by so much
       'D' rssi i8                                                  strength of what the peer link receives; 0 = not measured
       'L'                                                          look: answered on the same link, after a round, by the frame
                                                                    'L' tap u8, apart u8, taps u32 of struct inject_seen

   A pin takes no further command while its queue of samples is full or a look is not answered, so a sender needs no pace of
   its own. */
#ifndef PINFOLD_HAL_INJECT_H
#define PINFOLD_HAL_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INJECT_MAX 244u
#define INJECT_SAMPLES 24u
#define INJECT_ANSWER 7u

struct inject_sample {
	uint32_t time_ms;
	int16_t mg[3];
};

/* What was injected and not yet taken. All zero is the begin. */
struct inject {
	struct inject_sample samples[INJECT_SAMPLES];
	uint8_t first, count;   /* of samples */
	uint8_t presses;
	bool near;
	bool redraw;
	bool looked; /* and not answered yet */
	int8_t rssi_dbm;
	uint32_t ahead_ms;
};

/* What a person sees of a pin that taps. */
struct inject_seen {
	uint8_t tap;   /* what the face says of it: enum tap_state */
	bool apart;    /* whoever comes near now begins a new approach */
	uint32_t taps; /* that ended in "friends!" since the pin was started or wiped */
};

/* Whether the next command can be taken, whatever it is. */
bool inject_ready(const struct inject *in);

/* Takes one command. */
void inject_command(struct inject *in, const uint8_t *command, size_t size);

/* Takes the oldest sample out. False = there is none. */
bool inject_take(struct inject *in, struct inject_sample *out);

/* Writes the answer to a look. Returns its size, 0 = nobody has looked. */
size_t inject_answer(struct inject *in, const struct inject_seen *seen, uint8_t answer[INJECT_ANSWER]);

#endif
