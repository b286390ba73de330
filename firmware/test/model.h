/* What the store must do, as a list: the dumb model that tests hold it to. */
#ifndef PINFOLD_TEST_MODEL_H
#define PINFOLD_TEST_MODEL_H

#include <stdio.h>

#include "flash.h"

enum action {
	ACT_PROVISION,
	ACT_OWN_HALF,
	ACT_PEER_HALF,
	ACT_STEPS,
	ACT_STATE,       /* argument: the key */
	ACT_ACKNOWLEDGE, /* argument: the record */
};

struct operation {
	enum action action;
	uint32_t argument;
	uint64_t seed; /* of all that is arbitrary */
};

#define MODEL_MAX (STORE_CAPACITY + 1u)

struct model {
	bool provisioned;
	uint8_t seed[32];
	uint32_t counter, next_record;
	uint32_t dropped, dropped_surely; /* all, and those that a record has been stored since */
	uint32_t n, reports;
	struct store_record records[MODEL_MAX];
	uint8_t states[STORE_STATES][STORE_STATE_SIZE];
	size_t state_sizes[STORE_STATES];
};

/* Makes the statement of an operation; own ones with this counter. */
static void make_record(struct store_record *record, struct operation operation, uint32_t counter)
{
	struct random random = {operation.seed};
	memset(record, 0, sizeof *record);
	random_fill(&random, record->signature, sizeof record->signature);
	if (operation.action == ACT_STEPS) {
		struct step_report report = {.counter = counter, .n = (uint8_t)(1 + random_below(&random, 32))};
		random_fill(&random, (uint8_t *)report.steps, sizeof report.steps);
		size_t size = 0;
		assert(statement_build_steps(record->statement, &size, &report) == STATEMENT_OK);
		record->size = (uint8_t)size;
		record->kind = STORE_STEP_REPORT;
		return;
	}
	struct half half = {.counter = counter, .link = HALF_LINK_WIRE, .pin = {1}};
	random_fill(&random, half.nonce, sizeof half.nonce);
	random_fill(&random, half.peer, sizeof half.peer);
	half.counter = operation.action == ACT_OWN_HALF ? counter : random_u32(&random);
	assert(statement_build_half(record->statement, &half) == STATEMENT_OK);
	record->size = STATEMENT_HALF_SIZE;
	record->kind = operation.action == ACT_OWN_HALF ? STORE_OWN_HALF : STORE_PEER_HALF;
}

static size_t make_state(uint8_t state[STORE_STATE_SIZE], struct operation operation)
{
	struct random random = {operation.seed};
	random_fill(&random, state, STORE_STATE_SIZE);
	return 1 + random_below(&random, STORE_STATE_SIZE);
}

static void model_remove(struct model *model, uint32_t i)
{
	model->reports -= model->records[i].kind == STORE_STEP_REPORT;
	model->n--;
	memmove(&model->records[i], &model->records[i + 1], (model->n - i) * sizeof model->records[0]);
}

static void model_make_room(struct model *model)
{
	for (uint32_t i = 0; i < model->n; i++) {
		if (model->records[i].kind == STORE_STEP_REPORT) {
			model_remove(model, i);
			model->dropped++;
			return;
		}
	}
}

static enum store_result model_put(struct model *model, struct operation operation)
{
	struct store_record record;
	bool own = operation.action != ACT_PEER_HALF;
	make_record(&record, operation, model->counter + 1);
	if (model->n == STORE_CAPACITY && model->reports == 0) {
		model->dropped += record.kind == STORE_STEP_REPORT;
		return STORE_FULL;
	}
	if (model->n == STORE_CAPACITY) {
		model_make_room(model);
	}
	record.record = model->next_record++;
	model->counter += own;
	model->reports += record.kind == STORE_STEP_REPORT;
	model->records[model->n++] = record;
	model->dropped_surely = model->dropped;
	return STORE_OK;
}

