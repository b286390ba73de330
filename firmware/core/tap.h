/* The tap between two pins, docs/design.md section 5, as a pure state machine. It is told the time, what the antenna feels
 * and what the radio hears; it sends and stores through the functions of struct tap_port.
 *
 * A pin repeats HELLO while it is near another pin, and makes its half as soon as it hears the other's
 * HELLO. Then it repeats HELLO and HALF until it holds the other's half. It answers a HELLO with the HALF also when
 * it is done: who says HELLO still lacks something. A HALF is then answered too, but ever more seldom, as the
 * other side may be done as well and two such answers would go on for ever.
 *
 * A HELLO is not signed, and whoever is near may send many. So new halves are limited in number, and of four
 * taps at once the one that fell silent makes room for the next. */
#ifndef PINFOLD_TAP_H
#define PINFOLD_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto.h"
#include "statement.h"

#define TAP_FRAME_MAX 244u
#define TAP_HELLO 0x01u
#define TAP_HALF 0x02u
#define TAP_HELLO_SIZE (1u + STATEMENT_PIN_SIZE + STATEMENT_NONCE_SIZE + PIN_PUBLIC_KEY_SIZE)
#define TAP_HALF_SIZE (1u + STATEMENT_HALF_SIZE + PIN_SIGNATURE_SIZE)

#define TAP_PEERS 4u   /* at once */
#define TAP_SIGNED 16u /* halves signed for one nonce; then a fresh one is taken */

#define TAP_TIMEOUT_MS 10000u /* of an approach that finds nobody, and of a tap that does not end */
#define TAP_LINGER_MS 12000u  /* how long a finished tap is answered: longer than the other side tries */
#define TAP_GATHER_MS 2000u   /* how long others are still called after a tap was finished */
#define TAP_AWAY_MS 1000u     /* the field may be gone that long within one approach */
#define TAP_SHOW_MS 4000u     /* how long an ending is shown */
#define TAP_MIN_RSSI (-70)    /* dBm: a HELLO that is measured and weaker comes from a pin that is not being tapped */

/* What the tap uses of the rest of the pin. */
struct tap_port {
	void *ctx;
	/* Sends a datagram of at most TAP_FRAME_MAX bytes, which may be lost. */
	void (*send)(void *ctx, const uint8_t *frame, size_t size);
	/* Returns how many more halves can be stored. */
	uint32_t (*room)(void *ctx);
	/* Returns the counter for the next own half, 0 for none: store_next_counter. */
	uint32_t (*next_counter)(void *ctx);
	/* Stores the half durably before it returns true. */
	bool (*put_own_half)(void *ctx, const uint8_t statement[STATEMENT_HALF_SIZE],
						 const uint8_t signature[PIN_SIGNATURE_SIZE]);
	bool (*put_peer_half)(void *ctx, const uint8_t statement[STATEMENT_HALF_SIZE],
						  const uint8_t signature[PIN_SIGNATURE_SIZE]);
};

/* What the face shows. */
enum tap_state {
	TAP_IDLE,
	TAP_SEARCHING, /* near something; no pin heard yet */
	TAP_WAITING,   /* "waiting for your friend's pin": own half sent, the other's not held */
	TAP_FRIENDS,   /* "friends!": both halves are held, durably */
	TAP_FAILED,    /* nobody was found, or the other side went silent */
	TAP_FULL,      /* "full: bring me to a phone" */
};

/* One tap with one peer. */
struct tap_session {
	bool used;
	bool done; /* the peer's half is held */
	uint8_t peer[STATEMENT_PIN_SIZE];
	uint8_t peer_key[PIN_PUBLIC_KEY_SIZE];
	uint8_t peer_nonce[STATEMENT_NONCE_SIZE];
	uint8_t nonce[STATEMENT_NONCE_SIZE];
	uint8_t half[TAP_HALF_SIZE]; /* the datagram: signed once, repeated byte for byte */
	uint32_t began_ms;
	uint32_t done_ms;
	uint32_t heard_ms;  /* last frame of the peer */
	uint32_t sent_ms;   /* last HALF */
	uint32_t pause_ms;  /* after it, until a HALF is answered again */
};

/* The fields are the tap's own. */
struct tap {
	struct tap_port port;
	uint8_t pin[STATEMENT_PIN_SIZE];
	uint8_t public_key[PIN_PUBLIC_KEY_SIZE];
	uint8_t secret_key[PIN_SECRET_KEY_SIZE];
	uint8_t link;
	uint8_t spare[STATEMENT_NONCE_SIZE]; /* for the next approach */
	bool have_spare;

	bool near;
	bool ready;     /* the field was gone for long enough: the next time begins an approach */
	bool listening; /* an approach has begun and the other pin has not gone */
	bool searching; /* and nobody was found in it yet */
	bool gathering; /* and somebody was, a moment ago: there may be a third */
	bool full;      /* and there was no room for a tap */
	uint8_t nonce[STATEMENT_NONCE_SIZE];
	uint8_t signed_count;
	uint8_t signed_for[TAP_SIGNED][8]; /* hashes of the (peer, nonce) couples signed for this nonce */
	uint32_t now_ms;
	uint32_t near_ms;     /* last time that the field was felt */
	uint32_t began_ms;    /* the approach */
	uint32_t friend_ms;   /* last tap finished */
	uint32_t hello_ms;    /* last HELLO */
	uint32_t interval_ms; /* from it to the next */
	uint32_t jitter;      /* state of a small random generator, for intervals only */
	uint32_t tokens_ms;   /* allowance for new halves, of a moment */
	uint32_t stock_ms;    /* and of an hour */
	uint8_t checks;       /* signatures checked at now_ms */

	enum tap_state ending; /* TAP_FRIENDS or TAP_FAILED while it is shown, else TAP_IDLE */
	uint32_t ended_ms;
	uint32_t friends; /* taps finished since tap_init */
	struct tap_session sessions[TAP_PEERS];
};

/* Begins with the identity of the seed. link is an enum half_link. The port is copied. */
void tap_init(struct tap *tap, struct tap_port port, const uint8_t seed[PIN_SEED_SIZE], enum half_link link,
			  uint32_t now_ms);

/* Reports whether a fresh nonce is wanted: then hand in 16 new bytes of the true random source. Without one no
 * approach begins. */
bool tap_needs_nonce(const struct tap *tap);
void tap_give_nonce(struct tap *tap, const uint8_t nonce[STATEMENT_NONCE_SIZE]);

/* Lets time pass. To be called every 10 ms or so, with the milliseconds of hal_millis and whether another pin is near. */
void tap_step(struct tap *tap, uint32_t now_ms, bool near);

/* Takes a datagram from the air, from anybody. wall_ms is that of clock_now, rssi 0 = not measured. */
void tap_receive(struct tap *tap, uint32_t now_ms, int64_t wall_ms, const uint8_t *frame, size_t size, int8_t rssi);

/* Ends the approach; the next begins when the other pin has gone and come again. Halves already stored stay. */
void tap_cancel(struct tap *tap, uint32_t now_ms);

/* Returns what the face shows. */
enum tap_state tap_state(const struct tap *tap);

/* Reports whether the pins are apart: who comes near now begins a new approach. */
bool tap_apart(const struct tap *tap);

/* Returns how many taps have ended with both halves held since tap_init. */
uint32_t tap_friends(const struct tap *tap);

#endif
