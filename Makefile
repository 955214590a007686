# The front door. Meson does the work; `make setup` fetches what it needs.
BUILD ?= build

.PHONY: all build setup test clean
all: build

$(BUILD)/build.ninja:
	@meson setup $(BUILD)

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j2

test: build
	@meson test -C $(BUILD) --print-errorlogs

clean:
	rm -rf $(BUILD)
