/* The phone link: what a phone asks, and what the pin answers (proto/pinfold/pin/v1/pin.proto). The phone is a courier
   and not trusted: it can fill no memory, and what it sends is answered with an Error or dropped. The pin proves that it is
   its wearer's, and forgets what it holds, only after a press of its button. */
#ifndef PINFOLD_PHONE_H
#define PINFOLD_PHONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "statement.h"

/* Largest messages, in bytes. What the pin sends is smaller than what it takes; phone.c checks both. */
#define PHONE_IN_MAX 512u
#define PHONE_OUT_MAX 192u

/* How long a press of the button is waited for. */
#define PHONE_PROMPT_MS 60000u

/* How long the display must have shown what a press means before one counts: a finger that is on its way was meant for what
   was shown before. */
#define PHONE_SETTLE_MS 1000u

/* At most so many statements answer one Fetch. */
#define PHONE_FETCH_MAX 32u

/* What the pin asks its wearer to press the button for. */
enum phone_prompt {
	PHONE_NOTHING,
	PHONE_PROVE, /* to pair the pin with a wearer */
	PHONE_WIPE,  /* to forget everything */
};

struct pin;

struct phone {
	struct frame_decoder frames;
	uint8_t in[FRAME_BUFFER(PHONE_IN_MAX)];
	uint8_t out[FRAME_ENCODED(PHONE_OUT_MAX)]; /* the frame being sent */
	size_t out_size, out_sent;

	/* The Fetch being answered. */
	uint32_t fetch_request, fetch_after, fetch_left;

	enum phone_prompt prompt;
	bool settled; /* it was shown for long enough, and the phone was told */
	bool pressed;
	uint32_t prompt_request, prompt_since_ms;
	enum phone_prompt shown; /* by the display */
	uint32_t shown_since_ms;
	uint8_t challenge[STATEMENT_CHALLENGE_SIZE];

	uint32_t replaced_request; /* of a prompt whose place another took; 0 = none to tell */
	uint32_t expired_request;  /* of a prompt that was not pressed in time; 0 = none to tell */
	bool announce;             /* the phone does not know yet that there is something new */
	uint32_t malformed;        /* frames that held no message, since boot */
};

/* Begins, with an Info to be sent. */
void phone_init(struct phone *phone);

/* Does one round: sends what the link takes, and answers what has come. */
void phone_poll(struct pin *pin, uint32_t now_ms);

/* Says which prompt the picture asks for that the display shows; it is late by the time that a picture takes. */
void phone_shown(struct phone *phone, enum phone_prompt shown, uint32_t now_ms);

/* Takes a press of the button. False if the phone link was not waiting for one. */
bool phone_press(struct phone *phone);

#endif
