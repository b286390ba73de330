#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

#define TO(name) pinfold_pin_v1_ToPin_##name##_tag
#define FROM(name) pinfold_pin_v1_FromPin_##name##_tag

static struct rig rig;

static int setup(void **state) {
	(void)state;
	rig_new(&rig, 1);
	rig_poll(&rig);
	rig_hear(&rig); /* what it says at its start */
	return 0;
}

static void assert_error(const from_pin *m, pinfold_pin_v1_Fault fault) {
	assert_non_null(m);
	assert_int_equal(m->which_message, FROM(error));
	assert_int_equal(m->message.error.fault, fault);
}

/* put_reports stores n step reports of the pin itself. */
static void put_reports(int n) {
	for (int i = 0; i < n; i++) {
		struct step_report r = {.counter = store_next_counter(&rig.pin.store), .first_slot = (uint32_t)(1000 + i), .n = 1, .steps = {7}};
		uint8_t bytes[STATEMENT_MAX_SIZE], signature[PIN_SIGNATURE_SIZE];
		size_t size;
		memcpy(r.pin, rig.pin.id, sizeof r.pin);
		assert_int_equal(statement_build_steps(bytes, &size, &r), STATEMENT_OK);
		pin_sign(signature, bytes, size, rig.pin.secret_key);
		assert_int_equal(store_put_step_report(&rig.pin.store, bytes, size, signature), STORE_OK);
	}
}

/* At its start the pin says who it is, unasked. */
static void test_boot(void **state) {
	(void)state;
	rig_new(&rig, 1);
	rig_poll(&rig);
	rig_hear(&rig);
	assert_int_equal(rig.count, 1);
	assert_int_equal(rig.answers[0].request, 0);
	assert_int_equal(rig.answers[0].which_message, FROM(info));
	const pinfold_pin_v1_Info *info = &rig.answers[0].message.info;
	uint8_t id[STATEMENT_PIN_SIZE];
	statement_pin_id(id, info->public_key);
	assert_memory_equal(info->pin, id, sizeof id);
	assert_string_equal(info->firmware, PIN_FIRMWARE);
	assert_false(info->clock_set);
	assert_int_equal(info->time_ms, 0);
	assert_int_equal(info->counter, 0);
	assert_false(info->full);
}

static void test_set_time(void **state) {
	(void)state;
	const int64_t noon = 1763985600000;
	const from_pin *m = rig_set_time(&rig, noon, 36);
	assert_non_null(m);
	assert_int_equal(m->which_message, FROM(info));
	assert_true(m->message.info.clock_set);
	rig.board.millis += 5000;
	int64_t now = rig_info(&rig)->time_ms;
	assert_in_range(now - noon, 5000, 5100);
	assert_error(rig_set_time(&rig, 0, 0), pinfold_pin_v1_Fault_FAULT_MALFORMED);
	assert_error(rig_set_time(&rig, -5, 0), pinfold_pin_v1_Fault_FAULT_MALFORMED);
	assert_error(rig_set_time(&rig, INT64_MAX, 0), pinfold_pin_v1_Fault_FAULT_MALFORMED);
	assert_error(rig_set_time(&rig, noon, 97), pinfold_pin_v1_Fault_FAULT_MALFORMED);
	assert_error(rig_set_time(&rig, noon, -97), pinfold_pin_v1_Fault_FAULT_MALFORMED);
	assert_in_range(rig_info(&rig)->time_ms - noon, 5000, 5500);
}

static to_pin fetch(uint32_t max, uint32_t after) {
	return (to_pin){.request = 5, .which_message = TO(fetch), .message.fetch = {.max = max, .after = after}};
}

