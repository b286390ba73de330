# The pictures and their renderer. core/draw.c, core/shape.c, core/glyph.c and gen/art.c build with the other sources.

.PHONY: art art-sheet art-test art-time

art: ## gen/art.h and gen/art.c from the descriptions in art/
	cd ../art && go run generate.go

art-sheet: ## all pictures side by side, as build/art.png
	@mkdir -p $(BUILD)
	cd ../art && go run generate.go -sheet ../firmware/$(BUILD)/art.png

art-test: ## the C renderer draws the pixels that the Go renderer draws
	cd .. && go test -tags firmware -timeout 5m -run 'Firmware' ./art

$(BUILD)/art/time: test/test_draw.c core/draw.c core/shape.c core/glyph.c gen/art.c
	@mkdir -p $(@D)
	$(CC_NATIVE) -std=c11 -O2 $^ -o $@

art-time: $(BUILD)/art/time ## how long each background takes natively
	$< time
