# Thin on purpose: the build is meson's, what it needs is in scripts/packages.

PREFIX ?= /usr/local
BUILD := build

all:
	@scripts/setup build
	@scripts/build $(BUILD)

run:
	@scripts/setup build run
	@scripts/build $(BUILD) what-runs
	@$(BUILD)/vmirq run

# All of it, or TEST in the normal build.
TEST :=
test:
	@scripts/setup build run test
	@scripts/test $(if $(TEST),--only normal $(TEST))

# Each target, or TARGET, for so many seconds.
SECONDS := 60
TARGET :=
fuzz:
	@scripts/setup build test
	@scripts/fuzz $(SECONDS) $(TARGET)

# Ten times what the tests do, and again under ThreadSanitizer.
SIGNALS := 10000000
soak:
	@scripts/setup build test
	@VMIRQ_SOAK_SIGNALS=$(SIGNALS) scripts/test --only normal --only tsan stress/soak

lint:
	@scripts/setup build test lint
	@scripts/build $(BUILD)
	@scripts/lint $(BUILD)

install: all
	@scripts/install $(BUILD) "$(PREFIX)" "$(DESTDIR)"

clean:
	rm -rf build build-tsan build-asan build-fuzz

help:
	@echo "make          install what the build needs, build; the command is build/vmirq"
	@echo "make run      build the command and the guests, not the tests; then build/vmirq run"
	@echo "make test     all tests, then those of threads and memory again under sanitizers"
	@echo "              TEST=base/wait for one, TEST=base for a folder: in the normal build only;"
	@echo "              scripts/test --help goes on from there"
	@echo "make fuzz     fuzz each chip: SECONDS=$(SECONDS) each, TARGET=lapic for one"
	@echo "make soak     signals against everything that may come between: SIGNALS=$(SIGNALS)"
	@echo "make lint     clang-format, clang-tidy, cppcheck, headers"
	@echo "make install  PREFIX=$(PREFIX), DESTDIR honoured"
	@echo "make clean    remove every build directory"

.PHONY: all run test fuzz soak lint install clean help
# Each recipe's lines run one after the other; ninja does the parallel work.
.NOTPARALLEL:
