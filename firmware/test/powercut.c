/* Cuts the power at every word written and every page erased of a scripted day of the store, in three ways each,
 * and again during the mount that follows. After each cut the store must mount, and hold what it held before the interrupted operation or
 * after it: nothing reported as stored is lost, no counter comes back, the identity is whole. Then it must go on
 * working. With -runs it then does the same at random, for many long lives of pins. */
#include <stdlib.h>

#include "model.h"

/* The state of the world before an operation, and what it is compared with. */
static struct sim_flash flash, saved;
static struct store store, saved_store;
static struct model model, after, now;
static struct random random_source = {1};

static struct {
	uint64_t operations, cuts, cuts_of_mounts, compared, words, erases;
} done;

static const char *step = "";

static void fail(const char *what, struct operation operation, uint64_t cut, int tear)
{
	fprintf(stderr, "powercut: %s: action %d, argument %u, cut at operation %llu of the flash, tear %d: %s\n", step,
	        (int)operation.action, (unsigned)operation.argument, (unsigned long long)cut, tear, what);
	exit(1);
}

/* Mounts, and cuts the mount, too, at each of its operations, or at one of them, from the flash as the first cut left
 * it. */
static void mount_cut(struct operation operation, uint64_t cut, int tear, bool each)
{
	static struct sim_flash torn, whole;
	torn = flash;
	enum store_result result = store_mount(&store, sim_bind(&flash));
	if (result != STORE_OK && result != STORE_NO_IDENTITY) {
		fail("no mount", operation, cut, tear);
	}
	uint64_t n = flash.operations - torn.operations;
	whole = flash;
	for (uint64_t i = each || n == 0 ? 1 : 1 + random_below(&random_source, (uint32_t)n); i <= n; i = each ? i + 1 : n + 1) {
		flash = torn;
		flash.cut_at = flash.operations + i;
		flash.tear = (enum tear)random_below(&random_source, TEARS);
		store_mount(&store, sim_bind(&flash));
		sim_revive(&flash);
		enum store_result again = store_mount(&store, sim_bind(&flash));
		const struct model *want = again == STORE_NO_IDENTITY || differs(&store, &after, 2, &random_source) != NULL
		                                   ? &model
		                                   : &after;
		const char *wrong = again != result ? "another mount" : differs(&store, want, 2, &random_source);
		if (wrong != NULL) {
			fail(wrong, operation, cut, tear);
		}
		done.cuts_of_mounts++;
	}
	if (n > 0) {
		flash = whole;
		store_mount(&store, sim_bind(&flash));
	}
}

/* Does the saved operation with the power cut at one of its operations of the flash, and then another one, which
 * leaves `now`. */
static void cut_once(struct operation operation, uint64_t cut, enum tear tear, bool thorough)
{
	flash = saved;
	store = saved_store;
	flash.cut_at = saved.operations + cut;
	flash.tear = tear;
	flash.random.state = random_u64(&random_source);
	enum store_result result = store_do(&store, operation);
	if (!flash.dead || result == STORE_OK) {
		fail(flash.dead ? "reported as done" : "not reached", operation, cut, (int)tear);
	}
	sim_revive(&flash);
	mount_cut(operation, cut, (int)tear, thorough || operation.action == ACT_PROVISION);
	uint32_t samples = thorough ? UINT32_MAX : 1;
	const char *not_after = differs(&store, &after, samples, &random_source);
	const char *not_before = not_after == NULL ? NULL : differs(&store, &model, samples, &random_source);
	if (not_before != NULL) {
		fprintf(stderr, "powercut: unlike after in: %s; unlike before in: ", not_after);
		fail(not_before, operation, cut, (int)tear);
	}
	now = not_after == NULL ? after : model;
	now.dropped = store_dropped(&store); /* what was counted in the RAM alone may be forgotten */
	struct operation next = {.action = now.provisioned ? ACT_OWN_HALF : ACT_PROVISION, .seed = cut};
	if (store_do(&store, next) != model_do(&now, next) || differs(&store, &now, 1, &random_source) != NULL) {
		fail("does not go on", operation, cut, (int)tear);
	}
	done.cuts++;
	done.compared += thorough;
}

/* Does the operation, uncut, and before that cut at each place. */
static void perform(struct operation operation, bool cuts)
{
	saved = flash;
	saved_store = store;
	after = model;
	enum store_result want = model_do(&after, operation), got = store_do(&store, operation);
	if (got != want) {
		fail("another result than the model's", operation, 0, 0);
	}
	uint64_t n = flash.operations - saved.operations;
	done.operations++;
	if (cuts) {
		static struct sim_flash end;
		struct store end_store = store;
		end = flash;
		for (uint64_t cut = 1; cut <= n; cut++) {
			bool edge = cut == n || (n > 50 && cut % 64 == 0);
			for (int tear = 0; tear < TEARS; tear++) {
				cut_once(operation, cut, (enum tear)tear, edge && tear == TEAR_SOME);
			}
		}
		flash = end;
		store = end_store;
	}
	model = after;
	const char *wrong = differs(&store, &model, 1, &random_source);
	if (wrong != NULL) {
		fail(wrong, operation, 0, 0);
	}
}

static struct operation make(enum action action, uint32_t argument)
{
	return (struct operation){action, argument, random_u64(&random_source)};
}

static void tap(bool cuts)
{
	perform(make(ACT_OWN_HALF, 0), cuts);
	perform(make(ACT_PEER_HALF, 0), cuts);
}

static void acknowledge_oldest(uint32_t n, bool cuts)
{
	for (; n > 0 && model.n > 0; n--) {
		perform(make(ACT_ACKNOWLEDGE, model.records[0].record), cuts);
	}
}

static void state(uint32_t key, bool cuts)
{
	perform(make(ACT_STATE, key), cuts);
}

static void begin(const char *what)
{
	static uint64_t cuts, operations;
	if (step[0] != 0) {
		printf("  %-52s %5llu operations, %6llu cuts\n", step, (unsigned long long)(done.operations - operations),
		       (unsigned long long)(done.cuts - cuts));
		fflush(stdout);
	}
	step = what;
	cuts = done.cuts;
	operations = done.operations;
}

static void fill(uint32_t until, enum action action)
{
	while (model.n < until) {
		perform(make(action, 0), false);
	}
}

static void day(bool every)
{
	begin("a new pin is provisioned");
	perform(make(ACT_PROVISION, 0), true);
	begin("it is paired: state of three kinds");
	for (uint32_t key = 0; key < 3; key++) {
		state(key, true);
	}
	begin("40 taps, a step report after every second");
	for (uint32_t i = 0; i < 40; i++) {
		tap(true);
		if (i % 2 == 0) {
			perform(make(ACT_STEPS, 0), true);
			state(i % 3, i % 8 == 0);
		}
	}
	begin("a phone takes 70 of the records");
	acknowledge_oldest(70, true);
	begin("a week: the ring goes round three times");
	while (saved.operations < 3ull * 690 * 44) {
		tap(every);
		state(model.counter % STORE_STATES, every);
		perform(make(ACT_STEPS, 0), every);
		acknowledge_oldest(model.n > 200 ? 4 : 2, every);
	}
	begin("and once more over a page, every word cut");
	for (uint32_t i = 0; i < 12; i++) {
		tap(true);
		acknowledge_oldest(3, true);
	}
	begin("no phone for long: the store fills, half with steps");
	fill(STORE_CAPACITY / 2, ACT_PEER_HALF);
	fill(STORE_CAPACITY - 1, ACT_STEPS);
	begin("nearly full, then full: reports are dropped");
	for (uint32_t i = 0; i < 16; i++) {
		perform(make(i % 3 == 0 ? ACT_STEPS : i % 3 == 1 ? ACT_OWN_HALF : ACT_PEER_HALF, 0), true);
		state(i % STORE_STATES, i % 4 == 0);
	}
	begin("full of halves");
	while (model.reports > 1) {
		perform(make(ACT_PEER_HALF, 0), false);
	}
	for (uint32_t i = 0; i < 3; i++) {
		tap(true);
		perform(make(ACT_STEPS, 0), true);
	}
	for (uint32_t i = 0; i < 26; i++) {
		state(i % STORE_STATES, true);
	}
	begin("a phone takes a few here and there; more taps");
	for (uint32_t i = 0; i < 24; i++) {
		perform(make(ACT_ACKNOWLEDGE, model.records[random_below(&random_source, model.n)].record), true);
		perform(make(i % 2 == 0 ? ACT_OWN_HALF : ACT_STEPS, 0), true);
	}
	begin("it is wiped, and used again");
	perform(make(ACT_PROVISION, 0), true);
	tap(true);
	state(0, true);
	begin("it is wiped twice more");
	perform(make(ACT_PROVISION, 0), true);
	perform(make(ACT_PROVISION, 0), true);
	tap(true);
	begin("");
}

