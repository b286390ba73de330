#include "tap.h"

#include <string.h>

#include "allowance.h"

/* How often frames are repeated: at random within these bounds, so that two pins that began together do not talk over each
 * other for ever. */
#define INTERVAL_MS 50u
#define JITTER_MS 50u
/* So many times slower is HELLO repeated when only a third pin might still be called by it. */
#define GATHER 4u
/* A HELLO is answered, and a HALF at first, when this has passed since the last HALF was sent. */
#define ANSWER_MS 20u
/* An own half costs a signature and a place in the store, and whoever is near may ask for one with a HELLO that nobody
 * signed. So many may be made at once; each comes back after this time. */
#define TOKENS 8u
#define TOKEN_MS 1000u
/* The same for long: a stranger who stays must not fill the store, as that only a phone can mend. */
#define STOCK 60u
#define STOCK_MS 10000u
/* So many signatures are checked in one round, each costs some 30 ms: whoever is near may send what only looks like a half. */
#define CHECKS 2u
/* An open tap that was not heard of for so long makes room for another. */
#define SILENT_MS 500u

static uint32_t since(const struct tap *tap, uint32_t then_ms)
{
	return tap->now_ms - then_ms;
}

static bool same_pin(const uint8_t a[STATEMENT_PIN_SIZE], const uint8_t b[STATEMENT_PIN_SIZE])
{
	return memcmp(a, b, STATEMENT_PIN_SIZE) == 0;
}

static bool same_nonce(const uint8_t a[STATEMENT_NONCE_SIZE], const uint8_t b[STATEMENT_NONCE_SIZE])
{
	return memcmp(a, b, STATEMENT_NONCE_SIZE) == 0;
}

/* Draws the time to the next repetition; xorshift32, which must not stand at 0. */
static void draw_interval(struct tap *tap)
{
	tap->jitter ^= tap->jitter << 13;
	tap->jitter ^= tap->jitter >> 17;
	tap->jitter ^= tap->jitter << 5;
	tap->interval_ms = INTERVAL_MS + tap->jitter % JITTER_MS;
}

void tap_init(struct tap *tap, struct tap_port port, const uint8_t seed[PIN_SEED_SIZE], enum half_link link,
              uint32_t now_ms)
{
	*tap = (struct tap){.port = port, .link = (uint8_t)link, .now_ms = now_ms, .near_ms = now_ms, .ready = true};
	tap->tokens_ms = TOKENS * TOKEN_MS;
	tap->stock_ms = STOCK * STOCK_MS;
	pin_keypair(tap->public_key, tap->secret_key, seed);
	statement_pin_id(tap->pin, tap->public_key);
}

bool tap_needs_nonce(const struct tap *tap)
{
	return !tap->have_spare;
}

void tap_give_nonce(struct tap *tap, const uint8_t nonce[STATEMENT_NONCE_SIZE])
{
	memcpy(tap->spare, nonce, sizeof tap->spare);
	tap->have_spare = true;
}

/* What is sent. */

static void send_hello(struct tap *tap)
{
	uint8_t frame[TAP_HELLO_SIZE] = {TAP_HELLO};
	memcpy(frame + 1, tap->pin, sizeof tap->pin);
	memcpy(frame + 9, tap->nonce, sizeof tap->nonce);
	memcpy(frame + 25, tap->public_key, sizeof tap->public_key);
	tap->hello_ms = tap->now_ms;
	draw_interval(tap);
	tap->port.send(tap->port.ctx, frame, sizeof frame);
}

static void send_half(struct tap *tap, struct tap_session *session)
{
	session->sent_ms = tap->now_ms;
	tap->port.send(tap->port.ctx, session->half, sizeof session->half);
}

/* Sessions. */

static bool is_open(const struct tap_session *session)
{
	return session->used && !session->done;
}

static uint32_t count_open(const struct tap *tap)
{
	uint32_t n = 0;
	for (size_t i = 0; i < TAP_PEERS; i++) {
		n += is_open(&tap->sessions[i]);
	}
	return n;
}

static void drop_open(struct tap *tap)
{
	for (size_t i = 0; i < TAP_PEERS; i++) {
		tap->sessions[i].used = tap->sessions[i].done;
	}
}

