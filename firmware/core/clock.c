#include "clock.h"

void clock_init(struct clock *clock, uint32_t millis)
{
	*clock = (struct clock){.last_millis = millis};
}

int64_t clock_now(struct clock *clock, uint32_t millis)
{
	int64_t passed = (int64_t)(uint32_t)(millis - clock->last_millis);
	clock->last_millis = millis;
	if (!clock->set) {
		return 0;
	}
	int64_t held = 0;
	if (clock->ahead_ms > 0) {
		int64_t twice = passed + clock->odd_ms;
		held = twice / 2 < clock->ahead_ms ? twice / 2 : clock->ahead_ms;
		clock->odd_ms = (uint8_t)(twice % 2);
		clock->ahead_ms -= held;
	}
	clock->wall_ms += passed - held;
	return clock->wall_ms;
}

bool clock_set(struct clock *clock, uint32_t millis, int64_t wall_ms)
{
	if (wall_ms < 1 || wall_ms > CLOCK_MAX_MS) {
		return false;
	}
	int64_t ahead_ms = clock_now(clock, millis) - wall_ms;
	if (clock->set && ahead_ms > 0 && ahead_ms <= CLOCK_SLEW_MS) {
		clock->ahead_ms = ahead_ms;
		return true;
	}
	clock->set = true;
	clock->wall_ms = wall_ms;
	clock->ahead_ms = 0;
	return true;
}

uint32_t clock_slot(int64_t wall_ms)
{
	return (uint32_t)(wall_ms / CLOCK_SLOT_MS);
}

void tally_init(struct tally *tally)
{
	*tally = (struct tally){0};
}

void tally_restore(struct tally *tally, uint32_t slot, uint16_t steps)
{
	*tally = (struct tally){.slot = slot, .steps = steps};
}

bool tally_add(struct tally *tally, uint32_t slot, uint32_t steps, struct tally *closed)
{
	if (slot == 0) {
		return false;
	}
	bool closes = false;
	if (slot != tally->slot) {
		*closed = *tally;
		closes = tally->slot != 0 && tally->steps > 0;
		*tally = (struct tally){.slot = slot};
	}
	uint32_t room = UINT16_MAX - (uint32_t)tally->steps;
	tally->steps = (uint16_t)(tally->steps + (steps < room ? steps : room));
	return closes;
}
