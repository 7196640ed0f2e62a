/* SPDX-License-Identifier: Apache-2.0 */
/* What guard and shield find in packets; they run with BPF_PROG_TEST_RUN. */
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

/* --- running --- */

/* BPF_PROG_TEST_RUN refuses a packet that ends within the network header. */
#define UNTESTED 0xfffffffeu

static uint32_t run_marked(int program, struct packet *p, uint32_t len, uint32_t *mark)
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

static uint32_t run(int program, struct packet *p)
{
	uint32_t mark = 0;

	return run_marked(program, p, p->len, &mark);
}

static struct pv_counters count(void)
{
	struct pv_counters c;

	device_filters_counters(g, &c);
	return c;
}

static void set(const char *range, enum pv_guard_kind kind)
{
	struct cidr c;

	assert_int_equal(cidr_parse(range, &c), 0);
	assert_int_equal(device_filters_set_range(g, &c, kind), 0);
}

static void be_strict(bool strict)
{
	settings.strict = strict;
	assert_int_equal(device_filters_write_settings(g, &settings), 0);
}

static int load(void **state)
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

static int unload(void **state)
{
	(void)state;
	device_filters_free(g, true);
	return 0;
}

/* --- which packets they drop or count --- */

static const struct leak {
	const char *from, *to;
	enum { NO, BEFORE_ENCRYPTION, LEAKED } leaks;
} leaks[] = {
	{"10.1.0.1", "10.2.0.1", BEFORE_ENCRYPTION},
	{"10.1.0.1", "10.1.0.2", NO},
	{"10.1.0.1", "192.0.2.1", NO},
	{"172.18.0.1", "10.2.0.1", BEFORE_ENCRYPTION},
	{"fd00:1::1", "fd00:2::1", BEFORE_ENCRYPTION},
	{"fd00:1::1", "fd00:1::2", NO},
	{"fd00:1::1", "2001:db8::1", NO},
	{"10.1.0.1", "10.3.0.1", LEAKED},
	{"fd00:1::1", "fd00:3::1", LEAKED},
};

static void check(int program, struct packet *p, uint32_t wanted, const char *what,
		  const struct leak *l)
{
	const uint32_t got = run(program, p);

	if (got != wanted)
		fail_msg("%s %s -> %s: %d, not %d", what, l->from, l->to, (int)got, (int)wanted);
}

static void plaintext_is_found_in_every_encapsulation(void **state)
{
	uint64_t out = 0, in = 0, dropped_out = 0, dropped_in = 0, leaked = 0;

	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		be_strict(strict);
		for (size_t i = 0; i < COUNT_OF(leaks) * COUNT_OF(wrappings); i++) {
			const struct leak *l = &leaks[i % COUNT_OF(leaks)];
			const struct wrapping *w = &wrappings[i / COUNT_OF(leaks)];
			struct packet leaving = wrapped(w, l->from, l->to);
			struct packet coming = wrapped(w, l->to, l->from);
			const uint32_t wanted = l->leaks && strict ? DROP : PASS;

			check(egress_program_fd(g), &leaving, wanted, w->name, l);
			check(ingress_program_fd(g), &coming, wanted, w->name, l);
			out += l->leaks && !strict;
			leaked += l->leaks == LEAKED && !strict;
			dropped_out += l->leaks && strict;
		}
		in = out;
		dropped_in = dropped_out;
		assert_int_equal(count().leaks, out);
		assert_int_equal(count().leaked, leaked);
		assert_int_equal(count().plain_before_encryption, out - leaked);
		assert_int_equal(count().plain_inward, in);
		assert_int_equal(count().leaked_inward, leaked);
		assert_int_equal(count().plain_inward_before_encryption, in - leaked);
		assert_int_equal(count().drop_leak, dropped_out);
		assert_int_equal(count().drop_plain_inward, dropped_in);
	}
}

/* Wherever a packet is cut off, and whatever its headers then say: it does not pass if it is, or
 * may be, a pod's packet. */
