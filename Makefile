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
FUZZ_SECONDS ?= 10
SOAK_SECONDS ?= 3600
SOAK_SEED ?=
VERSION ?= 0.1.0

# A line for each thing that is made; V=1 shows the whole commands, make -s nothing.
V ?=
Q := $(if $(V),,@)
SILENT := $(findstring s,$(firstword -$(MAKEFLAGS)))
TREE := $(if $(filter-out build,$(B)), ($(notdir $(B))))
say = @$(if $(V)$(SILENT),:,printf '  %-13s %s\n' '$(1)' '$(2)$(TREE)')

PKGS := libbpf libxdp libsodium libmnl liburcu-qsbr liburcu-cds libevent_core libevent_extra libcrypto jansson \
	libcurl yaml-0.1 libseccomp
CPPFLAGS := -D_GNU_SOURCE -Iinclude -Iuser -I$(B)/gen $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
CFLAGS ?= -O2 -g
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
ALL_CFLAGS = $(addprefix --sysroot=,$(SYSROOT)) $(WARN) -fno-strict-aliasing -pthread $(CFLAGS) $(SANITIZE)
LDLIBS := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -lpthread
ifeq ($(ARCH),x86_64)
CPPFLAGS += -DHAVE_IPSEC_MB
LDLIBS += -lIPSec_MB
endif

