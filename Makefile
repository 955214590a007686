# The front door. Meson does the work; this file knows which commands make sense, and in what
# order. `make help` lists them.
BUILD  ?= build
JOBS   ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PREFIX ?= /usr/local
MODEL  ?=
MINUTES ?= 10
ARGS   ?=
TIME   ?= 60
PYTHON ?= python3

.DEFAULT_GOAL := build
.PHONY: help setup build run test hatchling hatchling-study bench bench-peers asan tsan test-arm macos-check test-clients test-api-clients soak test-schemas fuzz install uninstall tidy lint format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: ## lists and installs what is missing to build and test
	@tools/setup build test

# The model that is built in is looked for when Meson runs: again when it came, or changed.
$(BUILD)/build.ninja: $(wildcard models.d/hatchling/hatchling.gguf)
	@tools/setup build
	@meson setup $(BUILD) $(if $(wildcard $@),--reconfigure,--prefix $(abspath $(PREFIX)))

build: $(BUILD)/build.ninja ## builds in build/ (BUILD=...)
	@ninja -C $(BUILD) -j $(JOBS)

run: build ## chats (MODEL=file.gguf, ARGS=...)
	@tools/chat $(BUILD) "$(MODEL)" $(ARGS)

define run_tests
	@rm -f $(1)/meson-logs/testlog.json
	@meson test -C $(1) --no-rebuild --num-processes $(JOBS) --print-errorlogs $(2); \
	  tools/summarise $$? $(1)/meson-logs/testlog.json
endef

test: ## the whole test suite
	@tools/setup build test
	@# A folder configured before cmocka was there has no unit tests: look again.
	@[ ! -f $(BUILD)/build.ninja ] || grep -q cmocka $(BUILD)/build.ninja || \
	  meson setup --reconfigure $(BUILD)
	@$(MAKE) --no-print-directory build
	$(call run_tests,$(BUILD))

hatchling: build ## makes the assistant's model from nothing; goes on where it was interrupted
	@$(PYTHON) -c '' || { echo 'needs Python 3' >&2; exit 1; }
	@PYTHON=$(PYTHON) tools/hatchling $(BUILD) $(BUILD)/hatchling

hatchling-study: build ## what its teacher gave it: nine runs after make hatchling (40 minutes)
	@$(PYTHON) tools/hatchling-study $(BUILD) $(BUILD)/hatchling

bench: build ## kernels against this machine's limits; MODEL=file.gguf: its tokens a second too
	@$(BUILD)/tests/check/check --bench
	@[ -z "$(MODEL)" ] || $(BUILD)/bantam bench "$(MODEL)" -p 512 -n 64 --roofline $(ARGS)

bench-peers: build ## beside other engines (installs them): MODEL="a.gguf b.gguf" ARGS="--turns 5"
	@[ -n "$(MODEL)" ] || { echo 'name files: make bench-peers MODEL="a.gguf b.gguf"' >&2; exit 1; }
	@$(PYTHON) bench/peers/run.py $(BUILD) $(MODEL) $(ARGS)

asan: ## the test suite under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/setup build test
	@[ -f build-asan/build.ninja ] || meson setup build-asan \
	  -Db_sanitize=address,undefined -Dbuildtype=debugoptimized -Db_lundef=false
	@ninja -C build-asan -j $(JOBS)
	$(call run_tests,build-asan,--timeout-multiplier 4)

tsan: ## the test suite under ThreadSanitizer
	@tools/setup build test
	@[ -f build-tsan/build.ninja ] || meson setup build-tsan \
	  -Db_sanitize=thread -Dbuildtype=debugoptimized -Db_lundef=false
	@ninja -C build-tsan -j $(JOBS)
	$(call run_tests,build-tsan,--timeout-multiplier 4)

test-arm: ## the unit tests and kernel checks on 64-bit ARM, under qemu
	@tools/setup build arm
	@tools/test-arm build-arm $(JOBS)

macos-check: ## compiles and links for macOS with zig (pip install ziglang); runs nothing
	@tools/setup build test
	@$(PYTHON) tools/macos-check build-macos $(JOBS)

install: build ## installs under PREFIX=... (default /usr/local)
	@meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	@ninja -C $(BUILD) -j $(JOBS)
	@meson install -C $(BUILD) --no-rebuild

uninstall: ## removes what `make install PREFIX=...` put there
	@meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	@ninja -C $(BUILD) -j $(JOBS) build.ninja
	@tools/uninstall $(BUILD)

test-clients: build ## held against the references in Python, and test-api-clients; TOKENIZER=tokenizer.json: its ids
	@$(PYTHON) -c 'import tokenizers' 2>/dev/null || \
	  { echo 'needs Python packages: pip install tokenizers transformers torch safetensors sentencepiece (PYTHON=... names the one)' >&2; exit 1; }
	@if [ -z "$(TOKENIZER)" ]; then $(PYTHON) tests/clients/convert_families.py $(BUILD) $(ARGS) && \
	  { [ -n "$(ARGS)" ] || { $(PYTHON) tests/clients/convert_encoders.py $(BUILD) && \
	    $(PYTHON) tests/clients/compare_unigram.py $(BUILD) && \
	    $(PYTHON) tests/clients/serve.py $(BUILD); }; }; \
	elif [ -n "$(PRE)" ]; then $(PYTHON) tests/clients/compare_tokenizers.py $(BUILD) "$(TOKENIZER)" "$(PRE)" $(ARGS); \
	else $(PYTHON) tests/clients/compare_folders.py $(BUILD) "$(TOKENIZER)" $(ARGS); fi

test-api-clients: build ## the server asked by its clients' own packages (npm, PyPI: installs them)
	@$(PYTHON) tests/clients/serve.py $(BUILD)

soak: build ## the server under mixed load, broken on purpose, for MINUTES=10 (ARGS='--rate 30')
	@$(PYTHON) tests/serve/soak.py $(BUILD) --minutes $(MINUTES) --out $(BUILD)/soak $(ARGS)

test-schemas: build ## our schemas against the Python package jsonschema (ARGS='-n 200')
	@$(PYTHON) -c 'import jsonschema' 2>/dev/null || \
	  { echo 'needs the Python package: pip install jsonschema (PYTHON=... names the one)' >&2; exit 1; }
	@$(PYTHON) tests/clients/compare_schemas.py $(BUILD) $(ARGS)

fuzz: ## libFuzzer on every reader of untrusted bytes, TIME=60 seconds each
	@tools/setup build fuzz
	@[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Dfuzz=true \
	  -Db_sanitize=address,undefined -Dbuildtype=debugoptimized -Db_lundef=false
	@ninja -C build-fuzz -j $(JOBS)
	@tools/fuzz build-fuzz $(TIME) $(FUZZ)

tidy: build ## the rules of the house: floors, sizes, banned calls, kernel spills
	@tools/tidy --build $(BUILD)

lint: build ## clang-tidy over the sources
	@tools/setup lint
	@git ls-files 'src/*.c' | grep -v -e kernels/arm -e _macos | \
	  xargs -P $(JOBS) -n 4 clang-tidy --quiet -p $(BUILD)

format: ## formats every C file as .clang-format says
	@tools/setup lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## removes the build folders
	rm -rf build build-*