static enum store_result model_do(struct model *model, struct operation operation)
{
	struct random random = {operation.seed};
	uint32_t next_record = model->next_record == 0 ? 1 : model->next_record;
	switch (operation.action) {
	case ACT_PROVISION:
		*model = (struct model){.provisioned = true, .next_record = next_record};
		random_fill(&random, model->seed, sizeof model->seed);
		return STORE_OK;
	case ACT_STATE:
		model->state_sizes[operation.argument] = make_state(model->states[operation.argument], operation);
		model->next_record++;
		model->dropped_surely = model->dropped;
		return STORE_OK;
	case ACT_ACKNOWLEDGE:
		for (uint32_t i = 0; i < model->n; i++) {
			if (model->records[i].record == operation.argument) {
				model_remove(model, i);
				break;
			}
		}
		return STORE_OK;
	default:
		return model_put(model, operation);
	}
}

static enum store_result store_do(struct store *store, struct operation operation)
{
	struct random random = {operation.seed};
	struct store_record record;
	uint8_t seed[32], state[STORE_STATE_SIZE];
	switch (operation.action) {
	case ACT_PROVISION:
		random_fill(&random, seed, sizeof seed);
		return store_provision(store, seed);
	case ACT_STATE:
		return store_put_state(store, (uint8_t)operation.argument, state, make_state(state, operation));
	case ACT_ACKNOWLEDGE:
		return store_acknowledge(store, operation.argument) ? STORE_OK : STORE_FLASH;
	default:
		make_record(&record, operation, store_next_counter(store));
		return record.kind == STORE_STEP_REPORT
		               ? store_put_step_report(store, record.statement, record.size, record.signature)
		       : record.kind == STORE_OWN_HALF ? store_put_own_half(store, record.statement, record.signature)
		                                       : store_put_peer_half(store, record.statement, record.signature);
	}
}

static bool same_record(const struct store_record *a, const struct store_record *b)
{
	return a->record == b->record && a->kind == b->kind && a->size == b->size &&
	       memcmp(a->statement, b->statement, a->size) == 0 &&
	       memcmp(a->signature, b->signature, sizeof a->signature) == 0;
}

/* Whether the store finds the i-th record of the model just after the one before it. */
static bool same_at(const struct store *store, const struct model *model, uint32_t i)
{
	struct store_record got;
	uint32_t before = i == 0 ? 0 : model->records[i - 1].record;
	return store_fetch(store, before, &got) && same_record(&got, &model->records[i]);
}

/* What is wrong with the store, or NULL. Compares the given number of records at random, and the first and the last;
 * UINT32_MAX = all of them. */
static const char *differs(const struct store *store, const struct model *model, uint32_t samples, struct random *random)
{
	uint8_t seed[32], state[STORE_STATE_SIZE];
	struct store_record record;
	if (!model->provisioned) {
		return store_identity(store, seed) == STORE_NO_IDENTITY ? NULL : "identity from nowhere";
	}
	if (store_identity(store, seed) != STORE_OK || memcmp(seed, model->seed, sizeof seed) != 0) {
		return "identity";
	}
	if (store_next_counter(store) != model->counter + 1) {
		return "counter";
	}
	if (store_records(store) != model->n || store_room(store) != STORE_CAPACITY - (model->n - model->reports)) {
		return "number of records";
	}
	if (store_dropped(store) < model->dropped_surely || store_dropped(store) > model->dropped) {
		return "dropped reports";
	}
	for (uint8_t key = 0; key < STORE_STATES; key++) {
		size_t size = store_get_state(store, key, state, sizeof state);
		if (size != model->state_sizes[key] || memcmp(state, model->states[key], size) != 0) {
			return "state";
		}
	}
	bool all = samples == UINT32_MAX;
	for (uint32_t i = 0; all && i < model->n; i++) {
		if (!same_at(store, model, i)) {
			return "record";
		}
	}
	for (uint32_t i = 0; !all && model->n > 0 && i < samples; i++) {
		if (!same_at(store, model, random_below(random, model->n))) {
			return "record";
		}
	}
	if (model->n > 0 && (!same_at(store, model, 0) || !same_at(store, model, model->n - 1))) {
		return "first or last record";
	}
	return store_fetch(store, model->n == 0 ? 0 : model->records[model->n - 1].record, &record) ? "a record too many"
	                                                                                            : NULL;
}

#endif
