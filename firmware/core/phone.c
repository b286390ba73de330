#include "phone.h"

#include <string.h>

#include "hal.h"
#include "pb_decode.h"
#include "pb_encode.h"
#include "pin.h"
#include "pin.pb.h"

#define TO(name) pinfold_pin_v1_ToPin_##name##_tag
#define FROM(name) pinfold_pin_v1_FromPin_##name##_tag

/* So many messages and bytes in one round, so that a phone that talks without end leaves time for the rest. */
#define TURNS 40
#define BYTES 2048

_Static_assert(pinfold_pin_v1_ToPin_size <= PHONE_IN_MAX, "a request fits a frame");
_Static_assert(pinfold_pin_v1_FromPin_size <= PHONE_OUT_MAX, "an answer fits a frame");
_Static_assert(sizeof((pinfold_pin_v1_SetFace *)0)->background == FACE_SPORT_MAX + 1, "pin.options agree");
_Static_assert(sizeof((pinfold_pin_v1_Acknowledge *)0)->records / sizeof(uint32_t) == PHONE_FETCH_MAX, "pin.options agree");
_Static_assert(sizeof((pinfold_pin_v1_Info *)0)->firmware >= sizeof PIN_FIRMWARE, "the version fits");

void phone_init(struct phone *phone) {
	memset(phone, 0, sizeof *phone);
	frame_decoder_init(&phone->frames, phone->in, sizeof phone->in);
	phone->announce = true;
}

void phone_shown(struct phone *phone, enum phone_prompt shown, uint32_t now_ms) {
	if (phone->shown != shown) {
		phone->shown = shown;
		phone->shown_since_ms = now_ms;
	}
}

bool phone_press(struct phone *phone) {
	if (phone->prompt == PHONE_NOTHING || !phone->settled) {
		return false;
	}
	phone->pressed = true;
	return true;
}

/* clear ends the prompt. */
static void clear(struct phone *phone) {
	phone->prompt = PHONE_NOTHING;
	phone->settled = false;
	phone->pressed = false;
}

/* expire ends a prompt that has waited too long, also while the phone takes nothing. */
static void expire(struct phone *phone, uint32_t now_ms) {
	if (phone->prompt != PHONE_NOTHING && now_ms - phone->prompt_since_ms >= PHONE_PROMPT_MS) {
		phone->expired_request = phone->prompt_request;
		clear(phone);
	}
}

/* send puts one message on its way. The out buffer is empty. */
static void send(struct phone *phone, const pinfold_pin_v1_FromPin *message) {
	uint8_t bytes[PHONE_OUT_MAX];
	pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof bytes);
	if (!pb_encode(&stream, pinfold_pin_v1_FromPin_fields, message)) {
		return; /* cannot be: the buffer holds the largest message */
	}
	phone->out_size = frame_encode(phone->out, sizeof phone->out, bytes, stream.bytes_written);
	phone->out_sent = 0;
}

/* flush reports whether all that was to be sent is. */
static bool flush(struct phone *phone) {
	phone->out_sent += hal_phone_write(phone->out + phone->out_sent, phone->out_size - phone->out_sent);
	return phone->out_sent == phone->out_size;
}

static void send_error(struct phone *phone, uint32_t request, pinfold_pin_v1_Fault fault) {
	pinfold_pin_v1_FromPin m = pinfold_pin_v1_FromPin_init_zero;
	m.request = request;
	m.which_message = FROM(error);
	m.message.error.fault = fault;
	send(phone, &m);
}

/* works reports whether the flash does: else nothing is known of what the pin holds. */
static bool works(const struct pin *pin) {
	return pin->ready && !pin->store.broken;
}

