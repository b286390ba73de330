/* The tap: pins over an air that loses, repeats and reorders datagrams, and bears those of anybody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "random.h"
#include "tap.h"

#define PINS 5u
#define HALVES 64u
#define AIR 256u
#define STEP_MS 10u
#define WALL 1626998400000

struct signed_half {
	uint8_t statement[STATEMENT_HALF_SIZE], signature[PIN_SIGNATURE_SIZE];
};

struct world;

/* A pin with a store that is a list. */
struct pin {
	struct world *world;
	uint32_t index;
	struct tap tap;
	bool near;
	uint32_t room, counter, own, peers, sent;
	struct signed_half own_halves[HALVES], peer_halves[HALVES];
};

struct datagram {
	uint32_t at_ms, from, to, size;
	uint8_t bytes[TAP_FRAME_MAX];
};

struct world {
	struct random random;
	uint32_t now_ms, loss, repeats, delay_ms; /* percent, percent, at most */
	uint32_t pins, queued;
	bool deaf[PINS][PINS]; /* hears nothing of */
	struct pin pin[PINS];
	struct datagram air[AIR];
};

static struct world world;

static void fly(uint32_t from, uint32_t to, const uint8_t *frame, size_t size)
{
	if (world.queued == AIR) {
		return;
	}
	struct datagram *datagram = &world.air[world.queued++];
	datagram->at_ms = world.now_ms + random_below(&world.random, world.delay_ms + 1);
	datagram->from = from;
	datagram->to = to;
	datagram->size = (uint32_t)size;
	memcpy(datagram->bytes, frame, size);
}

static void send(void *ctx, const uint8_t *frame, size_t size)
{
	struct pin *pin = ctx;
	assert_in_range(size, 1, TAP_FRAME_MAX);
	pin->sent++;
	bool stored = frame[0] != TAP_HALF;
	for (uint32_t i = 0; i < pin->own && !stored; i++) {
		stored = memcmp(frame + 1, &pin->own_halves[i], sizeof pin->own_halves[i]) == 0;
	}
	assert_true(stored); /* nothing leaves the pin before it is durable */
	for (uint32_t to = 0; to < world.pins; to++) {
		uint32_t copies = 1u + (random_below(&world.random, 100) < world.repeats);
		for (; copies > 0 && to != pin->index; copies--) {
			if (random_below(&world.random, 100) >= world.loss && !world.deaf[to][pin->index]) {
				fly(pin->index, to, frame, size);
			}
		}
	}
}

static uint32_t room(void *ctx)
{
	const struct pin *pin = ctx;
	return pin->room;
}

static uint32_t next_counter(void *ctx)
{
	const struct pin *pin = ctx;
	return pin->counter + 1;
}

static bool put(struct pin *pin, struct signed_half *half, const uint8_t *statement, const uint8_t *signature)
{
	assert_true(pin->room > 0);
	pin->room--;
	memcpy(half->statement, statement, sizeof half->statement);
	memcpy(half->signature, signature, sizeof half->signature);
	return true;
}

static bool put_own_half(void *ctx, const uint8_t *statement, const uint8_t *signature)
{
	struct pin *pin = ctx;
	struct half half, earlier;
	assert_int_equal(statement_parse_half(&half, statement, STATEMENT_HALF_SIZE), STATEMENT_OK);
	assert_int_equal(half.counter, ++pin->counter);
	for (uint32_t i = 0; i < pin->own; i++) { /* once for each (own nonce, peer, peer nonce) */
		statement_parse_half(&earlier, pin->own_halves[i].statement, STATEMENT_HALF_SIZE);
		assert_true(memcmp(half.peer, earlier.peer, sizeof half.peer) != 0 ||
		            memcmp(half.nonce, earlier.nonce, sizeof half.nonce) != 0 ||
		            memcmp(half.peer_nonce, earlier.peer_nonce, sizeof half.peer_nonce) != 0);
	}
	assert_true(pin->own < HALVES);
	return put(pin, &pin->own_halves[pin->own++], statement, signature);
}