static void test_fetch_and_acknowledge(void **state) {
	(void)state;
	to_pin all = fetch(32, 0), m;
	assert_int_equal(rig_ask(&rig, &all)->which_message, FROM(empty));
	put_reports(40);
	rig_poll(&rig);
	rig_hear(&rig); /* it tells the phone */
	assert_int_equal(rig.count, 1);
	assert_int_equal(rig.answers[0].message.info.records, 40);
	static const struct {
		uint32_t max, want;
	} sizes[] = {{0, 1}, {1, 1}, {7, 7}, {32, 32}, {33, 32}, {UINT32_MAX, 32}};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		m = fetch(sizes[i].max, 0);
		assert_non_null(rig_ask(&rig, &m));
		assert_int_equal(rig.count, sizes[i].want);
		for (size_t k = 0; k < rig.count; k++) {
			const pinfold_pin_v1_Statement *s = &rig.answers[k].message.statement;
			assert_int_equal(rig.answers[k].which_message, FROM(statement));
			assert_int_equal(rig.answers[k].request, 5);
			assert_int_equal(s->more, k + 1 < rig.count);
			struct step_report r;
			assert_int_equal(statement_parse_steps(&r, s->statement.bytes, s->statement.size), STATEMENT_OK);
			assert_int_equal(r.first_slot, 1000 + k); /* oldest first */
			assert_true(pin_verify(s->signature, s->statement.bytes, s->statement.size, rig.pin.public_key));
		}
	}
	/* the rest, after the 32nd */
	m = fetch(32, rig.answers[31].message.statement.record);
	rig_ask(&rig, &m);
	assert_int_equal(rig.count, 8);
	assert_false(rig.answers[7].message.statement.more);
	uint32_t last = rig.answers[7].message.statement.record;
	m = fetch(32, last);
	assert_int_equal(rig_ask(&rig, &m)->which_message, FROM(empty));
	/* one, twice, and one that is not there */
	m = (to_pin){.request = 6, .which_message = TO(acknowledge), .message.acknowledge = {.records_count = 3, .records = {last, last, 999999}}};
	assert_int_equal(rig_ask(&rig, &m)->message.info.records, 39);
	/* all others */
	while (rig_ask(&rig, &all)->which_message == FROM(statement)) {
		m = (to_pin){.request = 7, .which_message = TO(acknowledge)};
		for (size_t k = 0; k < rig.count; k++) {
			m.message.acknowledge.records[m.message.acknowledge.records_count++] = rig.answers[k].message.statement.record;
		}
		assert_int_equal(rig_ask(&rig, &m)->which_message, FROM(info));
	}
	assert_int_equal(rig_info(&rig)->records, 0);
	assert_int_equal(rig_info(&rig)->counter, 40);
}

static to_pin prove(uint32_t request, uint8_t first) {
	return (to_pin){.request = request, .which_message = TO(prove), .message.prove.challenge = {first, 2, 3}};
}

static void test_prove_needs_the_button(void **state) {
	(void)state;
	to_pin m = prove(9, 1);
	rig.board.presses = 1; /* one that nobody asked for is not kept */
	rig_poll(&rig);
	assert_int_equal(rig_ask_press(&rig, &m)->which_message, FROM(press_button));
	assert_int_equal(rig.count, 1);
	for (int i = 0; i < 100; i++) {
		rig_poll(&rig);
	}
	rig_hear(&rig);
	assert_int_equal(rig.count, 0);
	rig.board.presses = 1;
	rig_poll(&rig);
	rig_hear(&rig);
	assert_int_equal(rig.count, 1);
	assert_int_equal(rig.answers[0].request, 9);
	assert_int_equal(rig.answers[0].which_message, FROM(proof));
	const pinfold_pin_v1_Proof *got = &rig.answers[0].message.proof;
	struct proof proof;
	assert_int_equal(statement_parse_proof(&proof, got->statement, sizeof got->statement), STATEMENT_OK);
	assert_memory_equal(proof.pin, rig.pin.id, sizeof proof.pin);
	assert_memory_equal(proof.challenge, m.message.prove.challenge, sizeof proof.challenge);
	assert_true(pin_verify(got->signature, got->statement, sizeof got->statement, rig.pin.public_key));
	/* one press, one proof */
	rig.board.presses = 1;
	rig_poll(&rig);
	rig_poll(&rig);
	rig_hear(&rig);
	assert_int_equal(rig.count, 0);
	m = prove(10, 0);
	memset(m.message.prove.challenge, 0, 32);
	assert_error(rig_ask(&rig, &m), pinfold_pin_v1_Fault_FAULT_MALFORMED);
}

static void test_prompt_times_out(void **state) {
	(void)state;
	to_pin m = prove(9, 1);
	rig_ask_press(&rig, &m);
	rig.board.millis += PHONE_PROMPT_MS - 600;
	rig_poll(&rig);
	rig_hear(&rig);
	assert_int_equal(rig.count, 0);
	rig.board.millis += 600;
	rig_poll(&rig);
	rig_hear(&rig);
	assert_int_equal(rig.count, 1);
	assert_int_equal(rig.answers[0].request, 9);
	assert_error(&rig.answers[0], pinfold_pin_v1_Fault_FAULT_NOT_PRESSED);
	rig.board.presses = 1;
	rig_poll(&rig);
	rig_hear(&rig);
	assert_int_equal(rig.count, 0);
}

static void test_prompt_is_replaced(void **state) {
	(void)state;
	to_pin first = prove(9, 1), second = prove(10, 55);
	rig_ask_press(&rig, &first);
	assert_int_equal(rig_ask_press(&rig, &second)->which_message, FROM(press_button));
	assert_int_equal(rig.count, 2);
	assert_int_equal(rig.answers[0].request, 9);
	assert_error(&rig.answers[0], pinfold_pin_v1_Fault_FAULT_REPLACED);
	rig.board.presses = 1;
	rig_poll(&rig);
	rig_hear(&rig);
	assert_int_equal(rig.count, 1);
	assert_int_equal(rig.answers[0].request, 10);
	assert_int_equal(rig.answers[0].message.proof.statement[12], 55);
}