/* A tap with the same pin that was begun before: it is a friend now. */
static void drop_open_with(struct tap *tap, const uint8_t peer[STATEMENT_PIN_SIZE])
{
	for (size_t i = 0; i < TAP_PEERS; i++) {
		if (is_open(&tap->sessions[i]) && same_pin(tap->sessions[i].peer, peer)) {
			tap->sessions[i].used = false;
		}
	}
}

/* Takes the spare nonce. Taps that are not finished end: their HELLO would bear the wrong nonce from now on. */
static bool renew_nonce(struct tap *tap)
{
	if (!tap->have_spare) {
		return false;
	}
	memcpy(tap->nonce, tap->spare, sizeof tap->nonce);
	tap->have_spare = false;
	tap->signed_count = 0;
	tap->jitter = 1;
	for (size_t i = 0; i < sizeof tap->nonce; i++) {
		tap->jitter = tap->jitter * 31 + tap->nonce[i];
	}
	tap->jitter |= 1;
	drop_open(tap);
	return true;
}

static void show(struct tap *tap, enum tap_state ending)
{
	tap->ending = ending;
	tap->ended_ms = tap->now_ms;
}

static void begin_approach(struct tap *tap)
{
	tap->ready = false;
	tap->listening = true;
	tap->ending = TAP_IDLE;
	tap->full = tap->port.room(tap->port.ctx) < 2;
	tap->searching = !tap->full;
	tap->began_ms = tap->now_ms;
	if (tap->searching) {
		send_hello(tap);
	}
}

/* Time. */

static void feel(struct tap *tap, bool near)
{
	tap->near = near;
	if (near) {
		tap->near_ms = tap->now_ms;
		if (tap->ready && renew_nonce(tap)) {
			begin_approach(tap);
		}
	} else if (since(tap, tap->near_ms) >= TAP_AWAY_MS) {
		tap->ready = true;
		tap->listening = false;
		tap->searching = false;
		tap->gathering = false;
		tap->full = false;
	}
}

static void expire(struct tap *tap)
{
	bool failed = false;
	for (size_t i = 0; i < TAP_PEERS; i++) {
		struct tap_session *session = &tap->sessions[i];
		if (is_open(session) && since(tap, session->began_ms) >= TAP_TIMEOUT_MS) {
			session->used = false;
			failed = true;
		}
		if (session->done && since(tap, session->done_ms) >= TAP_LINGER_MS) {
			session->used = false;
			session->done = false;
		}
	}
	if (tap->ending != TAP_IDLE && since(tap, tap->ended_ms) >= TAP_SHOW_MS) {
		tap->ending = TAP_IDLE;
	}
	if (since(tap, tap->friend_ms) >= TAP_GATHER_MS) {
		tap->gathering = false;
	}
	if (tap->searching && since(tap, tap->began_ms) >= TAP_TIMEOUT_MS) {
		tap->searching = false;
		failed = true;
	}
	if (failed && count_open(tap) == 0 && tap->ending != TAP_FRIENDS) {
		show(tap, TAP_FAILED);
	}
}

static void repeat(struct tap *tap)
{
	bool eager = tap->searching || count_open(tap) > 0;
	if ((!eager && !tap->gathering) || since(tap, tap->hello_ms) < tap->interval_ms * (eager ? 1u : GATHER)) {
		return;
	}
	send_hello(tap);
	for (size_t i = 0; i < TAP_PEERS; i++) {
		if (is_open(&tap->sessions[i])) {
			send_half(tap, &tap->sessions[i]);
		}
	}
}

void tap_step(struct tap *tap, uint32_t now_ms, bool near)
{
	uint32_t passed_ms = now_ms - tap->now_ms;
	tap->tokens_ms = allowance_grow(tap->tokens_ms, passed_ms, TOKENS * TOKEN_MS);
	tap->stock_ms = allowance_grow(tap->stock_ms, passed_ms, STOCK * STOCK_MS);
	tap->checks = passed_ms > 0 ? 0 : tap->checks;
	tap->now_ms = now_ms;
	expire(tap);
	feel(tap, near);
	repeat(tap);
}

/* What is heard. */

static struct tap_session *find_session(struct tap *tap, const uint8_t peer[STATEMENT_PIN_SIZE],
                                        const uint8_t peer_nonce[STATEMENT_NONCE_SIZE],
                                        const uint8_t nonce[STATEMENT_NONCE_SIZE])
{
	for (size_t i = 0; i < TAP_PEERS; i++) {
		struct tap_session *session = &tap->sessions[i];
		if (session->used && same_pin(session->peer, peer) && same_nonce(session->peer_nonce, peer_nonce) &&
		    same_nonce(session->nonce, nonce)) {
			return session;
		}
	}
	return NULL;
}