static void send_info(struct pin *pin, uint32_t request, uint32_t now_ms) {
	pinfold_pin_v1_FromPin m = pinfold_pin_v1_FromPin_init_zero;
	m.request = request;
	m.which_message = FROM(info);
	pinfold_pin_v1_Info *info = &m.message.info;
	memcpy(info->pin, pin->id, sizeof info->pin);
	memcpy(info->public_key, pin->public_key, sizeof info->public_key);
	info->time_ms = clock_now(&pin->clock, now_ms);
	info->clock_set = info->time_ms != 0;
	info->records = store_records(&pin->store);
	info->dropped_reports = store_dropped(&pin->store);
	memcpy(info->firmware, PIN_FIRMWARE, sizeof PIN_FIRMWARE);
	info->full = store_room(&pin->store) < 2;
	info->counter = store_next_counter(&pin->store) - 1; /* of none left, 0, the last there was */
	info->steps = pin_steps_today(pin, now_ms);
	info->bad_frames = pin->phone.frames.bad + pin->phone.malformed;
	send(&pin->phone, &m);
}

/* send_statement sends the next statement of the Fetch being answered. */
static void send_statement(struct pin *pin) {
	struct phone *phone = &pin->phone;
	struct store_record r;
	pinfold_pin_v1_FromPin m = pinfold_pin_v1_FromPin_init_zero;
	m.request = phone->fetch_request;
	if (!store_fetch(&pin->store, phone->fetch_after, &r)) {
		phone->fetch_left = 0;
		if (!works(pin)) {
			send_error(phone, m.request, pinfold_pin_v1_Fault_FAULT_FLASH);
			return;
		}
		m.which_message = FROM(empty);
		send(phone, &m);
		return;
	}
	phone->fetch_after = r.record;
	m.which_message = FROM(statement);
	m.message.statement.record = r.record;
	m.message.statement.statement.size = r.size;
	memcpy(m.message.statement.statement.bytes, r.statement, r.size);
	memcpy(m.message.statement.signature, r.signature, sizeof r.signature);
	phone->fetch_left--;
	if (phone->fetch_left > 0 && !store_fetch(&pin->store, r.record, &r)) {
		phone->fetch_left = 0;
	}
	m.message.statement.more = phone->fetch_left > 0;
	send(phone, &m);
}

static void send_proof(struct pin *pin, uint32_t now_ms) {
	struct phone *phone = &pin->phone;
	struct proof proof = {.time_ms = clock_now(&pin->clock, now_ms)};
	memcpy(proof.pin, pin->id, sizeof proof.pin);
	memcpy(proof.challenge, phone->challenge, sizeof proof.challenge);
	pinfold_pin_v1_FromPin m = pinfold_pin_v1_FromPin_init_zero;
	m.request = phone->prompt_request;
	m.which_message = FROM(proof);
	if (statement_build_proof(m.message.proof.statement, &proof) != STATEMENT_OK) {
		send_error(phone, m.request, pinfold_pin_v1_Fault_FAULT_MALFORMED);
		return;
	}
	pin_sign(m.message.proof.signature, m.message.proof.statement, STATEMENT_PROOF_SIZE, pin->secret_key);
	send(phone, &m);
}

/* prompted does what the button was pressed for. */
static void prompted(struct pin *pin, uint32_t now_ms) {
	struct phone *phone = &pin->phone;
	if (phone->prompt == PHONE_PROVE) {
		send_proof(pin, now_ms);
	} else if (pin_wipe(pin)) {
		send_info(pin, phone->prompt_request, now_ms);
	} else {
		send_error(phone, phone->prompt_request, pinfold_pin_v1_Fault_FAULT_FLASH);
	}
	clear(phone);
}

/* settle tells the phone that the pin waits for a press now. */
static void settle(struct phone *phone, uint32_t now_ms) {
	phone->settled = true;
	phone->prompt_since_ms = now_ms;
	pinfold_pin_v1_FromPin m = pinfold_pin_v1_FromPin_init_zero;
	m.request = phone->prompt_request;
	m.which_message = FROM(press_button);
	send(phone, &m);
}