/* A life of a pin with a cut now and then. */
static void live(uint64_t seed)
{
	random_source.state = seed;
	sim_flash_init(&flash);
	model = (struct model){0};
	store_mount(&store, sim_bind(&flash));
	perform(make(ACT_PROVISION, 0), false);
	uint32_t greed = random_below(&random_source, 5); /* how often a phone comes */
	for (uint32_t i = 0; i < 3000; i++) {
		struct operation operation = make((enum action)(1 + random_below(&random_source, 4)), 0);
		operation.argument = random_below(&random_source, STORE_STATES);
		if (model.n > 0 && random_below(&random_source, 6) < greed) {
			operation = make(ACT_ACKNOWLEDGE, model.records[random_below(&random_source, model.n)].record);
		} else if (random_below(&random_source, 2000) == 0) {
			operation = make(ACT_PROVISION, 0);
		}
		perform(operation, false);
		if (random_below(&random_source, 10) != 0) {
			continue;
		}
		operation = make(ACT_STEPS, 0);
		saved = flash;
		saved_store = store;
		after = model;
		if (model_do(&after, operation) == STORE_OK) {
			cut_once(operation, 1 + random_below(&random_source, 43),
			         (enum tear)random_below(&random_source, TEARS), random_below(&random_source, 8) == 0);
			model = now;
		}
	}
}

int main(int argc, char **argv)
{
	uint32_t runs = 0, seed = 1;
	bool every = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-all") == 0) {
			every = true;
		} else if (i + 1 < argc && strcmp(argv[i], "-seed") == 0) {
			seed = (uint32_t)strtoul(argv[++i], NULL, 10);
		} else if (i + 1 < argc && strcmp(argv[i], "-runs") == 0) {
			runs = (uint32_t)strtoul(argv[++i], NULL, 10);
		} else {
			fprintf(stderr, "powercut [-all] [-seed n] [-runs n]\n");
			return 2;
		}
	}
	printf("powercut: a day of the store, seed %u\n", (unsigned)seed);
	random_source.state = seed;
	sim_flash_init(&flash);
	if (store_mount(&store, sim_bind(&flash)) != STORE_NO_IDENTITY) {
		fprintf(stderr, "powercut: an empty flash has an identity\n");
		return 1;
	}
	day(every);
	uint32_t least = UINT32_MAX, most = 0;
	for (uint32_t page = 2; page < STORE_PAGES; page++) {
		least = flash.erases[page] < least ? flash.erases[page] : least;
		most = flash.erases[page] > most ? flash.erases[page] : most;
	}
	printf("powercut: %llu operations, %llu cuts (%llu compared record by record), %llu cuts of the mount after one; "
	       "erases of a page %u to %u, writes of a word between erases at most %u\n",
	       (unsigned long long)done.operations, (unsigned long long)done.cuts, (unsigned long long)done.compared,
	       (unsigned long long)done.cuts_of_mounts, (unsigned)least, (unsigned)most, (unsigned)flash.max_writes);
	for (uint32_t i = 0; i < runs; i++) {
		live(seed + i);
	}
	if (runs > 0) {
		printf("powercut: %u lives, seeds %u to %u: %llu operations, %llu cuts\n", (unsigned)runs, (unsigned)seed,
		       (unsigned)(seed + runs - 1), (unsigned long long)done.operations, (unsigned long long)done.cuts);
	}
	return 0;
}
