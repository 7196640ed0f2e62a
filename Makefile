# SPDX-License-Identifier: Apache-2.0
# Podveil. `make` builds build/podveil; `make help` lists the rest.

# Another processor's program: make CROSS=aarch64-linux-gnu-, with that processor's libraries in SYSROOT, or beside this
# machine's own (Debian's multiarch).
CROSS ?=
ARCH := $(or $(firstword $(subst -, ,$(CROSS))),$(shell uname -m))
ifeq ($(CROSS),)
CC ?= gcc
B ?= build
SYSROOT ?=
PKG_CONFIG ?= pkg-config
EMULATOR ?=
else
CC := $(CROSS)gcc
AR := $(CROSS)ar
B ?= build/$(ARCH)
SYSROOT ?= $(abspath $(wildcard build/root-$(ARCH)))
PKG_CONFIG ?= PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(ARCH)-linux-gnu/pkgconfig pkg-config
EMULATOR ?= qemu-$(ARCH)-static -L $(SYSROOT)/
endif
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20
VERSION ?= 0.1.0

PKGS := libbpf libxdp libsodium libb2 libmnl liburcu-qsbr liburcu-cds libevent_core libevent_extra libcrypto jansson \
	libcurl yaml-0.1
CPPFLAGS := -D_GNU_SOURCE -Iinclude -Iuser -I$(B)/gen $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
CFLAGS ?= -O2 -g
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
ALL_CFLAGS = $(addprefix --sysroot=,$(SYSROOT)) $(WARN) -fno-strict-aliasing -pthread $(CFLAGS) $(SANITIZE)
LDLIBS := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -lpthread
ifeq ($(ARCH),x86_64)
CPPFLAGS += -DHAVE_IPSEC_MB
LDLIBS += -lIPSec_MB
endif