static bool put_peer_half(void *ctx, const uint8_t *statement, const uint8_t *signature)
{
	struct pin *pin = ctx;
	assert_true(pin->peers < HALVES);
	return put(pin, &pin->peer_halves[pin->peers++], statement, signature);
}

static void begin(uint64_t seed, uint32_t pins, uint32_t loss, uint32_t repeats, uint32_t delay_ms)
{
	memset(&world, 0, sizeof world);
	world.random.state = seed;
	world.pins = pins;
	world.loss = loss;
	world.repeats = repeats;
	world.delay_ms = delay_ms;
	world.now_ms = random_u32(&world.random) | 0xFFFFF000; /* so that it wraps soon */
	for (uint32_t i = 0; i < pins; i++) {
		struct pin *pin = &world.pin[i];
		const struct tap_port port = {.ctx = pin, .send = send, .room = room, .next_counter = next_counter,
		                              .put_own_half = put_own_half, .put_peer_half = put_peer_half};
		const uint8_t key[PIN_SEED_SIZE] = {(uint8_t)(i + 1)};
		pin->world = &world;
		pin->index = i;
		pin->room = 2 * HALVES;
		tap_init(&pin->tap, port, key, HALF_LINK_WIRE, world.now_ms);
	}
}

static void hear(uint32_t to, const uint8_t *frame, size_t size, int8_t rssi)
{
	tap_receive(&world.pin[to].tap, world.now_ms, WALL, frame, size, rssi);
}

static void step_pins(void)
{
	for (uint32_t i = 0; i < world.pins; i++) {
		struct tap *tap = &world.pin[i].tap;
		if (tap_needs_nonce(tap)) {
			uint8_t nonce[STATEMENT_NONCE_SIZE];
			random_fill(&world.random, nonce, sizeof nonce);
			tap_give_nonce(tap, nonce);
		}
		tap_step(tap, world.now_ms, world.pin[i].near);
	}
}

static void pass(uint32_t ms)
{
	for (; ms >= STEP_MS; ms -= STEP_MS) {
		world.now_ms += STEP_MS;
		step_pins();
		for (uint32_t i = 0; i < world.queued;) {
			struct datagram datagram = world.air[i];
			if ((int32_t)(world.now_ms - datagram.at_ms) < 0) {
				i++;
				continue;
			}
			world.air[i] = world.air[--world.queued];
			hear(datagram.to, datagram.bytes, datagram.size, 0);
		}
	}
}

static void all_near(bool near)
{
	for (uint32_t i = 0; i < world.pins; i++) {
		world.pin[i].near = near;
	}
}

static enum tap_state state_of(uint32_t pin)
{
	return tap_state(&world.pin[pin].tap);
}

/* How many of the pin's peer halves are by a pin of this world that has it as its own, and names the same tap as an own
 * half of this pin. Fails where there is one that is not. */
static void check_halves(uint32_t at)
{
	const struct pin *pin = &world.pin[at];
	assert_int_equal(tap_friends(&pin->tap), pin->peers);
	for (uint32_t i = 0; i < pin->peers; i++) {
		struct half theirs, ours;
		uint8_t tap[STATEMENT_TAP_SIZE], own_tap[STATEMENT_TAP_SIZE];
		bool by_author = false, same_tap = false;
		statement_parse_half(&theirs, pin->peer_halves[i].statement, STATEMENT_HALF_SIZE);
		statement_tap_id(tap, &theirs);
		for (uint32_t other = 0; other < world.pins; other++) {
			for (uint32_t j = 0; j < world.pin[other].own && other != at; j++) {
				by_author = by_author || memcmp(&world.pin[other].own_halves[j], &pin->peer_halves[i],
				                                sizeof pin->peer_halves[i]) == 0;
			}
		}
		for (uint32_t j = 0; j < pin->own; j++) {
			statement_parse_half(&ours, pin->own_halves[j].statement, STATEMENT_HALF_SIZE);
			statement_tap_id(own_tap, &ours);
			same_tap = same_tap || memcmp(tap, own_tap, sizeof tap) == 0;
		}
		assert_true(by_author && same_tap);
	}
}