/* speak sends the next of what is due and needs no request. False if nothing is. */
static bool speak(struct pin *pin, uint32_t now_ms) {
	struct phone *phone = &pin->phone;
	if (phone->fetch_left > 0) {
		send_statement(pin);
	} else if (phone->replaced_request != 0) {
		send_error(phone, phone->replaced_request, pinfold_pin_v1_Fault_FAULT_REPLACED);
		phone->replaced_request = 0;
	} else if (phone->expired_request != 0) {
		send_error(phone, phone->expired_request, pinfold_pin_v1_Fault_FAULT_NOT_PRESSED);
		phone->expired_request = 0;
	} else if (phone->prompt != PHONE_NOTHING && phone->pressed) {
		prompted(pin, now_ms);
	} else if (phone->prompt != PHONE_NOTHING && !phone->settled && phone->shown == phone->prompt &&
			   now_ms - phone->shown_since_ms >= PHONE_SETTLE_MS && now_ms - phone->prompt_since_ms >= PHONE_SETTLE_MS) {
		settle(phone, now_ms);
	} else if (phone->announce && works(pin)) {
		phone->announce = false;
		send_info(pin, 0, now_ms);
	} else {
		return false;
	}
	return true;
}

static void ask(struct phone *phone, enum phone_prompt prompt, uint32_t request, uint32_t now_ms) {
	if (phone->prompt != PHONE_NOTHING) {
		phone->replaced_request = phone->prompt_request;
	}
	clear(phone);
	phone->prompt = prompt;
	phone->prompt_request = request;
	phone->prompt_since_ms = now_ms;
}

static bool set_time(struct pin *pin, const pinfold_pin_v1_SetTime *m, uint32_t now_ms) {
	if (m->offset_quarters < -96 || m->offset_quarters > 96 || !clock_set(&pin->clock, now_ms, m->time_ms)) {
		return false;
	}
	pin->steps_dirty = pin->steps_dirty || pin->offset_quarters != m->offset_quarters;
	pin->offset_quarters = m->offset_quarters;
	return true;
}

/* choose takes over a sport's id as the background, or none where the pin has no picture of it. */
static void choose(struct pin *pin, const char *sport) {
	struct face *face = &pin->face;
	char chosen[FACE_SPORT_MAX + 1] = {0};
	if (face_sport(sport) >= 0) {
		strcpy(chosen, sport);
	}
	if (memcmp(face->background, chosen, sizeof chosen) != 0) {
		memcpy(face->background, chosen, sizeof chosen);
		pin->face_dirty = true;
	}
}

static bool set_face(struct pin *pin, const pinfold_pin_v1_SetFace *m) {
	if ((uint32_t)m->medal > (uint32_t)_pinfold_pin_v1_Medal_MAX || (uint32_t)m->next_medal > (uint32_t)_pinfold_pin_v1_Medal_MAX) {
		return false;
	}
	struct face face;
	memset(&face, 0, sizeof face);
	face.friends = m->friends;
	face.medal = (enum face_medal)m->medal;
	memcpy(face.background, pin->face.background, sizeof face.background);
	face.backgrounds = m->backgrounds;
	strcpy(face.next_background, m->next_background);
	face.next_background_friends = m->next_background_friends;
	face.next_medal = (enum face_medal)m->next_medal;
	face.next_medal_friends = m->next_medal_friends;
	face.steps = m->steps;
	face.day = m->day;
	face.step_goal = m->step_goal;
	pin->face_dirty = pin->face_dirty || memcmp(&face, &pin->face, sizeof face) != 0;
	memcpy(&pin->face, &face, sizeof face); /* with its padding, which is 0 */
	choose(pin, m->background);
	return true;
}

static bool none_zero(const uint8_t *bytes, size_t size) {
	uint8_t any = 0;
	for (size_t i = 0; i < size; i++) {
		any |= bytes[i];
	}
	return any != 0;
}