SRC := $(sort $(wildcard user/*/*.c user/*/*/*.c))
CLI := user/cli/main.c
LIB := $(filter-out $(CLI),$(SRC))
SKEL := $(B)/gen/tunnel.skel.h $(B)/gen/guard.skel.h
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
BPF_BIN := $(patsubst tests/bpf/%.c,$(B)/tests/bpf/%,$(sort $(wildcard tests/bpf/test_*.c)))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
BENCH_BIN := $(patsubst tests/bench/%.c,$(B)/bench/%,$(sort $(wildcard tests/bench/*.c)))
C_FILES := $(shell find user bpf include scripts vmlinux tests -name '*.[ch]' 2>/dev/null)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all docs version-is-checked help deps deps-kubernetes deps-felix peers unit bpf-tests fuzz unit-programs asan-programs check-emulated e2e check-etcd check-vm check-apiserver check check-quick mutants \
	check-kubernetes check-all check-arm64 deps-arm64 demo demo-kubernetes bench bench-kubernetes format lint install clean test-programs

all: $(B)/podveil $(B)/.pages

help:
	@echo "make            build/podveil"
	@echo "make demo       a lab on this machine: traffic readable without Podveil, unreadable with it"
	@echo "make demo-kubernetes    the same in a real Kubernetes cluster of three nodes"
	@echo "make check      build and all tests (as root), but those that need Kubernetes: make check-kubernetes"
	@echo "make check-quick    unit tests, also with sanitizers, the BPF programs, one walk through the lab; a minute"
	@echo "make deps       install what building and testing needs, from Debian's packages first"
	@echo "make deps-kubernetes    Kubernetes' own programs, for tests and lab, into build/kubernetes"
	@echo "make deps-felix         Calico's Felix, for the test that runs beside it, into build/peers"
	@echo "make unit | bpf-tests | fuzz | e2e | check-etcd | check-vm | check-apiserver    one suite of tests; FUZZ_SECONDS=$(FUZZ_SECONDS)"
	@echo "make check-arm64    tests for arm64, emulated; make CROSS=aarch64-linux-gnu- builds for it, into build/aarch64"
	@echo "make mutants    deliberate faults, one at a time, and whether tests notice; MUTANTS=\"names\" for some of them"
	@echo "make bench      throughput, latency, CPU beside other WireGuards, and what was aimed at, in a minute;"
	@echo "                BENCH=full: all of them, medians of five, how cost grows, the agent; 25 minutes"
	@echo "make bench-kubernetes    the agent in a cluster of 5,000 nodes and 10,000 IPAM blocks"
	@echo "make docs       pages that are made from the code: docs/settings.md"
	@echo "make format | lint | clean | install DESTDIR= PREFIX=$(PREFIX)"

# --- what is needed ---

DEPS := build/.deps

deps: $(DEPS)

# Included, so that make starts again with the libraries that were just installed.
ifneq ($(filter deps check check-quick check-kubernetes check-all mutants demo demo-kubernetes bench bench-kubernetes e2e check-etcd check-vm check-apiserver,$(MAKECMDGOALS)),)
include $(DEPS)
endif

$(DEPS): scripts/deps.sh
	@mkdir -p $(@D)
	sh scripts/deps.sh
	@echo "# made by scripts/deps.sh" > $@

DEPS_KUBERNETES := build/.deps-kubernetes

deps-kubernetes: $(DEPS_KUBERNETES)

$(DEPS_KUBERNETES): scripts/deps-kubernetes.sh tests/kubernetes/go.mod tests/kubernetes/go.sum
	@mkdir -p $(@D)
	sh scripts/deps-kubernetes.sh
	@touch $@

# Calico's Felix, for tests/vm/test_felix.py, which is skipped without it: seven minutes on two cores, once.
deps-felix:
	sh scripts/deps-felix.sh

DEPS_ARM64 := build/.deps-arm64

deps-arm64: $(DEPS_ARM64)

$(DEPS_ARM64): scripts/deps-arm64.sh scripts/packages.sh
	@mkdir -p $(@D)
	sh scripts/deps-arm64.sh
	@touch $@

# --- the program ---

# Loops over vectors are to be unrolled: else those are arrays in memory.
$(B)/obj/user/crypto/%_avx2.o $(B)/obj/user/crypto/%_avx512.o: ALL_CFLAGS += -O3

$(B)/obj/%.o: %.c | $(SKEL) $(B)/gen/podveil_version.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Changes only where the version does, so that nothing else is built again.
$(B)/gen/podveil_version.h: version-is-checked
	@mkdir -p $(@D)
	@echo '#define PODVEIL_VERSION "$(VERSION)"' | cmp -s - $@ || echo '#define PODVEIL_VERSION "$(VERSION)"' > $@

# Files of the page, taken in by the assembler.
$(B)/obj/user/http/assets.o $(B)/fuzz/obj/user/http/assets.o: $(wildcard user/http/page/*)

$(B)/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h include/podveil/*.h vmlinux/*.h)
	@mkdir -p $(@D)
	$(CLANG) -g -O2 -Wall -Werror -target bpf -mcpu=v3 -Iinclude -Ivmlinux -Ibpf \
		-I$(SYSROOT)/usr/include/$(ARCH)-linux-gnu -c $< -o $@

# The programs of one device, linked so that they share its maps.
$(B)/gen/tunnel.linked.o: $(B)/gen/classify.bpf.o $(B)/gen/steer.bpf.o $(B)/gen/divert.bpf.o
	$(BPFTOOL) gen object $@ $^

# Those of the uplink.
$(B)/gen/guard.linked.o: $(B)/gen/guard.bpf.o $(B)/gen/shield.bpf.o
	$(BPFTOOL) gen object $@ $^

$(B)/gen/tunnel.skel.h: $(B)/gen/tunnel.linked.o
	$(BPFTOOL) gen skeleton $< name tunnel > $@

$(B)/gen/guard.skel.h: $(B)/gen/guard.linked.o
	$(BPFTOOL) gen skeleton $< name guard_skeleton > $@

$(B)/libpodveil.a: $(LIB:%.c=$(B)/obj/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/podveil: $(CLI:%.c=$(B)/obj/%.o) $(B)/libpodveil.a
	$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDLIBS)

# Pages that come out of the code.
$(B)/settings-page: scripts/settings_page.c $(B)/libpodveil.a
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $^ -o $@ $(LDLIBS)

docs: $(B)/settings-page
	$(EMULATOR) $(B)/settings-page > docs/settings.md

$(B)/.pages: $(B)/settings-page docs/settings.md
	@$(EMULATOR) $(B)/settings-page | cmp -s - docs/settings.md || { \
		echo "docs/settings.md differs from the table of settings: run make docs" >&2; exit 1; }
	@touch $@

install: $(B)/podveil
	install -D -m 755 $(B)/podveil $(DESTDIR)$(PREFIX)/sbin/podveil
	@mkdir -p $(B)/share
	$(EMULATOR) $(B)/podveil manual > $(B)/share/podveil.8
	$(EMULATOR) $(B)/podveil completion bash > $(B)/share/podveil.bash
	$(EMULATOR) $(B)/podveil completion zsh > $(B)/share/_podveil
	$(EMULATOR) $(B)/podveil completion fish > $(B)/share/podveil.fish
	install -D -m 644 $(B)/share/podveil.8 $(DESTDIR)$(PREFIX)/share/man/man8/podveil.8
	install -D -m 644 $(B)/share/podveil.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/podveil
	install -D -m 644 $(B)/share/_podveil $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_podveil
	install -D -m 644 $(B)/share/podveil.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/podveil.fish
	sed 's|@PREFIX@|$(PREFIX)|' deploy/systemd/podveil.service > $(B)/share/podveil.service
	install -D -m 644 $(B)/share/podveil.service $(DESTDIR)$(PREFIX)/lib/systemd/system/podveil.service
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/podveil/LICENSE
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/podveil/README.md

# How each file is compiled, for clangd and the like.
compile_commands.json: Makefile
	@{ echo '['; separator=''; for f in $(SRC); do \
		printf '%s{"directory": "%s", "file": "%s", "command": "%s"}' "$$separator" "$(CURDIR)" "$$f" \
			'$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c'" $$f"; separator=','; echo; done; echo ']'; } > $@

# --- tests ---

$(B)/tests/bpf/%: tests/bpf/%.c $(B)/libpodveil.a $(wildcard tests/bpf/*.h tests/unit/*.h)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Itests/unit $< $(B)/libpodveil.a -o $@ $(LDLIBS) -lcmocka

$(B)/tests/%: tests/unit/%.c $(B)/libpodveil.a $(wildcard tests/unit/*.h)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $< $(B)/libpodveil.a -o $@ $(LDLIBS) -lcmocka

FUZZ_FLAGS := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all

$(B)/fuzz/obj/%.o: %.c | $(SKEL) $(B)/gen/podveil_version.h
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) $(WARN) -fno-strict-aliasing $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c $< -o $@

$(B)/fuzz/libpodveil.a: $(LIB:%.c=$(B)/fuzz/obj/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/fuzz/%: tests/fuzz/%.c $(B)/fuzz/libpodveil.a
	$(CLANG) $(CPPFLAGS) $(WARN) -Itests/unit $(FUZZ_FLAGS) -fsanitize=fuzzer $< $(B)/fuzz/libpodveil.a -o $@ $(LDLIBS)

$(B)/bench/%: tests/bench/%.c $(B)/libpodveil.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $< $(B)/libpodveil.a -o $@ $(LDLIBS)

# What the suites run; they build nothing themselves.
test-programs: $(DEPS) $(B)/podveil unit-programs asan-programs $(BPF_BIN) $(FUZZ_BIN)

unit-programs: $(UNIT_BIN)

asan-programs:
	$(MAKE) B=$(B)/asan SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined" unit-programs

RUN := $(PYTHON) tests/run.py --build $(B) --emulator "$(EMULATOR)" --fuzz-seconds $(FUZZ_SECONDS)

unit: $(UNIT_BIN)
	$(RUN) unit
bpf-tests: $(BPF_BIN)
	$(RUN) bpf
fuzz: $(FUZZ_BIN)
	$(RUN) fuzz
e2e: $(DEPS) $(B)/podveil
	$(RUN) e2e sessions
check-etcd: $(DEPS) $(B)/podveil
	$(RUN) store
check-vm: $(DEPS) $(B)/podveil $(B)/tests/bpf/test_guard $(B)/tests/bpf/test_hook
	$(RUN) vm
check-apiserver: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(RUN) apiserver
# What one runs at each save.
check-quick: $(DEPS) $(B)/podveil unit-programs asan-programs $(BPF_BIN)
	$(RUN) unit asan bpf smoke
# Those side by side mostly wait, for what only time brings.
SUITES := unit asan bpf fuzz agent+device store+sessions+vm
check: test-programs
	$(RUN) $(SUITES)
# With Kubernetes' own programs: against its API server alone, then in a cluster of three nodes.
check-kubernetes: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(RUN) apiserver kubernetes
# A machine is emulated for the suite arm64, for the others a process.
check-arm64: $(DEPS) $(DEPS_ARM64)
	$(MAKE) CROSS=aarch64-linux-gnu- check-emulated
check-emulated: $(B)/podveil unit-programs asan-programs $(BPF_BIN)
	$(RUN) unit asan arm64
# Deliberate faults, one at a time: which tests notice? Needs longer than all tests together.
mutants: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(PYTHON) tests/mutants/run.py $(MUTANTS)
# Both, with one tally.
check-all: test-programs $(DEPS_KUBERNETES)
	$(RUN) unit asan bpf fuzz agent+device apiserver+store+sessions+vm kubernetes

demo: $(DEPS) $(B)/podveil
	$(PYTHON) deploy/lab/demo.py

demo-kubernetes: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(PYTHON) deploy/lab/demo_kubernetes.py

bench: $(DEPS) $(B)/podveil $(BENCH_BIN)
	$(B)/bench/stages
	$(PYTHON) tests/bench/bench.py $(BENCH)
ifeq ($(BENCH),full)
	$(PYTHON) tests/bench/scaling.py
	$(PYTHON) tests/bench/bench_agent.py
	$(PYTHON) tests/bench/bench_latency.py
	$(PYTHON) tests/bench/bench_flood.py
endif

bench-kubernetes: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(PYTHON) tests/bench/bench_kubernetes.py

# --- the look of things ---

format:
	clang-format -i $(C_FILES)

# uninitvar: cppcheck does not see through the loops of sys/queue.h. readdir: glibc's is safe for streams that
# are not shared.
lint:
	clang-format --dry-run -Werror $(C_FILES)
	cppcheck --quiet --error-exitcode=1 --std=c11 --library=posix --library=gnu --library=bsd --inline-suppr --enable=warning,portability \
		--suppress=missingInclude --suppress=unknownMacro --suppress=uninitvar --suppress=readdirCalled -D__x86_64__ -Iinclude -Iuser $(SRC)
	shellcheck scripts/*.sh deploy/*.sh .ci/run
	$(PYTHON) tests/mutants/run.py --check
	$(PYTHON) -m py_compile $(wildcard tests/*.py tests/*/*.py deploy/lab/*.py) deploy/lab/lab

clean:
	rm -rf build

-include $(SRC:%.c=$(B)/obj/%.d)