static bool all_have(uint32_t friends)
{
	bool all = true;
	for (uint32_t i = 0; i < world.pins; i++) {
		all = all && tap_friends(&world.pin[i].tap) >= friends;
	}
	return all;
}

/* Lets the pins come near at slightly different times, and waits until each has so many friends. Returns how long it took, or
 * UINT32_MAX. */
static uint32_t meet(uint32_t friends)
{
	uint32_t come_ms[PINS];
	for (uint32_t i = 0; i < world.pins; i++) {
		come_ms[i] = random_below(&world.random, 300);
	}
	for (uint32_t ms = 0; ms < TAP_TIMEOUT_MS; ms += STEP_MS) {
		for (uint32_t i = 0; i < world.pins; i++) {
			world.pin[i].near = ms >= come_ms[i];
		}
		pass(STEP_MS);
		if (all_have(friends)) {
			return ms;
		}
	}
	return UINT32_MAX;
}

static void check_all(void)
{
	for (uint32_t i = 0; i < world.pins; i++) {
		check_halves(i);
	}
}

static void test_two_pins(void **state)
{
	(void)state;
	begin(1, 2, 0, 0, 0);
	step_pins();
	assert_int_equal(state_of(0), TAP_IDLE);
	world.pin[0].near = true;
	pass(200);
	assert_int_equal(state_of(0), TAP_SEARCHING);
	assert_int_equal(state_of(1), TAP_IDLE);
	assert_int_equal(world.pin[1].own, 0); /* not near: a HELLO from afar is nothing */
	world.pin[1].near = true;
	pass(200);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(state_of(i), TAP_FRIENDS);
		assert_int_equal(world.pin[i].own, 1);
		assert_int_equal(world.pin[i].peers, 1);
		struct half half;
		statement_parse_half(&half, world.pin[i].own_halves[0].statement, STATEMENT_HALF_SIZE);
		assert_true(half.time_ms == WALL && half.link == HALF_LINK_WIRE && half.counter == 1);
	}
	check_all();
	uint32_t sent = world.pin[0].sent;
	pass(TAP_SHOW_MS);
	assert_int_equal(state_of(0), TAP_IDLE); /* shown for a while, and then nothing more while they lie there */
	pass(3600000);
	assert_in_range(world.pin[0].sent - sent, 0, 30);
	assert_int_equal(world.pin[0].own, 1);
	all_near(false);
	pass(TAP_AWAY_MS + 100);
	all_near(true);
	pass(500);
	assert_int_equal(tap_friends(&world.pin[0].tap), 2); /* a new approach, with fresh nonces */
	check_all();
	struct half first, second;
	statement_parse_half(&first, world.pin[0].own_halves[0].statement, STATEMENT_HALF_SIZE);
	statement_parse_half(&second, world.pin[0].own_halves[1].statement, STATEMENT_HALF_SIZE);
	assert_memory_not_equal(first.nonce, second.nonce, sizeof first.nonce);
}

static void test_flicker_is_one_approach(void **state)
{
	(void)state;
	begin(2, 2, 0, 0, 0);
	for (int i = 0; i < 100; i++) {
		all_near(i % 2 == 0);
		pass(TAP_AWAY_MS / 2);
	}
	assert_int_equal(world.pin[0].own, 1);
	assert_int_equal(world.pin[1].peers, 1);
}

static void test_nobody_there(void **state)
{
	(void)state;
	begin(3, 1, 0, 0, 0);
	all_near(true);
	pass(TAP_TIMEOUT_MS - 100);
	assert_int_equal(state_of(0), TAP_SEARCHING);
	pass(200);
	assert_int_equal(state_of(0), TAP_FAILED);
	uint32_t sent = world.pin[0].sent;
	pass(TAP_SHOW_MS);
	assert_int_equal(state_of(0), TAP_IDLE);
	assert_int_equal(world.pin[0].sent, sent);
	all_near(false);
	pass(2000);
	all_near(true);
	pass(100);
	assert_int_equal(state_of(0), TAP_SEARCHING);
	all_near(false);
	pass(TAP_AWAY_MS + 100);
	assert_int_equal(state_of(0), TAP_IDLE);
}