static void truncated_packets_do_not_pass(void **state)
{
	(void)state;
	be_strict(true);
	for (size_t i = 0; i < COUNT_OF(leaks) * COUNT_OF(wrappings); i++) {
		const struct leak *l = &leaks[i % COUNT_OF(leaks)];
		const struct wrapping *w = &wrappings[i / COUNT_OF(leaks)];
		struct packet leaving = wrapped(w, l->from, l->to);
		struct packet coming = wrapped(w, l->to, l->from);

		for (uint32_t len = 14; l->leaks && len <= leaving.len; len++) {
			uint32_t mark = 0, one, two;

			one = run_marked(egress_program_fd(g), &leaving, len, &mark);
			two = run_marked(ingress_program_fd(g), &coming, len, &mark);
			if ((one != DROP && one != UNTESTED) || (two != DROP && two != UNTESTED))
				fail_msg("%s %s -> %s, %u bytes: %d %d", w->name, l->from, l->to,
					 len, (int)one, (int)two);
		}
	}
}

/* The first fragment of a packet whose headers continue in the second fragment. What follows in the
 * frame is padding and must be ignored. */
static void fragments_that_hide_headers_do_not_pass(void **state)
{
	(void)state;
	be_strict(true);
	for (uint32_t piece = 0; piece < 8 + 8 + 14 + 20; piece += 8) {
		struct packet p = inner("192.0.2.1", "192.0.2.2");

		ethernet(&p, 0, 0x0800);
		vxlan(&p, 4789);
		ip4(&p, NODE4, OURS4, IPPROTO_UDP, 0, MORE);
		put16(bytes(&p) + 2, 20 + piece);
		ethernet(&p, 0, 0x0800);
		assert_int_equal(run(egress_program_fd(g), &p), DROP);
		assert_int_equal(run(ingress_program_fd(g), &p), DROP);
	}
	for (uint32_t piece = 8; piece < 8 + 8 + 8 + 14 + 40; piece += 8) {
		struct packet p = inner("2001:db8::1", "2001:db8::2");

		vxlan_first_piece6(&p, 0x86dd);
		put16(bytes(&p) + 14 + 4, piece);
		assert_int_equal(run(egress_program_fd(g), &p), DROP);
		assert_int_equal(run(ingress_program_fd(g), &p), DROP);
	}
	/* The length in the UDP header is also a limit. */
	for (uint32_t length = 8; length < 8 + 8 + 14 + 20; length++) {
		struct packet p = inner("192.0.2.1", "192.0.2.2");

		vxlan4(&p, 0x0800);
		put16(bytes(&p) + 14 + 20 + 4, length);
		assert_int_equal(run(egress_program_fd(g), &p), DROP);
		assert_int_equal(run(ingress_program_fd(g), &p), DROP);
	}
}

/* A pod's own packet as a later fragment, or with extension headers that cannot be parsed. */
static void addresses_are_checked_before_the_rest(void **state)
{
	const uint8_t later[8] = {17, 0, 3, 32, 0, 0, 0, 1}, truncated[8] = {17, 255, 1, 4};

	(void)state;
	be_strict(true);
	for (int i = 0; i < 4; i++) {
		const bool outward = i % 2;
		const char *const from = outward ? "fd00:1::1" : "fd00:2::1";
		const char *const to = outward ? "fd00:2::1" : "fd00:1::1";
		struct packet p = {.len = 0};

		before(&p, i < 2 ? later : truncated, 8);
		ip6(&p, from, to, i < 2 ? 44 : 60);
		ethernet(&p, 0, 0x86dd);
		assert_int_equal(run(outward ? egress_program_fd(g) : ingress_program_fd(g), &p),
				 DROP);
	}
	for (int i = 0; i < 2; i++) {
		struct packet p = {.len = 0};

		ip4(&p, i ? "10.1.0.1" : "10.2.0.1", i ? "10.2.0.1" : "10.1.0.1", 17, 0, LATER);
		ethernet(&p, 0, 0x0800);
		assert_int_equal(run(i ? egress_program_fd(g) : ingress_program_fd(g), &p), DROP);
		bytes(&p)[14] = 0x41; /* a header of four bytes */
		assert_int_equal(run(i ? egress_program_fd(g) : ingress_program_fd(g), &p), DROP);
	}
	/* Between nodes, such a header, or options without end, are not needed either. */
	for (int i = 0; i < 2; i++) {
		struct packet odd = inner(NODE4, OURS4);

		ethernet(&odd, 0, 0x0800);
		bytes(&odd)[14] = i ? 0x44 : 0x55;
		assert_int_equal(run(egress_program_fd(g), &odd), DROP);
		assert_int_equal(run(ingress_program_fd(g), &odd), DROP);
	}
	struct packet p = {.len = 0};

	before(&p, truncated, 8);
	node6(&p, 60);
	assert_int_equal(run(egress_program_fd(g), &p), DROP);
	assert_int_equal(run(ingress_program_fd(g), &p), DROP);
}