static void test_wipe(void **state) {
	(void)state;
	put_reports(3);
	uint8_t before[STATEMENT_PIN_SIZE];
	memcpy(before, rig.pin.id, sizeof before);
	to_pin m = {.request = 4, .which_message = TO(wipe)};
	assert_int_equal(rig_ask_press(&rig, &m)->which_message, FROM(press_button));
	assert_int_equal(rig_info(&rig)->records, 3);
	rig.board.presses = 1;
	rig_poll(&rig);
	rig_hear(&rig);
	assert_true(rig.count >= 1);
	assert_int_equal(rig.answers[0].request, 4);
	assert_int_equal(rig.answers[0].which_message, FROM(info));
	assert_memory_not_equal(rig.answers[0].message.info.pin, before, sizeof before);
	assert_int_equal(rig.answers[0].message.info.records, 0);
	assert_int_equal(rig.answers[0].message.info.counter, 0);
	uint8_t after[STATEMENT_PIN_SIZE];
	memcpy(after, rig.pin.id, sizeof after);
	assert_memory_equal(rig.pin.tap.pin, after, sizeof after);
	rig_boot(&rig);
	assert_memory_equal(rig.pin.id, after, sizeof after);
}

static void test_face_and_background(void **state) {
	(void)state;
	to_pin m = {.request = 3, .which_message = TO(set_face),
				.message.set_face = {.friends = 12, .medal = 1, .background = "judo", .backgrounds = 2, .next_background = "karate", .next_background_friends = 3, .step_goal = 9}};
	assert_int_equal(rig_ask(&rig, &m)->which_message, FROM(info));
	assert_int_equal(rig.pin.face.friends, 12);
	assert_string_equal(rig.pin.face.background, "judo");
	m.message.set_face.medal = (pinfold_pin_v1_Medal)4;
	m.message.set_face.friends = 13;
	assert_error(rig_ask(&rig, &m), pinfold_pin_v1_Fault_FAULT_MALFORMED);
	m.message.set_face.medal = pinfold_pin_v1_Medal_MEDAL_BRONZE;
	m.message.set_face.next_medal = (pinfold_pin_v1_Medal)4;
	assert_error(rig_ask(&rig, &m), pinfold_pin_v1_Fault_FAULT_MALFORMED);
	assert_int_equal(rig.pin.face.friends, 12);
	to_pin c = {.request = 3, .which_message = TO(choose_background), .message.choose_background.background = "archery"};
	assert_string_equal(rig_ask(&rig, &c)->message.background_chosen.background, "archery");
	assert_string_equal(rig.pin.face.background, "archery");
	strcpy(c.message.choose_background.background, "quidditch");
	assert_string_equal(rig_ask(&rig, &c)->message.background_chosen.background, "");
	/* it is saved, and survives */
	strcpy(c.message.choose_background.background, "rugby");
	rig_ask(&rig, &c);
	rig.board.millis += PIN_SAVE_MS;
	rig_poll(&rig);
	rig_boot(&rig);
	assert_string_equal(rig.pin.face.background, "rugby");
	assert_int_equal(rig.pin.face.friends, 12);
	/* what does not change wears out nothing */
	rig.board.writes = 0;
	m.message.set_face = (pinfold_pin_v1_SetFace){.friends = 12, .medal = 1, .background = "rugby", .backgrounds = 2, .next_background = "karate", .next_background_friends = 3, .step_goal = 9};
	for (int i = 0; i < 10; i++) {
		assert_int_equal(rig_ask(&rig, &m)->which_message, FROM(info));
		rig.board.millis += PIN_SAVE_MS;
		rig_poll(&rig);
	}
	assert_int_equal(rig.board.writes, 0);
}