/* Finds a place for a new session: a free one, or that of the tap that was finished first, or of the open one that has been
 * silent longest. NULL where all four taps are going on. */
static struct tap_session *find_place(struct tap *tap)
{
	struct tap_session *done = NULL, *silent = NULL;
	for (size_t i = 0; i < TAP_PEERS; i++) {
		struct tap_session *session = &tap->sessions[i];
		if (!session->used) {
			return session;
		}
		if (session->done && (done == NULL || since(tap, session->done_ms) > since(tap, done->done_ms))) {
			done = session;
		}
		if (!session->done && since(tap, session->heard_ms) >= SILENT_MS &&
		    (silent == NULL || since(tap, session->heard_ms) > since(tap, silent->heard_ms))) {
			silent = session;
		}
	}
	return done != NULL ? done : silent;
}

/* Reports whether a half for the peer and its nonce may be signed with the own nonce, and notes that it is. */
static bool note_signed(struct tap *tap, const uint8_t peer[STATEMENT_PIN_SIZE],
                        const uint8_t peer_nonce[STATEMENT_NONCE_SIZE])
{
	const struct pin_part couple[] = {{peer, STATEMENT_PIN_SIZE}, {peer_nonce, STATEMENT_NONCE_SIZE}};
	uint8_t hash[PIN_HASH_SIZE];
	pin_sha256(hash, couple, 2);
	for (size_t i = 0; i < tap->signed_count; i++) {
		if (memcmp(tap->signed_for[i], hash, sizeof tap->signed_for[i]) == 0) {
			return false;
		}
	}
	if (tap->signed_count == TAP_SIGNED && !renew_nonce(tap)) {
		return false;
	}
	memcpy(tap->signed_for[tap->signed_count], hash, sizeof tap->signed_for[0]);
	tap->signed_count++;
	return true;
}

/* Makes the own half of a session that has all else, and stores it. */
static bool make_half(struct tap *tap, struct tap_session *session, int64_t wall_ms, int8_t rssi)
{
	struct half half = {.counter = tap->port.next_counter(tap->port.ctx), .time_ms = wall_ms, .rssi = rssi,
	                    .link = tap->link};
	memcpy(half.pin, tap->pin, sizeof half.pin);
	memcpy(half.peer, session->peer, sizeof half.peer);
	memcpy(half.nonce, session->nonce, sizeof half.nonce);
	memcpy(half.peer_nonce, session->peer_nonce, sizeof half.peer_nonce);
	uint8_t *statement = session->half + 1, *signature = statement + STATEMENT_HALF_SIZE;
	session->half[0] = TAP_HALF;
	if (half.counter == 0 || statement_build_half(statement, &half) != STATEMENT_OK) {
		return false;
	}
	pin_sign(signature, statement, STATEMENT_HALF_SIZE, tap->secret_key);
	return tap->port.put_own_half(tap->port.ctx, statement, signature);
}

static void open_session(struct tap *tap, int64_t wall_ms, const uint8_t *hello, int8_t rssi)
{
	const uint8_t *peer = hello + 1, *peer_nonce = peer + STATEMENT_PIN_SIZE;
	if (tap->port.room(tap->port.ctx) < 2 + count_open(tap)) {
		tap->full = true;
		tap->searching = false;
		tap->gathering = false;
		return;
	}
	struct tap_session *place = find_place(tap);
	if (place == NULL || tap->tokens_ms < TOKEN_MS || tap->stock_ms < STOCK_MS || !note_signed(tap, peer, peer_nonce)) {
		return;
	}
	tap->tokens_ms -= TOKEN_MS;
	tap->stock_ms -= STOCK_MS;
	struct tap_session session = {.used = true, .began_ms = tap->now_ms, .heard_ms = tap->now_ms, .pause_ms = ANSWER_MS};
	memcpy(session.peer, peer, sizeof session.peer);
	memcpy(session.peer_nonce, peer_nonce, sizeof session.peer_nonce);
	memcpy(session.peer_key, peer_nonce + STATEMENT_NONCE_SIZE, sizeof session.peer_key);
	memcpy(session.nonce, tap->nonce, sizeof session.nonce);
	if (!make_half(tap, &session, wall_ms, rssi)) {
		show(tap, TAP_FAILED);
		return;
	}
	*place = session;
	send_hello(tap);
	send_half(tap, place);
}