static void endless_headers_do_not_pass(void **state)
{
	struct packet tags = inner("10.1.0.1", "192.0.2.1"), options = {.len = 0};

	(void)state;
	be_strict(true);
	ethernet(&tags, 30, 0x0800);
	assert_int_equal(run(egress_program_fd(g), &tags), DROP);
	assert_int_equal(run(ingress_program_fd(g), &tags), DROP);
	for (int i = 0; i < 30; i++)
		before(&options, (uint8_t[8]){60, 0, 1, 4}, 8);
	node6(&options, 60);
	assert_int_equal(run(egress_program_fd(g), &options), DROP);
	assert_int_equal(run(ingress_program_fd(g), &options), DROP);
}

static void a_routing_header_leads_to_a_pod(void **state)
{
	(void)state;
	be_strict(true);
	for (int i = 0; i < 4; i++) {
		struct packet p = {.len = 0};
		uint8_t h[24] = {17, 2, 4, i < 2};

		inet_pton(AF_INET6, i % 2 ? "fd00:2::1" : "2001:db8::1", h + 8);
		udp(&p, 53);
		before(&p, h, 24);
		node6(&p, 43);
		/* With no segments left, it has arrived at its destination. */
		assert_int_equal(run(egress_program_fd(g), &p), i == 1 ? DROP : PASS);
	}
}

/* WireGuard's own packets go to nodes: the mark does not let a packet to a pod pass. */
static void the_mark_makes_no_exception(void **state)
{
	uint32_t mark;

	(void)state;
	be_strict(true);
	for (size_t i = 0; i < COUNT_OF(wrappings); i++) {
		struct packet p = wrapped(&wrappings[i], "10.1.0.1", "10.2.0.1");

		mark = MARK | 0x10;
		assert_int_equal(run_marked(egress_program_fd(g), &p, p.len, &mark), DROP);
	}
}

/* --- packets that have nothing to do with pods --- */

static void arp(struct packet *p)
{
	before(p, "\0\1\x08\0\6\4\0\1aaaaaabbbbccccccdddd", 28);
	ethernet(p, 0, 0x0806);
}

static void arp_in_vxlan(struct packet *p)
{
	arp(p);
	vxlan(p, 4789);
	node4(p, IPPROTO_UDP);
}

static void slow_protocol(struct packet *p)
{
	ethernet(p, 0, 0x88cc);
}

static void length_instead_of_type(struct packet *p)
{
	before(p, "\x42\x42\3", 3);
	ethernet(p, 0, 3);
}

static void tcp(struct packet *p)
{
	before(p, (uint8_t[20]){0}, 20);
	node4(p, IPPROTO_TCP);
}

static void tcp_cut_short(struct packet *p)
{
	before(p, "\0\1", 2);
	node4(p, IPPROTO_TCP);
}

static void esp(struct packet *p)
{
	before(p, "spi spi seq", 11);
	node6(p, 50);
}

static void neighbour_solicitation(struct packet *p)
{
	before(p, (uint8_t[24]){135}, 24);
	ip6(p, "fe80::1", "ff02::1:ff00:1", 58);
	ethernet(p, 0, 0x86dd);
}

static void multicast_report(struct packet *p)
{
	before(p, (uint8_t[8]){143}, 8);
	before(p, "\x3a\0\5\2\0\0\0\0", 8); /* router alert */
	ip6(p, "fe80::1", "ff02::16", 0);
	ethernet(p, 0, 0x86dd);
}

static void later_piece(struct packet *p)
{
	before(p, "anything at all", 15);
	ip4(p, NODE4, OURS4, IPPROTO_UDP, 0, LATER);
	ethernet(p, 0, 0x0800);
}

static void first_piece(struct packet *p)
{
	udp(p, 2049);
	ip4(p, NODE4, OURS4, IPPROTO_UDP, 0, MORE);
	ethernet(p, 0, 0x0800);
}

static void pptp(struct packet *p)
{
	before(p, "\x30\1\x88\x0b\0\4\0\1\0\0\0\0", 12);
	node4(p, 47);
}

