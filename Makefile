# SPDX-License-Identifier: Apache-2.0
# Podveil. `make` builds build/podveil; `make help` lists the rest.

CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
B := build
ARCH := $(shell uname -m)

PKGS := libbpf libxdp libsodium libb2 libmnl liburcu-qsbr liburcu-cds libevent_core libevent_extra libevent_pthreads libcrypto
CPPFLAGS := -D_GNU_SOURCE -Iinclude -Iuser -I$(B)/gen $(shell pkg-config --cflags $(PKGS))
CFLAGS ?= -O2 -g
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
ALL_CFLAGS = $(WARN) -fno-strict-aliasing -pthread $(CFLAGS) $(SANITIZE)
LDLIBS := $(shell pkg-config --libs $(PKGS)) -lpthread -lm
ifeq ($(ARCH),x86_64)
CPPFLAGS += -DHAVE_IPSEC_MB
LDLIBS += -lIPSec_MB
endif

SRC := $(sort $(wildcard user/*/*.c))
CLI := $(filter user/cli/%,$(SRC))
LIB := $(filter-out user/cli/%,$(SRC))
SKEL := $(B)/gen/tunnel.skel.h
UNIT := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN := $(UNIT:tests/unit/%.c=$(B)/tests/%)

.DELETE_ON_ERROR:
.PHONY: all clean unit
all: $(B)/podveil

$(B)/obj/%.o: %.c | $(SKEL)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h include/podveil/*.h vmlinux/*.h)
	@mkdir -p $(@D)
	$(CLANG) -g -O2 -Wall -Werror -target bpf -mcpu=v3 -Iinclude -Ivmlinux -Ibpf \
		-I/usr/include/$(ARCH)-linux-gnu -c $< -o $@

# The programs of one device, linked so that they share its maps.
$(B)/gen/tunnel.linked.o: $(B)/gen/classify.bpf.o $(B)/gen/steer.bpf.o
	$(BPFTOOL) gen object $@ $^

$(B)/gen/%.skel.h: $(B)/gen/%.linked.o
	$(BPFTOOL) gen skeleton $< name $* > $@

$(B)/libpodveil.a: $(LIB:%.c=$(B)/obj/%.o)
	@rm -f $@
	ar rcs $@ $^

$(B)/podveil: $(CLI:%.c=$(B)/obj/%.o) $(B)/libpodveil.a
	$(CC) $(ALL_CFLAGS) $^ -o $@ $(LDLIBS)

$(B)/tests/%: tests/unit/%.c $(B)/libpodveil.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Itests $< $(B)/libpodveil.a -o $@ $(LDLIBS) -lcmocka

unit: $(UNIT_BIN)
	@for t in $^; do echo "== $$t"; $$t || exit 1; done

clean:
	rm -rf $(B)

-include $(SRC:%.c=$(B)/obj/%.d)
