# The README's two commands are `go run ./cmd/pinfold demo` and `make test`. The rest is for those who change things.

TOOLS := go tool -modfile=tools/go.mod
SEED ?= 0
KILLS ?= 36
FUZZTIME ?= 20s
FACTS ?= 5000000
FLIPS ?= 100
PEOPLE ?= 2000
WATCHES ?= 2000

.PHONY: test generate lint race race-all fuzz simulate crash awake flips conference audit-large bench-quick capacity release demo \
	firmware firmware-test firmware-units firmware-e2e firmware-size firmware-steps firmware-soak

test: ## everything that is quick
	go test -timeout 10m ./...

generate: ## the Go code of the .proto files
	$(TOOLS) buf lint
	$(TOOLS) buf generate

lint: ## go vet and a short list of linters, see .golangci.yml; LINT_TAGS=long,firmware needs the packages of the firmware
	go vet -tags $(LINT_TAGS) ./...
	$(TOOLS) golangci-lint run --build-tags $(LINT_TAGS) ./...

# Without a goroutine there is no race: the cores and the leaves that they stand on have none.
SEQUENTIAL := ./art ./firmware/test/% ./internal/evidence ./internal/fact ./internal/kv ./internal/merkle ./internal/ranking \
	./internal/roster ./internal/rules ./internal/statement ./proto/% ./services/gateway ./services/rewards ./services/steps ./services/tap

race: ## what is quick and has goroutines, under the race detector, but for the longest test
	go test -race -timeout 30m -skip '^TestConferenceTwice$$' $(filter-out $(SEQUENTIAL),$(patsubst pinfold%,.%,$(shell go list ./...)))

race-all: ## everything that is quick, under the race detector
	go test -race -timeout 60m ./...

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			tools/fuzz -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package; \
		done; \
	done

simulate: ## the fold runner under many more random schedules than `make test` runs; SEED=n runs from that seed
	go test -v -run 'TestSchedules|TestMutations' -timeout 30m ./internal/fold -schedules 20000 -seed $(SEED)

crash: ## real processes, killed again and again; SEED=n kills at the same moments again
	go test -v -tags long -run TestCrash -timeout 30m ./cmd/pinfold -kills $(KILLS) -seed $(SEED)

flips: ## each file damaged FLIPS times, and the real thing started on it; SEED=n draws the same
	go test -v -tags long -run TestFlips -timeout 120m ./cmd/pinfold -flips $(FLIPS) -seed $(SEED)

awake: ## a NATS cluster of three, of which one node after another is killed, frozen and cut off; prints for how long writes rested
	go test -v -tags long -run TestAwake -timeout 30m ./cmd/pinfold

conference: ## real contacts with real phones: late, repeated, out of order
	go test -v -tags long -run TestRealConference -timeout 30m ./cmd/pinfold

audit-large: ## an archive far larger than the audit's memory; FACTS=n, SEED=n makes the same again
	go test -v -tags long -run TestLargeLog -timeout 60m ./audit -facts $(FACTS) -seed $(SEED)

bench-quick: ## what it does in a second, beside what the machine can
	go test -run '^$$' -bench 'WholePath|Fold$$|Verify|Fsync|Batches' -benchtime 2s \
		./cmd/pinfold ./internal/statement ./internal/eventlog ./internal/view

capacity: ## what one process of each service does, holds and needs: docs/operations.md; PEOPLE=n, WATCHES=n
	go test -v -tags long -run TestCapacity -timeout 60m ./cmd/pinfold -people $(PEOPLE) -watches $(WATCHES)

release: race-all simulate crash awake flips conference audit-large firmware-test firmware-size firmware-steps bench-quick capacity ## the whole of what .ci/run cuts short, some two hours: before a release
	$(MAKE) fuzz FUZZTIME=60s
	$(FIRMWARE) core-test-long lives-long RUNS=100 SEED=$(SEED)
	$(MAKE) firmware-soak SOAK=15m

demo: ## all services and a small crowd in one process
	go run ./cmd/pinfold demo

# The pin's firmware needs Debian packages, which `.ci/run` installs; firmware/README.md says which.
FIRMWARE := $(MAKE) -C firmware
SOAK ?= 2h
HOSTILE ?= 5s
LINT_TAGS ?= long

firmware: ## the pin as a process, and as an image for QEMU
	$(FIRMWARE) native m4

firmware-test: firmware-units firmware-e2e ## all tests of the pin

firmware-units: firmware ## the pin's units under sanitizers, every power cut of a day, C against Go with fuzzing for FUZZTIME
	$(FIRMWARE) test core-test art-test cpin-test cpin-fuzz FUZZTIME=$(FUZZTIME)

firmware-e2e: firmware ## pins natively and under QEMU, with bridges and a gateway, also as the README has them; hostile bytes for HOSTILE, SEED=n the same again
	go test -tags firmware -timeout 40m -count 1 ./firmware/e2e -hostile $(HOSTILE) -seed $(SEED)
	go test -tags firmware -count 1 -run 'TestDocuments/README' ./docs

firmware-size: ## what the image takes, checked against the limits, and that it is the same wherever it is built
	$(FIRMWARE) m4 size reproducible

firmware-steps: ## how well the pin counts steps, checked against the limits
	$(FIRMWARE) firmware-steps

firmware-soak: firmware ## hostile bytes on both links for SOAK, natively and then under QEMU; SEED=n the same again
	go test -v -tags firmware -timeout 0 -count 1 -run Hostile ./firmware/e2e -hostile $(SOAK) -seed $(SEED)