static void keepalive_of_gre(struct packet *p)
{
	before(p, "\0\0\0\0", 4);
	node4(p, 47);
}

static void wireguard_on_the_port_of_vxlan(struct packet *p)
{
	before(p, (uint8_t[32]){4}, 32);
	udp(p, 4789);
	node4(p, IPPROTO_UDP);
}

static void superpacket_with_length_zero(struct packet *p)
{
	tcp(p);
	put16(bytes(p) + 14 + 2, 0);
}

static void traffic_without_pods_passes(void **state)
{
	static void (*const harmless[])(struct packet * p) = {
		arp,
		arp_in_vxlan,
		slow_protocol,
		length_instead_of_type,
		tcp,
		tcp_cut_short,
		esp,
		neighbour_solicitation,
		multicast_report,
		later_piece,
		first_piece,
		pptp,
		keepalive_of_gre,
		wireguard_on_the_port_of_vxlan,
		superpacket_with_length_zero,
	};

	(void)state;
	be_strict(true);
	for (size_t i = 0; i < COUNT_OF(harmless); i++) {
		struct packet p = {.len = 0};

		harmless[i](&p);
		if (run(egress_program_fd(g), &p) != PASS || run(ingress_program_fd(g), &p) != PASS)
			fail_msg("the harmless packet %zu is dropped", i);
	}
	assert_int_equal(count().drop_leak + count().drop_plain_inward, 0);
}

/* Devices without link-layer headers. */
static void packets_that_begin_with_ip(void **state)
{
	(void)state;
	be_strict(true);
	for (size_t i = 0; i < COUNT_OF(leaks); i++) {
		const struct leak *l = &leaks[i];
		struct packet leaving = inner(l->from, l->to), coming = inner(l->to, l->from);
		struct packet tunnelled = inner(l->from, l->to);

		ip4(&tunnelled, NODE4, OURS4, protocol_of(type_of(l->to)), 0, 0);
		check(egress_ip_program_fd(g), &leaving, l->leaks ? DROP : PASS, "bare", l);
		check(ingress_ip_program_fd(g), &coming, l->leaks ? DROP : PASS, "bare", l);
		check(egress_ip_program_fd(g), &tunnelled, l->leaks ? DROP : PASS, "in IP", l);
	}
}

static void hostile_packets(void **state)
{
	uint64_t rng = 5;

	(void)state;
	be_strict(true);
	for (int i = 0; i < 40000; i++) {
		struct packet p = wrapped(&wrappings[draw(&rng) % COUNT_OF(wrappings)], "10.1.0.1",
					  "192.0.2.1");
		uint32_t mark = 0, verdict;

		for (int k = 0; k < 4; k++)
			bytes(&p)[14 + draw(&rng) % (p.len - 14)] = (uint8_t)draw(&rng);
		verdict = run_marked(i % 2 ? egress_program_fd(g) : ingress_program_fd(g), &p,
				     54 + draw(&rng) % (p.len - 53), &mark);
		assert_true(verdict == PASS || verdict == DROP);
	}
}

/* --- the WireGuard port --- */

static struct packet message(const char *to, uint16_t port, uint8_t type, uint8_t reserved,
			     uint32_t len)
{
	struct packet p = {.len = 0};
	uint8_t data[256] = {type, reserved};

	before(&p, data, len);
	udp(&p, port);
	ip(&p, is_ip6(to) ? NODE6 : NODE4, to, IPPROTO_UDP);
	ethernet(&p, 0, type_of(to));
	return p;
}

static void only_messages_reach_the_port(void **state)
{
	static const struct {
		uint8_t type, reserved;
		uint32_t len;
		bool good;
	} table[] = {
		{1, 0, 148, true},  {1, 0, 147, false}, {1, 0, 149, false}, {2, 0, 92, true},
		{2, 0, 148, false}, {3, 0, 64, true},	{3, 0, 63, false},  {4, 0, 32, true},
		{4, 0, 31, false},  {4, 0, 200, true},	{4, 1, 200, false}, {0, 0, 148, false},
		{5, 0, 148, false}, {4, 0, 3, false},	{4, 0, 0, false},
	};
	uint64_t dropped = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		for (uint16_t port = 51819; port <= 51822; port++) {
			const bool ours = port == 51820 || port == 51821;
			struct packet p = message(port % 2 ? OURS6 : OURS4, port, table[i].type,
						  table[i].reserved, table[i].len);

			assert_int_equal(run(ingress_program_fd(g), &p),
					 ours && !table[i].good ? DROP : PASS);
			dropped += ours && !table[i].good;
			assert_int_equal(count().drop_wire_short, dropped);
		}
}