/* do_request does a request that is answered with Info, and returns what is wrong with it. */
static pinfold_pin_v1_Fault do_request(struct pin *pin, const pinfold_pin_v1_ToPin *m, uint32_t now_ms) {
	bool good = true;
	switch (m->which_message) {
	case TO(hello):
		break;
	case TO(set_time):
		good = set_time(pin, &m->message.set_time, now_ms);
		break;
	case TO(set_face):
		good = set_face(pin, &m->message.set_face);
		break;
	case TO(acknowledge):
		for (pb_size_t i = 0; i < m->message.acknowledge.records_count; i++) {
			if (!store_acknowledge(&pin->store, m->message.acknowledge.records[i])) {
				return pinfold_pin_v1_Fault_FAULT_FLASH;
			}
		}
		break;
	default:
		good = false;
	}
	return good ? pinfold_pin_v1_Fault_FAULT_UNSPECIFIED : pinfold_pin_v1_Fault_FAULT_MALFORMED;
}

static void answer(struct pin *pin, const pinfold_pin_v1_ToPin *m, uint32_t now_ms) {
	struct phone *phone = &pin->phone;
	switch (m->which_message) {
	case TO(fetch): {
		uint32_t max = m->message.fetch.max;
		phone->fetch_request = m->request;
		phone->fetch_after = m->message.fetch.after;
		phone->fetch_left = max == 0 ? 1 : max > PHONE_FETCH_MAX ? PHONE_FETCH_MAX : max;
		return;
	}
	case TO(prove):
		if (!none_zero(m->message.prove.challenge, STATEMENT_CHALLENGE_SIZE)) {
			send_error(phone, m->request, pinfold_pin_v1_Fault_FAULT_MALFORMED); /* it is a hash: none was given */
			return;
		}
		memcpy(phone->challenge, m->message.prove.challenge, STATEMENT_CHALLENGE_SIZE);
		ask(phone, PHONE_PROVE, m->request, now_ms);
		return;
	case TO(wipe):
		ask(phone, PHONE_WIPE, m->request, now_ms);
		return;
	case TO(choose_background): {
		choose(pin, m->message.choose_background.background);
		pinfold_pin_v1_FromPin out = pinfold_pin_v1_FromPin_init_zero;
		out.request = m->request;
		out.which_message = FROM(background_chosen);
		memcpy(out.message.background_chosen.background, pin->face.background, sizeof pin->face.background);
		send(phone, &out);
		return;
	}
	default:
		break;
	}
	pinfold_pin_v1_Fault fault = do_request(pin, m, now_ms);
	if (fault == pinfold_pin_v1_Fault_FAULT_UNSPECIFIED) {
		send_info(pin, m->request, now_ms);
	} else {
		send_error(phone, m->request, fault);
	}
}

/* receive takes one message, of anybody, and returns how many turns it took. */
static int receive(struct pin *pin, const uint8_t *bytes, size_t size, uint32_t now_ms) {
	pinfold_pin_v1_ToPin m = pinfold_pin_v1_ToPin_init_zero;
	pb_istream_t stream = pb_istream_from_buffer(bytes, size);
	if (!pb_decode(&stream, pinfold_pin_v1_ToPin_fields, &m) || m.request == 0) {
		pin->phone.malformed++;
		send_error(&pin->phone, m.request, pinfold_pin_v1_Fault_FAULT_MALFORMED);
	} else if (!works(pin)) {
		send_error(&pin->phone, m.request, pinfold_pin_v1_Fault_FAULT_FLASH);
	} else {
		answer(pin, &m, now_ms);
		return m.which_message == TO(acknowledge) ? TURNS : 1; /* each of its records is looked for in the flash */
	}
	return 1;
}

void phone_poll(struct pin *pin, uint32_t now_ms) {
	struct phone *phone = &pin->phone;
	int bytes = 0;
	expire(phone, now_ms);
	for (int turn = 0; turn < TURNS && flush(phone);) {
		if (speak(pin, now_ms)) {
			turn++;
			continue;
		}
		uint8_t byte;
		if (bytes++ == BYTES || hal_phone_read(&byte, 1) == 0) {
			return;
		}
		size_t size = frame_decode(&phone->frames, byte);
		if (size > 0) {
			turn += receive(pin, phone->in, size, now_ms);
		}
	}
}
