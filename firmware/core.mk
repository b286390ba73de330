# The pin's core: crc, crypto, statement, clock, store and tap, with their tests. Natively, with address and undefined behaviour
# sanitizers, against the system's libsodium (libsodium-dev), so that these tests need nothing but that and libcmocka-dev.

CORE_TESTED := core/crc.c core/crypto.c core/statement.c core/clock.c core/store.c core/tap.c
CORE_BUILD := build/core-test
CORE_FLAGS := -std=c11 -g -O2 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
	-Wall -Wextra -Werror -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
STATEMENT_VECTORS := ../proto/testdata/statements.json
SEED ?= 1
RUNS ?= 2000

.PHONY: core-test core-test-long

core-test: $(addprefix $(CORE_BUILD)/test_,statement clock store tap) $(CORE_BUILD)/powercut ## the core's units, and every power cut of a day
	@set -e; for test in statement clock store tap; do $(CORE_BUILD)/test_$$test; done
	$(CORE_BUILD)/powercut

core-test-long: $(CORE_BUILD)/test_store $(CORE_BUILD)/test_tap $(CORE_BUILD)/powercut ## the same with RUNS random runs from SEED
	PINFOLD_SEED=$(SEED) PINFOLD_RUNS=$(RUNS) $(CORE_BUILD)/test_store
	PINFOLD_SEED=$(SEED) PINFOLD_RUNS=$(RUNS) $(CORE_BUILD)/test_tap
	$(CORE_BUILD)/powercut -seed $(SEED) -runs $(RUNS)

build/vectors.inc: $(STATEMENT_VECTORS) test/vectors/main.go
	@mkdir -p $(@D)
	cd .. && go run ./firmware/test/vectors <proto/testdata/statements.json >firmware/$@.new && mv firmware/$@.new firmware/$@

$(CORE_BUILD)/test_statement build/test/test_statement: build/vectors.inc
TEST_FLAGS_statement := -Ibuild

$(CORE_BUILD)/%: test/%.c test/flash.h test/model.h test/random.h $(CORE_TESTED) $(CORE_TESTED:.c=.h) core/bytes.h core/allowance.h
	@mkdir -p $(@D)
	$(CC) $(CORE_FLAGS) -Icore -Ibuild -o $@ $< $(CORE_TESTED) -lcmocka -lsodium

# C against Go through cgo. Go's build cache does not look into firmware/core: the flag makes a change there a change.
FUZZTIME ?= 20s
CPIN_FLAGS := CGO_CFLAGS="-DPIN_CORE=$$(cat core/*.[ch] | cksum | cut -d' ' -f1)"
CPIN := $(CPIN_FLAGS) go
.PHONY: cpin-test cpin-fuzz
cpin-test: ## the vectors and seeds of C against Go
	$(CPIN) test -tags firmware ./host/cpin

cpin-fuzz: ## each fuzz target of C against Go for FUZZTIME
	@set -e; for target in FuzzParse FuzzBuild FuzzSignature FuzzFrames FuzzCRC32; do \
		$(CPIN_FLAGS) ../tools/fuzz -tags firmware -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) ./host/cpin; \
	done
