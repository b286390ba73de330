# The step counter: its units under sanitizers, and the table of how well it counts.

STEPS_DATA ?= ../../shared/data/steps/oxford
STEPS_WARN := -std=c11 -Wall -Wextra -Werror -Wpedantic -Wconversion

.PHONY: firmware-steps firmware-steps-test

firmware-steps: build/steps_table ## how many steps the pin counts of those walked, and in hours without any
	@build/steps_table $(STEPS_DATA)

firmware-steps-test: build/test_steps
	build/test_steps

build/steps_table: test/steps_table.c core/steps.c core/steps.h
	@mkdir -p $(@D)
	$(CC) $(STEPS_WARN) -O2 -Icore -o $@ test/steps_table.c core/steps.c -lm

build/test_steps: test/test_steps.c core/steps.c core/steps.h
	@mkdir -p $(@D)
	$(CC) $(STEPS_WARN) -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -Icore -o $@ test/test_steps.c core/steps.c -lcmocka -lm