/* One side hears all, the other nothing after the HELLO: "waiting", then failed, and the next approach is well. */
static void test_one_side_goes_silent(void **state)
{
	(void)state;
	begin(4, 2, 0, 0, 0);
	world.deaf[0][1] = true;
	all_near(true);
	pass(300);
	assert_int_equal(state_of(0), TAP_SEARCHING);
	assert_int_equal(state_of(1), TAP_WAITING);
	pass(TAP_TIMEOUT_MS + 300);
	assert_int_equal(state_of(0), TAP_FAILED);
	assert_int_equal(state_of(1), TAP_FAILED);
	world.deaf[0][1] = false;
	all_near(false);
	pass(2000);
	all_near(true);
	pass(300);
	assert_int_equal(state_of(0), TAP_FRIENDS);
	assert_int_equal(state_of(1), TAP_FRIENDS);
	check_all();
}

/* The last frame lost: one is done, the other is answered for as long as it tries. */
static void test_done_still_answers(void **state)
{
	(void)state;
	for (uint32_t late_ms = 500; late_ms < TAP_TIMEOUT_MS; late_ms += 1000) {
		begin(late_ms, 2, 0, 0, 0);
		all_near(true);
		pass(STEP_MS);
		for (int i = 0; i < 100 && world.pin[0].peers == 0 && world.pin[1].peers == 0; i++) {
			pass(STEP_MS);
		}
		/* Whoever is not done now hears nothing for a while. */
		uint32_t open = world.pin[0].peers == 0 ? 0 : 1;
		if (world.pin[open].peers > 0) {
			continue;
		}
		world.queued = 0;
		world.deaf[open][1 - open] = true;
		pass(late_ms);
		assert_int_equal(state_of(open), TAP_WAITING);
		world.deaf[open][1 - open] = false;
		pass(300);
		assert_int_equal(world.pin[open].peers, 1);
		check_all();
	}
}

static void test_cancel(void **state)
{
	(void)state;
	begin(5, 2, 0, 0, 0);
	world.deaf[0][1] = true;
	all_near(true);
	pass(300);
	tap_cancel(&world.pin[0].tap, world.now_ms);
	tap_cancel(&world.pin[1].tap, world.now_ms);
	assert_int_equal(state_of(0), TAP_IDLE);
	assert_int_equal(state_of(1), TAP_IDLE);
	world.deaf[0][1] = false;
	uint32_t sent = world.pin[0].sent + world.pin[1].sent;
	pass(30000);
	assert_int_equal(state_of(0), TAP_IDLE);
	assert_int_equal(world.pin[0].sent + world.pin[1].sent, sent);
	all_near(false);
	pass(2000);
	all_near(true);
	pass(300);
	assert_int_equal(state_of(0), TAP_FRIENDS);
}

static void test_full(void **state)
{
	(void)state;
	begin(6, 2, 0, 0, 0);
	world.pin[0].room = 1;
	all_near(true);
	pass(500);
	assert_int_equal(state_of(0), TAP_FULL);
	assert_int_equal(state_of(1), TAP_SEARCHING);
	assert_int_equal(world.pin[0].own + world.pin[1].own, 0);
	all_near(false);
	pass(2000);
	assert_int_equal(state_of(0), TAP_IDLE);
	world.pin[0].room = 2;
	all_near(true);
	pass(500);
	assert_int_equal(state_of(0), TAP_FRIENDS);
	assert_int_equal(world.pin[0].room, 0);
}

/* Room for one tap and two peers: the one is finished, the other refused, no half without its place. */
static void test_room_is_kept_for_the_peers_half(void **state)
{
	(void)state;
	begin(7, 3, 0, 0, 0);
	world.pin[0].room = 3;
	all_near(true);
	pass(3000);
	assert_int_equal(world.pin[0].own, 1);
	assert_int_equal(world.pin[0].peers, 1);
	check_all();
}

