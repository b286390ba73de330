/* The pin on QEMU's mps2-an386. */
#include <stddef.h>

#include "hal.h"
#include "mps2/mps2.h"
#include "pin.h"

#define ROUND_MS 10u
#define STACK_CHECK_MS 1000u

static struct pin pin;

/* log_stack says how much of the stack was ever in use, each time that grew. */
static void log_stack(void) {
	static uint32_t said, checked_ms;
	if (hal_millis() - checked_ms < STACK_CHECK_MS) {
		return;
	}
	checked_ms = hal_millis();
	uint32_t used = mps2_stack_used();
	if (used == said) {
		return;
	}
	said = used;
	char text[] = "stack      0 bytes";
	for (size_t at = 11; used > 0 && at > 5; used /= 10) {
		text[at--] = (char)('0' + used % 10);
	}
	hal_log(text);
}

int main(void);

int main(void) {
	mps2_open();
	hal_log("pin " PIN_FIRMWARE);
	pin_init(&pin, HALF_LINK_WIRE);
	for (;;) {
		pin_poll(&pin);
		mps2_seen(&(struct inject_seen){
			.tap = (uint8_t)tap_state(&pin.tap), .apart = tap_apart(&pin.tap), .taps = tap_friends(&pin.tap)});
		hal_idle(ROUND_MS);
		log_stack();
	}
}
