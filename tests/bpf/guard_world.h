/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the programs guard and shield on packets of ours, with BPF_PROG_TEST_RUN. */
#ifndef TESTS_BPF_GUARD_WORLD_H
#define TESTS_BPF_GUARD_WORLD_H

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "netlink/link.h"
#include "programs/device_filters.h"
#include "programs/filter_programs.h"
#include "wrappings.h"

#define MARK 0x200000
#define PASS 0xffffffffu /* TC_ACT_UNSPEC */
#define DROP TC_ACT_SHOT

static struct device_filters *g;
static int uplink;
static struct pv_guard_settings settings = {
	.fwmark = MARK,
	.port4 = 51820,
	.port6 = 51821,
	.vxlan_ports = {4789, 8472},
	.geneve_ports = {6081},
};

/* BPF_PROG_TEST_RUN refuses a packet that ends within the network header. */
#define UNTESTED 0xfffffffeu

static inline uint32_t run_marked(int program, struct packet *p, uint32_t len, uint32_t *mark)
{
	struct __sk_buff context = {.mark = *mark, .ifindex = (uint32_t)uplink};
	uint8_t out[4096];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes(p), .data_size_in = len,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .ctx_out = &context,
		    .ctx_size_out = sizeof(context));
	int err = bpf_prog_test_run_opts(program, &opts);

	if (err == -EINVAL && len < 14 + 40)
		return UNTESTED;
	assert_int_equal(err, 0);
	*mark = context.mark;
	return opts.retval;
}

static inline uint32_t run(int program, struct packet *p)
{
	uint32_t mark = 0;

	return run_marked(program, p, p->len, &mark);
}

static inline struct pv_counters count(void)
{
	struct pv_counters c;

	device_filters_counters(g, &c);
	return c;
}

static inline void set(const char *range, enum pv_guard_kind kind)
{
	struct cidr c;

	assert_int_equal(cidr_parse(range, &c), 0);
	assert_int_equal(device_filters_set_range(g, &c, kind), 0);
}

static inline void be_strict(bool strict)
{
	settings.strict = strict;
	assert_int_equal(device_filters_write_settings(g, &settings), 0);
}

static inline int load(void **state)
{
	(void)state;
	settings.strict = settings.mark_ingress = 0;
	assert_int_equal(device_filters_new(&g), 0);
	assert_int_equal(device_filters_write_settings(g, &settings), 0);
	set("10.0.0.0/8", PV_GUARD_REMOTE);
	set("10.1.0.0/16", PV_GUARD_LOCAL);
	set("fd00::/16", PV_GUARD_REMOTE);
	set("fd00:1::/64", PV_GUARD_LOCAL);
	set("10.3.0.0/16", PV_GUARD_ENCRYPTED);
	set("fd00:3::/64", PV_GUARD_ENCRYPTED);
	return 0;
}

static inline int unload(void **state)
{
	(void)state;
	device_filters_free(g, true);
	return 0;
}

/* Makes a node with an uplink, which forwards to its pods and to other nodes. Returns false if the
 * tests cannot run; then `*failed` tells whether that is a failure. */
static inline bool guard_world(bool *failed)
{
	struct link_info link;

	*failed = false;
	if (!own_machine("programs"))
		return false;
	*failed = !shell("ip link add up0 type veth peer name up1 && ip link set up1 up && "
			 "ip link set up0 up && ip addr add " OURS4 "/16 dev up0 && "
			 "ip addr add " OURS6 "/64 dev up0 nodad && ip route add default via " NODE4
			 " && "
			 "ip route add 10.1.0.0/16 dev up1 && ip route add fd00:1::/64 dev up1 && "
			 "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1") ||
		  link_get("up0", &link);
	if (*failed)
		return false;
	uplink = link.ifindex;
	return true;
}

#endif