static void test_weak_signal_is_not_a_tap(void **state)
{
	(void)state;
	begin(8, 1, 0, 0, 0);
	all_near(true);
	pass(100);
	uint8_t hello[TAP_HELLO_SIZE] = {TAP_HELLO}, seed[32] = {9}, key[32], secret[64];
	pin_keypair(key, secret, seed);
	statement_pin_id(hello + 1, key);
	memcpy(hello + 25, key, sizeof key);
	hear(0, hello, sizeof hello, TAP_MIN_RSSI - 1);
	assert_int_equal(world.pin[0].own, 0);
	hear(0, hello, sizeof hello, TAP_MIN_RSSI);
	assert_int_equal(world.pin[0].own, 1);
	struct half half;
	statement_parse_half(&half, world.pin[0].own_halves[0].statement, STATEMENT_HALF_SIZE);
	assert_int_equal(half.rssi, TAP_MIN_RSSI);
}

static uint32_t runs(uint32_t otherwise)
{
	return number_from("PINFOLD_RUNS", otherwise);
}

static uint64_t first_seed(void)
{
	return (uint64_t)number_from("PINFOLD_SEED", 1) << 32;
}

static void meet_often(uint32_t n, uint32_t pins, uint32_t loss)
{
	uint32_t longest = 0;
	uint64_t sum = 0, sent = 0;
	for (uint32_t run = 0; run < n; run++) {
		begin(first_seed() + run, pins, loss, 10, 60);
		uint32_t took = meet(pins - 1);
		if (took == UINT32_MAX) {
			fail_msg("%u pins at %u%% loss, run %u: not all taps ended", (unsigned)pins, (unsigned)loss, (unsigned)run);
		}
		longest = took > longest ? took : longest;
		sum += took;
		sent += world.pin[0].sent;
		check_all();
	}
	printf("%u pins, %u%% lost: %u of %u runs, %u ms in the mean, %u at most, %u datagrams of a pin\n", (unsigned)pins,
	       (unsigned)loss, (unsigned)n, (unsigned)n, (unsigned)(sum / n), (unsigned)longest, (unsigned)(sent / n));
}

static void test_lossy_air(void **state)
{
	(void)state;
	meet_often(runs(10000), 2, 20);
	meet_often(runs(10000) / 10, 3, 20);
	meet_often(runs(10000) / 10, 5, 20);
	meet_often(runs(10000) / 10, 2, 50);
}

/* An air that bears hardly anything: not every tap ends, but what a pin believes is true. */
static void test_hopeless_air(void **state)
{
	(void)state;
	uint32_t ended = 0, n = runs(10000) / 20 + 1;
	for (uint32_t run = 0; run < n; run++) {
		begin(first_seed() + run, 2, 95, 30, 300);
		meet(1);
		all_near(false);
		pass(TAP_TIMEOUT_MS + TAP_LINGER_MS);
		check_all();
		for (uint32_t i = 0; i < 2; i++) {
			assert_int_equal(state_of(i), TAP_IDLE);
			ended += world.pin[i].peers;
		}
	}
	assert_in_range(ended, 1, 2 * n - 1);
}

/* A datagram as an attacker would make it: noise, or a datagram that was overheard, with bits changed. */
static void attack(const struct datagram *heard, uint32_t n)
{
	uint8_t bytes[300];
	size_t size = random_below(&world.random, sizeof bytes);
	random_fill(&world.random, bytes, size);
	if (n > 0 && random_below(&world.random, 4) != 0) {
		const struct datagram *from = &heard[random_below(&world.random, n)];
		size = from->size;
		memcpy(bytes, from->bytes, size);
		for (uint32_t flips = random_below(&world.random, 4); flips > 0; flips--) {
			bytes[random_below(&world.random, (uint32_t)size)] ^= (uint8_t)(1u << random_below(&world.random, 8));
		}
	}
	uint8_t *exact = test_malloc(size + 1);
	memcpy(exact, bytes, size);
	hear(random_below(&world.random, world.pins), exact, size, (int8_t)random_u32(&world.random));
	test_free(exact);
}

