/* What tests and demonstrations feed to a pin's sensors, the same on every emulated board: each command is one frame
   (core/frame.h) whose first byte names it. Numbers are big-endian. Anything else is ignored.

       'A' { time u32 ms, x i16, y i16, z i16 mg } 1 to 24 times    accelerometer samples; time is in hal_millis' time
       'B'                                                          a press of the button
       'N' near u8                                                  another pin is near (1) or not (0)
       'R'                                                          draw the whole display again
       'T' ms u32                                                   let hal_millis run ahead by so much
       'D' rssi i8                                                  strength of what the peer link receives; 0 = not measured

   A pin takes no further command while its queue of samples is full, so a sender needs no pace of its own. */
#ifndef PINFOLD_HAL_INJECT_H
#define PINFOLD_HAL_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INJECT_MAX 244u
#define INJECT_SAMPLES 24u

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
	int8_t rssi_dbm;
	uint32_t ahead_ms;
};

/* Whether the next command can be taken, whatever it is. */
bool inject_ready(const struct inject *in);

/* Takes one command. */
void inject_command(struct inject *in, const uint8_t *command, size_t size);

/* Takes the oldest sample out. False = there is none. */
bool inject_take(struct inject *in, struct inject_sample *out);

#endif