/* A packet to this port of a pod, or one that is forwarded to another node, is not WireGuard's. */
static void the_port_of_other_hosts_is_not_checked(void **state)
{
	static const char *const others[] = {"10.1.0.1", "fd00:1::1", OTHER4, "192.0.2.7"};

	(void)state;
	settings.mark_ingress = 1;
	be_strict(true);
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		struct packet odd = message(others[i], 51820, 9, 9, 20);
		struct packet good = message(others[i], 51820, 4, 0, 32);
		uint32_t mark = 0;

		assert_int_equal(run(ingress_program_fd(g), &odd), PASS);
		assert_int_equal(run_marked(ingress_program_fd(g), &good, good.len, &mark), PASS);
		assert_int_equal(mark, 0);
	}
	assert_int_equal(count().drop_wire_short, 0);
}

static void arriving_messages_are_marked_if_wanted(void **state)
{
	static const char *const addresses[] = {OURS4, OURS6};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		struct packet good = message(addresses[i], 51820, 4, 0, 32);
		struct packet other = message(addresses[i], 4000, 4, 0, 32);
		uint32_t mark = 0x10;

		settings.mark_ingress = 0;
		be_strict(true);
		run_marked(ingress_program_fd(g), &good, good.len, &mark);
		assert_int_equal(mark, 0x10);
		settings.mark_ingress = 1;
		be_strict(true);
		run_marked(ingress_program_fd(g), &good, good.len, &mark);
		assert_int_equal(mark, 0x10 | MARK);
		mark = 0;
		run_marked(ingress_program_fd(g), &other, other.len, &mark);
		assert_int_equal(mark, 0);
	}
}

static void see(const struct cidr *range, enum pv_guard_kind kind, void *context)
{
	char text[CIDR_TEXT], *all = context;

	snprintf(all + strlen(all), 200 - strlen(all), "%s=%d ", cidr_format(range, false, text),
		 (int)kind);
}

static void ranges_are_listed_and_removed(void **state)
{
	char all[200] = "";
	struct cidr c;

	(void)state;
	assert_int_equal(device_filters_each_range(g, see, all), 0);
	assert_non_null(strstr(all, "10.0.0.0/8=1 "));
	assert_non_null(strstr(all, "fd00:1::/64=2 "));
	assert_int_equal(cidr_parse("10.0.0.0/8", &c), 0);
	assert_int_equal(device_filters_unset_range(g, &c), 0);
	assert_int_equal(device_filters_unset_range(g, &c), 0);
	all[0] = 0;
	assert_int_equal(device_filters_each_range(g, see, all), 0);
	assert_null(strstr(all, "10.0.0.0/8="));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, load, unload)
	const struct CMUnitTest tests[] = {
		TEST(plaintext_is_found_in_every_encapsulation),
		TEST(truncated_packets_do_not_pass),
		TEST(fragments_that_hide_headers_do_not_pass),
		TEST(addresses_are_checked_before_the_rest),
		TEST(endless_headers_do_not_pass),
		TEST(a_routing_header_leads_to_a_pod),
		TEST(the_mark_makes_no_exception),
		TEST(traffic_without_pods_passes),
		TEST(packets_that_begin_with_ip),
		TEST(hostile_packets),
		TEST(only_messages_reach_the_port),
		TEST(the_port_of_other_hosts_is_not_checked),
		TEST(arriving_messages_are_marked_if_wanted),
		TEST(ranges_are_listed_and_removed),
	};
	struct link_info link;

	if (!own_machine("programs"))
		return 0;
	/* A node that forwards to its pods and to other nodes. */
	if (!shell("ip link add up0 type veth peer name up1 && ip link set up1 up && "
		   "ip link set up0 up && ip addr add " OURS4 "/16 dev up0 && "
		   "ip addr add " OURS6 "/64 dev up0 nodad && ip route add default via " NODE4
		   " && "
		   "ip route add 10.1.0.0/16 dev up1 && ip route add fd00:1::/64 dev up1 && "
		   "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1") ||
	    link_get("up0", &link))
		return 1;
	uplink = link.ifindex;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