static void hear_hello(struct tap *tap, int64_t wall_ms, const uint8_t *hello, int8_t rssi)
{
	const uint8_t *peer = hello + 1, *peer_nonce = peer + STATEMENT_PIN_SIZE;
	uint8_t id[STATEMENT_PIN_SIZE];
	statement_pin_id(id, peer_nonce + STATEMENT_NONCE_SIZE);
	if (same_pin(peer, tap->pin) || !same_pin(peer, id)) {
		return;
	}
	bool known = false;
	for (size_t i = 0; i < TAP_PEERS; i++) {
		struct tap_session *session = &tap->sessions[i];
		if (!session->used || !same_pin(session->peer, peer) || !same_nonce(session->peer_nonce, peer_nonce)) {
			continue;
		}
		known = known || same_nonce(session->nonce, tap->nonce);
		session->heard_ms = tap->now_ms;
		if (since(tap, session->sent_ms) >= ANSWER_MS) {
			send_half(tap, session);
		}
	}
	bool close = rssi == 0 || rssi >= TAP_MIN_RSSI;
	if (!known && tap->listening && !tap->full && close) {
		open_session(tap, wall_ms, hello, rssi);
	}
}

/* The other side may lack the own half, or be done like this one. */
static void answer_half(struct tap *tap, struct tap_session *session)
{
	if (since(tap, session->sent_ms) < session->pause_ms) {
		return;
	}
	session->pause_ms *= 2;
	send_half(tap, session);
}

static void hear_half(struct tap *tap, const uint8_t *frame)
{
	const uint8_t *statement = frame + 1, *signature = statement + STATEMENT_HALF_SIZE;
	struct half half;
	if (statement_parse_half(&half, statement, STATEMENT_HALF_SIZE) != STATEMENT_OK || !same_pin(half.peer, tap->pin)) {
		return;
	}
	struct tap_session *session = find_session(tap, half.pin, half.nonce, half.peer_nonce);
	if (session == NULL) {
		return;
	}
	if (session->done) {
		answer_half(tap, session);
		return;
	}
	if (tap->checks == CHECKS) {
		return; /* it will come again */
	}
	tap->checks++;
	if (!pin_verify(signature, statement, STATEMENT_HALF_SIZE, session->peer_key) ||
	    !tap->port.put_peer_half(tap->port.ctx, statement, signature)) {
		return;
	}
	session->done = true;
	session->done_ms = tap->now_ms;
	drop_open_with(tap, session->peer);
	tap->searching = false;
	tap->gathering = tap->listening;
	tap->friend_ms = tap->now_ms;
	tap->friends++;
	show(tap, TAP_FRIENDS);
	send_half(tap, session);
}

void tap_receive(struct tap *tap, uint32_t now_ms, int64_t wall_ms, const uint8_t *frame, size_t size, int8_t rssi)
{
	tap_step(tap, now_ms, tap->near);
	if (size == TAP_HELLO_SIZE && frame[0] == TAP_HELLO) {
		hear_hello(tap, wall_ms, frame, rssi);
	} else if (size == TAP_HALF_SIZE && frame[0] == TAP_HALF) {
		hear_half(tap, frame);
	}
}

void tap_cancel(struct tap *tap, uint32_t now_ms)
{
	tap_step(tap, now_ms, tap->near);
	drop_open(tap);
	tap->listening = false;
	tap->searching = false;
	tap->gathering = false;
	tap->full = false;
	tap->ready = false;
	tap->ending = TAP_IDLE;
}

enum tap_state tap_state(const struct tap *tap)
{
	if (tap->ending == TAP_FRIENDS) {
		return TAP_FRIENDS;
	}
	if (count_open(tap) > 0) {
		return TAP_WAITING;
	}
	if (tap->full) {
		return TAP_FULL;
	}
	return tap->searching ? TAP_SEARCHING : tap->ending;
}

bool tap_apart(const struct tap *tap)
{
	return tap->ready && !tap->near;
}

uint32_t tap_friends(const struct tap *tap)
{
	return tap->friends;
}