/* Keys of one's own are no crime: an attacker may be a pin with as many ids as it likes, and claim the nonces it likes. */
static void hostile_hello(const uint8_t *key_of)
{
	uint8_t hello[TAP_HELLO_SIZE] = {TAP_HELLO}, seed[32], key[32], secret[64];
	random_fill(&world.random, seed, sizeof seed);
	pin_keypair(key, secret, seed);
	if (key_of != NULL) {
		memcpy(key, key_of, sizeof key);
	}
	statement_pin_id(hello + 1, key);
	random_fill(&world.random, hello + 9, STATEMENT_NONCE_SIZE);
	memcpy(hello + 25, key, sizeof key);
	hear(0, hello, sizeof hello, 0);
}

static void test_hostile_air(void **state)
{
	(void)state;
	uint64_t datagrams = 0;
	for (uint32_t run = 0; run < runs(10000) / 50 + 1; run++) {
		static struct datagram heard[32];
		uint32_t n = 0;
		begin(first_seed() + run, 2, 10, 10, 30);
		all_near(true);
		for (int i = 0; i < 150; i++) {
			pass(STEP_MS);
			for (uint32_t j = 0; j < world.queued && n < 32; j++) {
				heard[n++] = world.air[j];
			}
			for (int j = 0; j < 10; j++, datagrams++) {
				attack(heard, n);
			}
		}
		check_all();
		all_near(false);
		pass(2000);
		all_near(true);
		uint32_t before[2] = {world.pin[0].peers, world.pin[1].peers};
		pass(3000);
		assert_true(world.pin[0].peers > before[0] && world.pin[1].peers > before[1]);
		check_all();
	}
	printf("hostile air: %llu datagrams\n", (unsigned long long)datagrams);
}

/* A flood of HELLOs, by strangers and in the friend's name: a bounded number of halves, and a tap in the very same
 * approach, right after it. */
static void test_flood_of_hellos(void **state)
{
	(void)state;
	for (uint32_t run = 0; run < 20; run++) {
		begin(first_seed() + run, 2, 20, 0, 30);
		world.pin[0].near = true;
		for (int i = 0; i < 1500; i++) {
			pass(STEP_MS);
			hostile_hello(run % 2 == 0 ? NULL : world.pin[1].tap.public_key);
		}
		assert_in_range(world.pin[0].own, TAP_SIGNED + 1, 24); /* 8, and one for each second; more than one nonce is for */
		assert_int_equal(world.pin[0].peers, 0);
		world.pin[1].near = true;
		pass(5000);
		assert_int_equal(world.pin[0].peers, 1);
		assert_int_equal(world.pin[1].peers, 1);
		check_all();
	}
}

/* A third pin that bears another's id, with a key of its own or with the other's key but not its secret. */
static void test_claimed_id(void **state)
{
	(void)state;
	begin(10, 3, 0, 0, 0);
	struct tap *thief = &world.pin[2].tap, *victim = &world.pin[1].tap;
	memcpy(thief->pin, victim->pin, sizeof thief->pin);
	world.pin[0].near = world.pin[2].near = true;
	pass(2000);
	assert_int_equal(world.pin[0].own, 0); /* the id is not the hash of the key */
	memcpy(thief->public_key, victim->public_key, sizeof thief->public_key);
	pass(2000);
	assert_int_equal(world.pin[0].own, 1);
	assert_int_equal(world.pin[0].peers, 0); /* it cannot sign */
	assert_int_equal(state_of(0), TAP_WAITING);
	world.pin[1].near = true;
	pass(1000);
	assert_int_equal(world.pin[0].peers, 1); /* the true one can */
	assert_int_equal(world.pin[1].peers, 1);
}

/* A true half of the friend, but of another tap. */
static void test_replay(void **state)
{
	(void)state;
	begin(11, 2, 0, 0, 0);
	all_near(true);
	pass(500);
	uint8_t old[TAP_HALF_SIZE] = {TAP_HALF};
	memcpy(old + 1, &world.pin[1].own_halves[0], sizeof old - 1);
	all_near(false);
	pass(TAP_LINGER_MS + 2000);
	world.pin[0].near = true;
	pass(500);
	for (int i = 0; i < 100; i++) {
		hear(0, old, sizeof old, 0);
		pass(20);
	}
	assert_int_equal(world.pin[0].peers, 1);
	assert_int_equal(state_of(0), TAP_SEARCHING);
}