SRC := $(sort $(wildcard user/*/*.c user/*/*/*.c user/*/*/*/*.c))
CLI := user/cli/main.c
LIB := $(filter-out $(CLI),$(SRC))
SKEL := $(B)/gen/tunnel.skel.h $(B)/gen/tunnel_whole.skel.h $(B)/gen/guard.skel.h
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
BPF_BIN := $(patsubst tests/bpf/%.c,$(B)/tests/bpf/%,$(sort $(wildcard tests/bpf/test_*.c)))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
BENCH_BIN := $(patsubst tests/bench/%.c,$(B)/bench/%,$(sort $(wildcard tests/bench/*.c)))
DEB := build/deb/podveil_$(VERSION)_$(shell dpkg --print-architecture 2>/dev/null).deb
C_FILES := $(shell find user bpf include scripts vmlinux tests -name '*.[ch]' 2>/dev/null)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all docs version-is-checked help deps deps-kubernetes deps-felix deps-helm peers unit bpf-tests fuzz unit-programs asan-programs check-emulated e2e check-etcd check-vm check-apiserver check check-quick mutants \
	check-kubernetes check-all check-arm64 deps-arm64 soak demo demo-kubernetes bench bench-kubernetes bench-results format lint install deb sbom clean test-programs

all: $(B)/podveil $(B)/.pages

help:
	@echo "make                    build/podveil"
	@echo "make demo               a lab on this machine: traffic that is readable, then not, then again"
	@echo "make demo-kubernetes    the same in a real Kubernetes cluster of three nodes"
	@echo "make check              all tests (as root), but those of check-vm and check-kubernetes; ten minutes"
	@echo "make check-quick        unit tests, also with sanitizers, BPF programs, one walk through the lab; a minute"
	@echo "make check-vm           with the kernels' own WireGuard and Calico's Felix, in emulated machines; ten minutes"
	@echo "make check-kubernetes   the tests that need Kubernetes' programs"
	@echo "make check-arm64        tests for arm64, emulated; make CROSS=aarch64-linux-gnu- builds into build/aarch64"
	@echo "make SUITE              one suite: unit, bpf-tests, fuzz (FUZZ_SECONDS=$(FUZZ_SECONDS)), e2e, check-etcd, check-apiserver"
	@echo "make mutants            deliberate faults, one at a time, and whether tests notice;"
	@echo "                        MUTANTS=\"names\", files or folders for some of them"
	@echo "make soak               a cluster under traffic while everything fails and changes; SOAK_SECONDS=$(SOAK_SECONDS) SOAK_SEED="
	@echo "make bench              throughput, latency and CPU beside other WireGuards, in a minute;"
	@echo "                        BENCH=full: all of them, medians of five, how cost grows, the agent; 25 minutes"
	@echo "make bench-kubernetes   the agent in a cluster of 5,000 nodes and 10,000 IPAM blocks"
	@echo "make deps               install what building and testing needs, from Debian's packages first"
	@echo "make deps-kubernetes    Kubernetes' own programs, for tests and lab, into build/kubernetes"
	@echo "make deps-helm          Helm, for the test of the chart, into build/helm"
	@echo "make deps-felix         Calico's Felix, for the test that runs beside it, into build/peers"
	@echo "make peers              more WireGuards for the benchmark to compare with, into build/peers"
	@echo "make bench-results      write the tables of the last bench into README.md and docs/"
	@echo "make docs               write what is generated in the pages: settings, metrics, tables of benchmarks"
	@echo "make install            podveil, manual page, completions, systemd units; DESTDIR= PREFIX=$(PREFIX)"
	@echo "make sbom               the libraries that the program is linked with, as SPDX: build/podveil.spdx.json"
	@echo "make deb                Debian's package: build/deb/podveil_$(VERSION)_ARCHITECTURE.deb"
	@echo "make format, lint, clean"
	@echo "make V=1 ...            with whole command lines"

# --- what is needed ---

DEPS := build/.deps

deps: $(DEPS)

# Included, so that make starts again with the libraries that were just installed.
ifneq ($(filter deps check check-quick check-kubernetes check-all mutants soak demo demo-kubernetes bench bench-kubernetes e2e check-etcd check-vm check-apiserver,$(MAKECMDGOALS)),)
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

# Calico's Felix, for tests/vm/test_real_felix.py, which is skipped without it: seven minutes on two cores, once.
deps-felix:
	sh scripts/deps-felix.sh

# Helm, for tests/kubernetes/test_helm.py, which is skipped without it: some minutes on two cores, once.
deps-helm:
	sh scripts/deps-helm.sh

# Contenders that only the benchmark knows: five minutes on two cores, once.
peers:
	sh scripts/deps-peers.sh

DEPS_ARM64 := build/.deps-arm64

deps-arm64: $(DEPS_ARM64)

$(DEPS_ARM64): scripts/deps-arm64.sh scripts/packages.sh
	@mkdir -p $(@D)
	sh scripts/deps-arm64.sh
	@touch $@

# --- the program ---

# Loops over vectors are to be unrolled: else those are arrays in memory.
$(B)/obj/user/crypto/%_avx2.o $(B)/obj/user/crypto/%_avx512.o: ALL_CFLAGS += -O3
# gcc 12 would put pairs of words into vectors and take them out again: 141 instead of 127 ns a block.
$(B)/obj/user/crypto/blake2s.o: ALL_CFLAGS += -fno-tree-vectorize -fno-tree-slp-vectorize

$(B)/obj/%.o: %.c | $(SKEL) $(B)/gen/podveil_version.h
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Changes only where the version does, so that nothing else is built again.
$(B)/gen/podveil_version.h: version-is-checked
	@mkdir -p $(@D)
	@echo '#define PODVEIL_VERSION "$(VERSION)"' | cmp -s - $@ || echo '#define PODVEIL_VERSION "$(VERSION)"' > $@

# Files of the page, taken in by the assembler.
$(B)/obj/user/http/assets.o $(B)/fuzz/obj/user/http/assets.o: $(wildcard user/http/page/*)

# BTF names source files: without the folder that they are built in, so that the result is the same everywhere.
BPF_CC = $(CLANG) -g -O2 -Wall -Werror -target bpf -mcpu=v3 -ffile-prefix-map=$(CURDIR)=. \
	-Iinclude -Ivmlinux -Ibpf -I$(SYSROOT)/usr/include/$(ARCH)-linux-gnu

$(B)/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h include/podveil/*.h vmlinux/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$<)
	$(Q)$(BPF_CC) -c $< -o $@

$(B)/gen/classify_whole.bpf.o: bpf/classify.bpf.c $(wildcard bpf/*.h include/podveil/*.h vmlinux/*.h)
	@mkdir -p $(@D)
	$(call say,BPF,$< (without superpackets))
	$(Q)$(BPF_CC) -DWITHOUT_SUPERPACKETS -c $< -o $@

# The programs of one device, linked so that they share its maps: for kernels with superpackets, and for others.
$(B)/gen/tunnel.linked.o: $(B)/gen/classify.bpf.o $(B)/gen/steer.bpf.o $(B)/gen/divert.bpf.o
	$(call say,LINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/gen/tunnel_whole.linked.o: $(B)/gen/classify_whole.bpf.o $(B)/gen/steer.bpf.o $(B)/gen/divert.bpf.o
	$(call say,LINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

# Those of the uplink.
$(B)/gen/guard.linked.o: $(B)/gen/guard.bpf.o $(B)/gen/shield.bpf.o
	$(call say,LINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/gen/tunnel.skel.h $(B)/gen/tunnel_whole.skel.h: $(B)/gen/%.skel.h: $(B)/gen/%.linked.o
	$(call say,SKELETON,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

$(B)/gen/guard.skel.h: $(B)/gen/guard.linked.o
	$(call say,SKELETON,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name guard_skeleton > $@

$(B)/libpodveil.a: $(LIB:%.c=$(B)/obj/%.o)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/podveil: $(CLI:%.c=$(B)/obj/%.o) $(B)/libpodveil.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

# The same program as another version, for tests of upgrades: only what knows the version is compiled again.
NEXT := $(B)/next
NEXT_OBJ := $(patsubst %.c,$(NEXT)/obj/%.o,$(shell grep -l base/version.h $(SRC)))

$(NEXT)/gen/podveil_version.h: $(B)/gen/podveil_version.h
	@mkdir -p $(@D)
	@echo '#define PODVEIL_VERSION "$(VERSION)-next"' > $@

$(NEXT)/obj/%.o: %.c $(NEXT)/gen/podveil_version.h | $(SKEL)
	@mkdir -p $(@D)
	$(call say,CC,$< (next))
	$(Q)$(CC) -I$(NEXT)/gen $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(NEXT)/podveil: $(NEXT_OBJ) $(filter-out $(NEXT_OBJ:$(NEXT)/%=$(B)/%),$(CLI:%.c=$(B)/obj/%.o)) $(B)/libpodveil.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $^ -o $@ $(LDLIBS)

# Parts of pages that come out of tables in the code.
PAGES := docs/settings.md docs/observability.md docs/security.md deploy/kubernetes/crd/podveilconfigurations.yaml \
	deploy/helm/podveil/values.yaml deploy/helm/podveil/values.schema.json

$(B)/pages: scripts/pages.c $(B)/libpodveil.a
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $^ -o $@ $(LDLIBS)

docs: $(B)/pages
	$(call say,PAGES,$(PAGES))
	$(Q)$(EMULATOR) $(B)/pages $(PAGES)
	$(Q)$(PYTHON) tests/bench/pages.py

$(B)/.pages: $(B)/pages $(PAGES)
	@$(EMULATOR) $(B)/pages --check $(PAGES)
	@touch $@

install: $(B)/podveil
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -D -m 755 $(B)/podveil $(DESTDIR)$(PREFIX)/sbin/podveil
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin
	$(Q)ln -sf ../sbin/podveil $(DESTDIR)$(PREFIX)/bin/kubectl-podveil
	@mkdir -p $(B)/share
	$(Q)$(EMULATOR) $(B)/podveil manual > $(B)/share/podveil.8
	$(Q)$(EMULATOR) $(B)/podveil completion bash > $(B)/share/podveil.bash
	$(Q)$(EMULATOR) $(B)/podveil completion zsh > $(B)/share/_podveil
	$(Q)$(EMULATOR) $(B)/podveil completion fish > $(B)/share/podveil.fish
	$(Q)install -D -m 644 $(B)/share/podveil.8 $(DESTDIR)$(PREFIX)/share/man/man8/podveil.8
	@echo '.so man8/podveil.8' > $(B)/share/kubectl-podveil.1
	$(Q)install -D -m 644 $(B)/share/kubectl-podveil.1 $(DESTDIR)$(PREFIX)/share/man/man1/kubectl-podveil.1
	$(Q)install -D -m 644 $(B)/share/podveil.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/podveil
	$(Q)install -D -m 644 $(B)/share/_podveil $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_podveil
	$(Q)install -D -m 644 $(B)/share/podveil.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/podveil.fish
	$(Q)for unit in podveil.service podveil-tunnel.service; do \
		sed 's|@PREFIX@|$(PREFIX)|' deploy/systemd/$$unit > $(B)/share/$$unit && \
		install -D -m 644 $(B)/share/$$unit $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; done
	$(Q)install -D -m 644 deploy/systemd/podveil.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/podveil.conf
	$(Q)install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/podveil/LICENSE
	$(Q)install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/podveil/README.md

# --- packages ---

# Debian's package, checked by lintian.
deb: $(DEB)

$(DEB): $(DEPS) $(B)/podveil $(shell find debian deploy/systemd -type f) scripts/deb.sh Makefile README.md CHANGELOG.md SECURITY.md
	$(call say,DEB,$@)
	$(Q)CC="$(CC)" sh scripts/deb.sh $(VERSION) $(@D)
	$(Q)lintian --allow-root --fail-on error,warning $@

# What the program is made of: itself and the libraries it is linked with, as SPDX.
sbom: build/podveil.spdx.json

build/podveil.spdx.json: $(B)/podveil scripts/sbom.py
	$(call say,SBOM,$@)
	$(Q)$(PYTHON) scripts/sbom.py $< $(VERSION) > $@

# How each file is compiled, for clangd and the like.
compile_commands.json: Makefile
	@{ echo '['; separator=''; for f in $(SRC); do \
		printf '%s{"directory": "%s", "file": "%s", "command": "%s"}' "$$separator" "$(CURDIR)" "$$f" \
			'$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c'" $$f"; separator=','; echo; done; echo ']'; } > $@

# --- tests ---

$(B)/tests/bpf/%: tests/bpf/%.c $(B)/libpodveil.a $(wildcard tests/bpf/*.h tests/unit/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Itests/unit $< $(B)/libpodveil.a -o $@ $(LDLIBS) -lcmocka

$(B)/tests/%: tests/unit/%.c $(B)/libpodveil.a $(wildcard tests/unit/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $< $(B)/libpodveil.a -o $@ $(LDLIBS) -lcmocka

FUZZ_FLAGS := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all

$(B)/fuzz/obj/%.o: %.c | $(SKEL) $(B)/gen/podveil_version.h
	@mkdir -p $(@D)
	$(call say,CLANG,$< (fuzz))
	$(Q)$(CLANG) $(CPPFLAGS) $(WARN) -fno-strict-aliasing $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

# clang would need minutes for this file with both, 90 s without UBSan, and 13 s where ASan's checks are calls. The suite asan runs it with
# both, built by gcc.
$(B)/fuzz/obj/user/crypto/aead_avx512.o: FUZZ_FLAGS += -fno-sanitize=undefined -mllvm -asan-instrumentation-with-call-threshold=0

$(B)/fuzz/libpodveil.a: $(LIB:%.c=$(B)/fuzz/obj/%.o)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/fuzz/%: tests/fuzz/%.c $(B)/fuzz/libpodveil.a $(wildcard tests/unit/*.h)
	$(call say,CLANG,$<)
	$(Q)$(CLANG) $(CPPFLAGS) $(WARN) -Itests/unit $(FUZZ_FLAGS) -fsanitize=fuzzer $< $(B)/fuzz/libpodveil.a -o $@ $(LDLIBS)

$(B)/bench/%: tests/bench/%.c $(B)/libpodveil.a
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $< $(B)/libpodveil.a -o $@ $(LDLIBS) -lm

# What the suites run; they build nothing themselves.
test-programs: $(DEPS) $(B)/podveil $(NEXT)/podveil $(DEB) unit-programs asan-programs $(BPF_BIN) $(FUZZ_BIN) $(BENCH_BIN)

unit-programs: $(UNIT_BIN)

asan-programs:
	$(Q)$(MAKE) --no-print-directory B=$(B)/asan SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined" unit-programs

RUN := $(PYTHON) tests/run.py --build $(B) --emulator "$(EMULATOR)" --fuzz-seconds $(FUZZ_SECONDS)

unit: $(UNIT_BIN)
	$(Q)$(RUN) unit
bpf-tests: $(BPF_BIN)
	$(Q)$(RUN) bpf
fuzz: $(FUZZ_BIN)
	$(Q)$(RUN) fuzz
e2e: $(DEPS) $(B)/podveil $(NEXT)/podveil $(DEB) $(BENCH_BIN)
	$(Q)$(RUN) e2e
check-etcd: $(DEPS) $(B)/podveil
	$(Q)$(RUN) store
check-vm: $(DEPS) $(B)/podveil $(B)/tests/bpf/test_guard $(B)/tests/bpf/test_hook
	$(Q)$(RUN) vm
check-apiserver: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(Q)$(RUN) apiserver
# What one runs at each save.
check-quick: $(DEPS) $(B)/podveil unit-programs asan-programs $(BPF_BIN)
	$(Q)$(RUN) unit asan bpf smoke
SUITES := unit asan bpf fuzz e2e+store
check: test-programs
	$(Q)$(RUN) $(SUITES)
# With Kubernetes' own programs: against its API server alone, then in a cluster of three nodes.
check-kubernetes: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil $(NEXT)/podveil
	$(Q)$(RUN) apiserver kubernetes
# A machine is emulated for the suite arm64, for the others a process.
check-arm64: $(DEPS) $(DEPS_ARM64)
	$(Q)$(MAKE) --no-print-directory CROSS=aarch64-linux-gnu- check-emulated
check-emulated: $(B)/podveil unit-programs asan-programs $(BPF_BIN)
	$(Q)$(RUN) unit asan arm64
# Deliberate faults, one at a time: which tests notice? Needs longer than all tests together.
mutants: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(Q)$(PYTHON) tests/mutants/run.py $(MUTANTS)
# Hours, not minutes: traffic while pods, settings, links, keys, processes and the store change or fail.
soak: $(DEPS) $(B)/podveil $(NEXT)/podveil
	$(Q)SOAK_SECONDS=$(SOAK_SECONDS) SOAK_SEED=$(SOAK_SEED) $(PYTHON) tests/soak/soak.py
# Both, with one tally.
check-all: test-programs $(DEPS_KUBERNETES)
	$(Q)$(RUN) unit asan bpf fuzz e2e+store+vm+apiserver kubernetes

demo: $(DEPS) $(B)/podveil
	$(Q)$(PYTHON) deploy/lab/demo.py

demo-kubernetes: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(Q)$(PYTHON) deploy/lab/demo_kubernetes.py

bench: $(DEPS) $(B)/podveil $(NEXT)/podveil $(BENCH_BIN)
	$(Q)$(B)/bench/stages
	$(Q)$(PYTHON) tests/bench/bench.py $(BENCH)
ifeq ($(BENCH),full)
	$(Q)$(PYTHON) tests/bench/scaling.py
	$(Q)$(PYTHON) tests/bench/bench_agent.py
	$(Q)$(PYTHON) tests/bench/bench_latency.py
	$(Q)$(PYTHON) tests/bench/bench_flood.py
	$(Q)$(PYTHON) tests/bench/bench_restart.py
	$(Q)$(PYTHON) tests/bench/bench_upgrade.py
endif

bench-kubernetes: $(DEPS) $(DEPS_KUBERNETES) $(B)/podveil
	$(Q)$(PYTHON) tests/bench/bench_kubernetes.py

# Takes the tables of the last `make bench` over into README.md and docs/.
bench-results:
	$(Q)$(PYTHON) tests/bench/pages.py --take

# --- the look of things ---

format:
	$(call say,clang-format,$(words $(C_FILES)) C files)
	$(Q)clang-format -i $(C_FILES)

SHELL_FILES := $(wildcard scripts/*.sh deploy/*.sh) .ci/run
PYTHON_FILES := $(wildcard scripts/*.py tests/*.py tests/*/*.py deploy/lab/*.py) deploy/lab/lab

# uninitvar: cppcheck does not see through the loops of sys/queue.h. readdir: glibc's is safe for streams that
# are not shared.
lint:
	$(call say,clang-format,$(words $(C_FILES)) C files)
	$(Q)clang-format --dry-run -Werror $(C_FILES)
	$(call say,cppcheck,$(words $(SRC)) C files)
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --library=posix --library=gnu --library=bsd --inline-suppr --enable=warning,portability \
		--suppress=missingInclude --suppress=unknownMacro --suppress=uninitvar --suppress=readdirCalled -D__x86_64__ -Iinclude -Iuser $(SRC)
	$(call say,shellcheck,$(words $(SHELL_FILES)) scripts)
	$(Q)shellcheck $(SHELL_FILES)
	$(call say,py_compile,$(words $(PYTHON_FILES)) Python files)
	$(Q)$(PYTHON) -m py_compile $(PYTHON_FILES)
	$(call say,mutants,each fault still has its place in the code)
	$(Q)$(PYTHON) tests/mutants/run.py --check
	$(call say,pages,figures in README.md and docs/)
	$(Q)$(PYTHON) tests/bench/pages.py --check

clean:
	rm -rf build

-include $(SRC:%.c=$(B)/obj/%.d) $(LIB:%.c=$(B)/fuzz/obj/%.d) $(NEXT_OBJ:%.o=%.d)