static void test_malformed(void **state) {
	(void)state;
	static const struct {
		const char *name;
		uint8_t payload[48];
		size_t size;
	} cases[] = {
		{"no protobuf", {0xFF, 0xFF, 0xFF}, 3},
		{"nothing asked", {0x08, 1}, 2},
		{"a field of tomorrow", {0x08, 1, 0xBA, 6, 0}, 5},
		{"no request number", {0x12, 0}, 2},
		{"a short challenge", {0x08, 1, 0x32, 3, 0x0A, 1, 7}, 7},
		{"a background without end", {0x08, 1, 0x42, 36, 0x0A, 34, 'x', 'x'}, 42},
		{"cut off", {0x08, 1, 0x12, 9, 1}, 5},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		rig_send_payload(&rig, cases[i].payload, cases[i].size);
		rig_poll(&rig);
		rig_hear(&rig);
		if (rig.count != 1 || rig.answers[0].which_message != FROM(error) || rig.answers[0].message.error.fault != pinfold_pin_v1_Fault_FAULT_MALFORMED) {
			fail_msg("%s: %zu answers, the first is %d", cases[i].name, rig.count, (int)rig.answers[0].which_message);
		}
	}
	to_pin many = {.request = 1, .which_message = TO(acknowledge)};
	many.message.acknowledge.records_count = 32;
	assert_int_equal(rig_ask(&rig, &many)->which_message, FROM(info));
	uint8_t payload[40] = {0x08, 1, 0x2A, 35, 0x0A, 33}; /* 33 packed records */
	memset(payload + 6, 1, 33);
	rig_send_payload(&rig, payload, 39);
	rig_poll(&rig);
	rig_hear(&rig);
	assert_int_equal(rig.count, 1);
	assert_error(&rig.answers[0], pinfold_pin_v1_Fault_FAULT_MALFORMED);
}

/* A link that takes a byte now and then gets every answer whole, and the pin goes on. */
static void test_slow_phone(void **state) {
	(void)state;
	put_reports(20);
	to_pin all = fetch(32, 0);
	rig.board.phone_room = 0;
	rig_send(&rig, &all);
	for (int i = 0; i < 12000 && rig.board.from_pin_size < 3300; i++) {
		rig.board.phone_room = (size_t)(i % 4);
		rig_poll(&rig);
	}
	rig.board.phone_room = SIZE_MAX;
	rig_poll(&rig);
	rig_hear(&rig);
	size_t statements = 0;
	for (size_t i = 0; i < rig.count; i++) {
		statements += rig.answers[i].which_message == FROM(statement);
	}
	assert_int_equal(statements, 20);
	assert_non_null(rig_info(&rig));
}

/* Whatever bytes come, raw or in good frames, the pin lives and then answers. */
static void test_noise(void **state) {
	(void)state;
	uint64_t random = 42;
	uint8_t id[STATEMENT_PIN_SIZE];
	memcpy(id, rig.pin.id, sizeof id);
	for (int round = 0; round < 3000; round++) {
		uint8_t bytes[300];
		size_t n = 0;
		random = random * 6364136223846793005u + 1442695040888963407u;
		size_t want = 1 + (random >> 40) % sizeof bytes;
		while (n < want) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			bytes[n++] = (uint8_t)(random >> 60 < 6 ? (random >> 50) % 64 : random >> 40);
		}
		if (round % 2 == 0) {
			rig_send_bytes(&rig, bytes, n);
		} else {
			if (n > 4 && round % 4 == 1) { /* more like a request */
				const uint8_t tags[] = {0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A, 0x42, 0x4A};
				bytes[0] = 0x08, bytes[1] = 1, bytes[2] = tags[random >> 61], bytes[3] = (uint8_t)(n - 4 > 127 ? 127 : n - 4);
			}
			rig_send_payload(&rig, bytes, n);
		}
		rig_poll(&rig);
		rig.board.from_pin_size = 0;
	}
	const uint8_t flag = 0x7E;
	rig_send_bytes(&rig, &flag, 1);
	const pinfold_pin_v1_Info *info = rig_info(&rig);
	assert_non_null(info);
	assert_memory_equal(info->pin, id, sizeof id); /* and was not wiped */
	assert_true(info->bad_frames > 1000);
}

/* A flash that does not work is said, and is not the end. */
static void test_flash_fails(void **state) {
	(void)state;
	static struct rig other;
	memset(&other, 0, sizeof other);
	fake_init(&other.board, 3);
	other.board.flash_fails = true;
	rig_boot(&other);
	to_pin m = {.request = 77, .which_message = TO(hello)};
	assert_error(rig_ask(&other, &m), pinfold_pin_v1_Fault_FAULT_FLASH);
	other.board.flash_fails = false;
	other.board.millis += 2000;
	rig_poll(&other);
	assert_non_null(rig_info(&other));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_boot, setup),
		cmocka_unit_test_setup(test_set_time, setup),
		cmocka_unit_test_setup(test_fetch_and_acknowledge, setup),
		cmocka_unit_test_setup(test_prove_needs_the_button, setup),
		cmocka_unit_test_setup(test_prompt_times_out, setup),
		cmocka_unit_test_setup(test_prompt_is_replaced, setup),
		cmocka_unit_test_setup(test_wipe, setup),
		cmocka_unit_test_setup(test_face_and_background, setup),
		cmocka_unit_test_setup(test_malformed, setup),
		cmocka_unit_test_setup(test_slow_phone, setup),
		cmocka_unit_test_setup(test_noise, setup),
		cmocka_unit_test_setup(test_flash_fails, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