/* Two pins that are done must not answer each other for ever. */
static void test_no_echo(void **state)
{
	(void)state;
	begin(12, 2, 0, 100, 50);
	all_near(true);
	pass(1000);
	uint32_t sent = world.pin[0].sent + world.pin[1].sent;
	assert_in_range(sent, 4, 60);
	pass(4000);
	assert_in_range(world.pin[0].sent + world.pin[1].sent - sent, 0, 80);
	sent = world.pin[0].sent + world.pin[1].sent;
	pass(60000);
	assert_in_range(world.pin[0].sent + world.pin[1].sent - sent, 0, 20);
	assert_int_equal(world.pin[0].own + world.pin[1].own, 2);
}

/* The other side may repeat its HALF alone: it is answered, but not each time. */
static void test_half_is_answered(void **state)
{
	(void)state;
	begin(14, 2, 0, 0, 0);
	all_near(true);
	pass(TAP_GATHER_MS + 1000);
	uint8_t half[TAP_HALF_SIZE] = {TAP_HALF};
	memcpy(half + 1, &world.pin[1].own_halves[0], sizeof half - 1);
	uint32_t sent = world.pin[0].sent;
	hear(0, half, sizeof half, 0);
	assert_int_equal(world.pin[0].sent, sent + 1);
	for (int i = 0; i < 100; i++) {
		world.now_ms += 40;
		hear(0, half, sizeof half, 0);
	}
	assert_in_range(world.pin[0].sent - sent, 3, 10);
}

static void test_without_nonce_nothing(void **state)
{
	(void)state;
	begin(13, 1, 0, 0, 0);
	struct tap *tap = &world.pin[0].tap;
	tap_step(tap, world.now_ms + 10, true);
	assert_int_equal(tap_state(tap), TAP_IDLE);
	assert_int_equal(world.pin[0].sent, 0);
	const uint8_t nonce[STATEMENT_NONCE_SIZE] = {1};
	tap_give_nonce(tap, nonce);
	tap_step(tap, world.now_ms + 20, true);
	assert_int_equal(tap_state(tap), TAP_SEARCHING);
	assert_true(tap_needs_nonce(tap));
}

/* One pin goes and comes while the other is felt all the time: the tap that was begun first ends without a word, as its friend is one. */
static void test_begun_twice(void **state)
{
	(void)state;
	begin(15, 2, 0, 0, 0);
	world.deaf[0][1] = world.deaf[1][0] = true;
	all_near(true);
	pass(50);
	world.deaf[1][0] = false; /* 1 hears 0 and makes its half; 0 hears nothing */
	pass(300);
	assert_int_equal(state_of(1), TAP_WAITING);
	world.pin[0].near = false;
	pass(TAP_AWAY_MS + 100);
	world.deaf[0][1] = false;
	world.pin[0].near = true;
	pass(500);
	assert_int_equal(state_of(0), TAP_FRIENDS);
	assert_int_equal(state_of(1), TAP_FRIENDS);
	for (uint32_t ms = 0; ms < TAP_TIMEOUT_MS + TAP_SHOW_MS; ms += 100) {
		pass(100);
		for (uint32_t i = 0; i < 2; i++) {
			assert_true(state_of(i) == TAP_FRIENDS || state_of(i) == TAP_IDLE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_pins),
		cmocka_unit_test(test_flicker_is_one_approach),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_one_side_goes_silent),
		cmocka_unit_test(test_done_still_answers),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_room_is_kept_for_the_peers_half),
		cmocka_unit_test(test_weak_signal_is_not_a_tap),
		cmocka_unit_test(test_lossy_air),
		cmocka_unit_test(test_hopeless_air),
		cmocka_unit_test(test_hostile_air),
		cmocka_unit_test(test_flood_of_hellos),
		cmocka_unit_test(test_claimed_id),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_no_echo),
		cmocka_unit_test(test_half_is_answered),
		cmocka_unit_test(test_without_nonce_nothing),
		cmocka_unit_test(test_begun_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
