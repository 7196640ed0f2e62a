/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry through BPF_PROG_TEST_RUN, and its loader on real devices. In a network and mount namespace
 * of its own, with a bpffs of its own.
 */
#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <unistd.h>

#include "bpf/entry.h"
#include "bpf/programs.h"
#include "machine.h"
#include "netlink/link.h"
#include "packets.h"
#include "podveil/stamp.h"

#define MARK	 0x200000
#define PASS	 ((uint32_t)TC_ACT_UNSPEC)
#define REDIRECT TC_ACT_REDIRECT
#define NOT_RUN	 UINT32_MAX - 1 /* the kernel itself refuses to try */
#define MTU	 1420

static struct programs *p;
static struct entry_program *e;
static struct link_info tunnel, inner;

static void range(const char *text, enum pv_entry_way way)
{
	struct cidr c;

	assert_int_equal(cidr_parse(text, &c), 0);
	assert_int_equal(entry_program_set(e, &c, way), 0);
}

/* Peer 3 has 10.0.0.0/16 and fd00::/16, of which 10.0.2.0/24 and fd00::/16 are routed into the
 * tunnel. */
static int load(void **state)
{
	const struct pv_settings settings = {.fwmark = MARK, .fwmark_mask = MARK};
	const struct programs_params params = {
		.pin_name = "t0", .workers = 1, .superpackets = true};
	const struct entry_program_params more = {
		.family = AF_INET,
		.tunnel_ifindex = tunnel.ifindex,
		.inner_ifindex = inner.ifindex,
		.workers = 1,
	};
	const struct pv_allowed to = {.peer = 3, .generation = 7};
	const struct pv_cidr4 c4 = {.prefix_len = 16, .address = {10, 0}};
	const struct pv_cidr6 c6 = {.prefix_len = 16, .address = {0xfd, 0}};

	(void)state;
	if (programs_load(&params, &p) || programs_settings(p, &settings) ||
	    programs_allow4(p, &c4, &to) || programs_allow6(p, &c6, &to) ||
	    entry_program_load(p, &more, &e))
		return -1;
	range("10.0.2.0/24", PV_ENTRY_TUNNEL);
	range("fd00::/16", PV_ENTRY_TUNNEL);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	entry_program_free(e, true);
	programs_free(p, true);
	return 0;
}

/* --- packets --- */

struct frame {
	uint8_t bytes[70000];
	uint32_t len;
	uint32_t mark;
	uint16_t gso_size;
};

static struct frame in, out;

/* To this machine: lo, where the kernel tries programs, has an address of zeros. */
static uint8_t *make(struct shape s)
{
	uint64_t random = 1;

	memset(&in, 0, 2 * ETH_ALEN);
	put16(in.bytes + 12, s.version == 4 ? ETH_P_IP : ETH_P_IPV6);
	in.len = ETH_HLEN + make_packet(in.bytes + ETH_HLEN, &s, &random, false);
	in.mark = 0;
	in.gso_size = 0;
	return in.bytes + ETH_HLEN;
}

static uint8_t *udp4(uint32_t payload)
{
	return make((struct shape){.version = 4, .protocol = IPPROTO_UDP, .payload = payload});
}

static uint8_t *udp6(uint32_t payload)
{
	return make((struct shape){.version = 6, .protocol = IPPROTO_UDP, .payload = payload});
}

static void resum(uint8_t *ip)
{
	put16(ip + 10, 0);
	put16(ip + 10, (uint16_t)~slow_checksum(0, ip, (ip[0] & 15) * 4u));
}

/* The verdict; `out` is the frame afterwards. */
static uint32_t run(void)
{
	struct __sk_buff skb = {.mark = in.mark,
				.gso_size = in.gso_size,
				.gso_segs = in.gso_size ? in.len / in.gso_size + 1 : 0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in.bytes, .data_size_in = in.len,
		    .data_out = out.bytes, .data_size_out = sizeof(out.bytes), .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb));

	memset(out.bytes, 0, in.len);
	if (bpf_prog_test_run_opts(entry_program_fd(e), &opts))
		return NOT_RUN;
	out.len = opts.data_size_out;
	return opts.retval;
}

/* Left to the kernel, and as it was. */
static void passes(void)
{
	assert_int_equal(run(), PASS);
	assert_memory_equal(in.bytes, out.bytes, in.len);
}

/* Counted as one that was for the tunnel. */
static void passes_counted(void)
{
	const uint64_t before = sum_of_counters(p).entry_passed;

	passes();
	assert_int_equal(sum_of_counters(p).entry_passed, before + 1);
}

/* Redirected, as routed and classified. */
static struct pv_stamp redirects(void)
{
	const uint64_t before = sum_of_counters(p).entry_redirected;
	const uint32_t header = in.bytes[ETH_HLEN] >> 4 == 4 ? 20 : 40;
	uint8_t *ip = in.bytes + ETH_HLEN;
	struct pv_stamp stamp;

	assert_int_equal(run(), REDIRECT);
	assert_int_equal(sum_of_counters(p).entry_redirected, before + 1);
	assert_int_equal(out.len, in.len);
	memcpy(&stamp, out.bytes, sizeof(stamp));
	assert_int_equal(stamp.magic, PV_STAMP_MAGIC);
	assert_int_equal(stamp.flags, 0);
	assert_int_equal(stamp.peer, 3);
	assert_int_equal(stamp.generation, 7);
	if (header == 20) {
		ip[8]--;
		assert_int_equal(slow_checksum(0, out.bytes + ETH_HLEN, 20), 0xffff);
		memcpy(ip + 10, out.bytes + ETH_HLEN + 10, 2);
	} else {
		ip[7]--;
	}
	assert_memory_equal(in.bytes + 12, out.bytes + 12, in.len - 12);
	return stamp;
}

static void what_is_routed_there_goes_there(void **state)
{
	static const uint8_t protocols4[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		uint8_t *ip = udp4(100);

		ip[9] = protocols4[i];
		resum(ip);
		assert_int_equal(redirects().gso_size, 0);
	}
	udp6(100);
	redirects();
	udp6(100)[6] = IPPROTO_ICMPV6;
	redirects();
	/* As it is allowed to be: not to be cut, and the least that may be sent on. */
	make((struct shape){.version = 4, .protocol = IPPROTO_TCP, .payload = 5, .df = true});
	redirects();
	udp4(0)[8] = 2;
	resum(in.bytes + ETH_HLEN);
	redirects();
	udp6(0)[7] = 2;
	redirects();
	assert_int_equal(sum_of_counters(p).entry_passed, 0);
	assert_int_equal(sum_of_counters(p).classified, 0);
}

static void every_checksum_is_corrected(void **state)
{
	(void)state;
	for (uint32_t id = 0; id < 65536; id += 255) {
		uint8_t *ip = udp4(0);

		put16(ip + 4, id);
		ip[8] = (uint8_t)(2 + id % 250);
		resum(ip);
		redirects();
	}
}

static void where_routes_do_not_lead_entry_does_not(void **state)
{
	const struct pv_cidr4 gone = {.prefix_len = 16, .address = {10, 0}};
	struct cidr c;

	(void)state;
	/* Nobody has said anything of it, though a peer has it: its session may not stand. */
	udp4(100)[18] = 3;
	resum(in.bytes + ETH_HLEN);
	passes();
	/* An address of ours in a range of a peer's: throw. */
	range("10.0.2.2/32", PV_ENTRY_ROUTING);
	udp4(100);
	passes();
	range("10.0.2.2/32", PV_ENTRY_TUNNEL);
	udp4(100);
	redirects();
	assert_int_equal(cidr_parse("10.0.2.2/32", &c), 0);
	assert_int_equal(entry_program_unset(e, &c), 0);
	assert_int_equal(entry_program_unset(e, &c), 0);
	udp4(100);
	redirects();
	assert_int_equal(cidr_parse("10.0.2.0/24", &c), 0);
	assert_int_equal(entry_program_unset(e, &c), 0);
	udp4(100);
	passes();
	range("fd00::2/128", PV_ENTRY_ROUTING);
	udp6(100);
	passes();
	assert_int_equal(sum_of_counters(p).entry_passed, 0);
	/* Routed there, but nobody's: classify and the worker answer. */
	range("10.0.2.0/24", PV_ENTRY_TUNNEL);
	assert_int_equal(programs_disallow4(p, &gone), 0);
	udp4(100);
	passes_counted();
}

/* What the kernel drops, answers, cuts or puts together. */
static void the_kernels_business_stays_its_own(void **state)
{
	static const struct {
		uint32_t at;
		uint8_t value;
	} v4[] =
		{
			{8, 1},	   {8, 0},  /* TTL */
			{6, 0x20}, {7, 1},  /* first and later fragments */
			{6, 0x80},	    /* a flag that nobody may set */
			{9, 132},  {9, 50}, /* SCTP, ESP */
			{12, 127}, {12, 0}, /* sources that are none */
			{12, 224}, {12, 255}, {0, 0x55},
			{0, 0x46}, {3, 129},  {3, 127}, /* not as long as it says */
		},
	  v6[] = {
		  {7, 1},    {7, 0},	/* hop limit */
		  {6, 0},    {6, 44},	/* hop-by-hop options, fragment */
		  {6, 43},   {6, 132},	/* routing header, SCTP */
		  {8, 0xfe}, {8, 0xff}, /* link-local, multicast */
		  {8, 0},    {0, 0x40}, {5, 107}, {5, 109},
	  };

	(void)state;
	for (size_t i = 0; i < sizeof(v4) / sizeof(*v4); i++) {
		uint8_t *ip = udp4(100);

		assert_int_equal(ip[3], 128);
		ip[v4[i].at] = v4[i].value;
		resum(ip);
		passes_counted();
	}
	for (size_t i = 0; i < sizeof(v6) / sizeof(*v6); i++) {
		assert_int_equal(udp6(100)[5], 108);
		in.bytes[ETH_HLEN + v6[i].at] = v6[i].value;
		passes_counted();
	}
	make((struct shape){.version = 4, .protocol = IPPROTO_UDP, .options = 4, .payload = 9});
	passes_counted();
	/* A padded frame. */
	udp4(0);
	in.len = 60;
	passes_counted();
	/* Destinations that are no host's, whatever the routes say. */
	range("0.0.0.0/0", PV_ENTRY_TUNNEL);
	for (unsigned int first = 224; first < 256; first++) {
		udp4(100)[16] = (uint8_t)first;
		resum(in.bytes + ETH_HLEN);
		passes_counted();
	}
}

static void too_large_a_packet_is_answered_by_the_kernel(void **state)
{
	(void)state;
	udp4(MTU - 28);
	redirects();
	udp4(MTU - 27);
	passes_counted();
	udp6(MTU - 48);
	redirects();
	udp6(MTU - 47);
	passes_counted();
	/* A superpacket counts by its segments. (The kernel tries with a page at most.) */
	make((struct shape){
		.version = 4, .protocol = IPPROTO_TCP, .tcp_options = 12, .payload = 3000});
	in.gso_size = MTU - 52;
	assert_int_equal(redirects().gso_size, MTU - 52);
	in.gso_size = MTU - 51;
	passes_counted();
	udp6(3000);
	in.gso_size = MTU - 48;
	assert_int_equal(redirects().gso_size, MTU - 48);
	in.gso_size = MTU - 47;
	passes_counted();
}

static void what_is_not_for_us_passes(void **state)
{
	(void)state;
	/* Of the pod's link only. */
	udp4(100);
	in.bytes[0] = 2;
	passes();
	in.bytes[0] = 1;
	passes();
	/* Outer packets: an agent in a pod, or whoever else marks. */
	udp4(100);
	in.mark = MARK | 5;
	passes();
	in.mark = 5;
	redirects();
	udp4(100);
	put16(in.bytes + 12, ETH_P_ARP);
	passes();
	put16(in.bytes + 12, ETH_P_8021Q);
	put16(in.bytes + 16, ETH_P_IP);
	assert_int_equal(run(), PASS);
	/* IPv4 that says it is IPv6. */
	udp4(100);
	put16(in.bytes + 12, ETH_P_IPV6);
	passes();
	assert_int_equal(sum_of_counters(p).entry_redirected, 1);
}

/* Any bytes: redirected only what is well-formed, and else untouched. */
static void hostile_packets(void **state)
{
	uint64_t random = 1, runs = 0;

	(void)state;
	range("0.0.0.0/0", PV_ENTRY_TUNNEL);
	range("::/0", PV_ENTRY_TUNNEL);
	for (uint32_t i = 0; i < 4000; i++) {
		const bool six = i % 2;
		uint32_t verdict;
		uint8_t *ip = six ? udp6(i % 90) : udp4(i % 90);

		/* A byte here and there of a good one, or all of them. */
		for (uint32_t k = 0; k < (i % 7 ? i % 7 : in.len - ETH_HLEN); k++)
			ip[i % 7 ? draw(&random) % 40 : k] = (uint8_t)draw(&random);
		if (i % 3 == 0)
			in.len = ETH_HLEN + 1 + draw(&random) % (in.len - ETH_HLEN);
		verdict = run();
		if (verdict == NOT_RUN)
			continue;
		runs++;
		if (verdict == PASS)
			assert_memory_equal(in.bytes, out.bytes, in.len);
		else
			assert_int_equal(verdict, REDIRECT);
		if (verdict == REDIRECT)
			assert_true(six ? get16(ip + 4) == in.len - 54 && ip[7] > 1
					: get16(ip + 2) == in.len - 14 && ip[8] > 1 &&
						    ip[0] == 0x45 && !(get16(ip + 6) & 0xbfff));
	}
	assert_true(runs > 1000);
	assert_true(sum_of_counters(p).entry_redirected > 100);
}

/* --- the loader --- */

#define INGRESS "tc filter show dev pod0 ingress"

static void attaches_beside_others_and_goes_without_a_trace(void **state)
{
	struct link_info pod;

	(void)state;
	assert_int_equal(link_get("pod0", &pod), 0);
	assert_int_equal(entry_program_detach(AF_INET, pod.ifindex), 0);
	assert_int_equal(entry_program_attach(e, pod.ifindex), 1);
	assert_int_equal(entry_program_attach(e, pod.ifindex), 0);
	assert_true(shell(INGRESS " | grep -q ' entry:'"));
	/* The other tunnel's is another. */
	assert_int_equal(entry_program_detach(AF_INET6, pod.ifindex), 0);
	/* A process later: replaced, and known to be ours. */
	entry_program_free(e, false);
	programs_free(p, false);
	assert_int_equal(load(NULL), 0);
	assert_int_equal(entry_program_attach(e, pod.ifindex), 1);
	assert_int_equal(entry_program_attach(e, pod.ifindex), 0);
	assert_true(shell("test $(" INGRESS " | grep -c ' entry:') = 1"));
	assert_int_equal(entry_program_detach(AF_INET, pod.ifindex), 1);
	assert_int_equal(entry_program_detach(AF_INET, pod.ifindex), 0);
	assert_false(shell("tc qdisc show dev pod0 | grep -q clsact"));

	/* Somebody else's filter keeps the qdisc, and is left alone. */
	assert_int_equal(entry_program_attach(e, pod.ifindex), 1);
	assert_true(shell(
		"tc filter add dev pod0 ingress prio 9 protocol ip bpf bytecode '1,6 0 0 0,'"));
	assert_int_equal(entry_program_detach(AF_INET, pod.ifindex), 1);
	assert_true(shell(INGRESS " | grep -q bytecode"));
	assert_true(shell("tc filter del dev pod0 ingress prio 9"));
	/* And so does a qdisc that was there before us. */
	assert_int_equal(entry_program_attach(e, pod.ifindex), 1);
	assert_int_equal(entry_program_detach(AF_INET, pod.ifindex), 1);
	assert_true(shell("tc qdisc show dev pod0 | grep -q clsact"));
	assert_true(shell("tc qdisc del dev pod0 clsact"));
	assert_int_equal(entry_program_attach(e, 9999), -ENODEV);
}

static void both_tunnels_have_their_own(void **state)
{
	const struct entry_program_params params = {
		.family = AF_INET6, .tunnel_ifindex = 1, .inner_ifindex = 1, .workers = 1};
	struct entry_program *six;
	struct link_info pod;

	(void)state;
	assert_int_equal(link_get("pod0", &pod), 0);
	assert_int_equal(entry_program_load(p, &params, &six), 0);
	assert_int_equal(entry_program_attach(e, pod.ifindex), 1);
	assert_int_equal(entry_program_attach(six, pod.ifindex), 1);
	assert_int_equal(entry_program_attach(e, pod.ifindex), 0);
	assert_true(shell("test $(" INGRESS " | grep -c ' entry:') = 2"));
	/* The qdisc stays while one of them needs it, and goes with the last. */
	assert_int_equal(entry_program_detach(AF_INET, pod.ifindex), 1);
	assert_true(shell("test $(" INGRESS " | grep -c ' entry:') = 1"));
	assert_int_equal(entry_program_attach(six, pod.ifindex), 0);
	assert_int_equal(entry_program_detach(AF_INET6, pod.ifindex), 1);
	assert_false(shell("tc qdisc show dev pod0 | grep -q clsact"));
	entry_program_free(six, false);
}

static void its_maps_have_names(void **state)
{
	const char *path = "/sys/fs/bpf/podveil/t0/entry_ranges4";

	(void)state;
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	entry_program_repin(e);
	assert_int_equal(access(path, F_OK), 0);
	entry_program_free(e, true);
	e = NULL;
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access("/sys/fs/bpf/podveil/t0/peers", F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_routed_there_goes_there, load, unload),
		cmocka_unit_test_setup_teardown(every_checksum_is_corrected, load, unload),
		cmocka_unit_test_setup_teardown(where_routes_do_not_lead_entry_does_not, load,
						unload),
		cmocka_unit_test_setup_teardown(the_kernels_business_stays_its_own, load, unload),
		cmocka_unit_test_setup_teardown(too_large_a_packet_is_answered_by_the_kernel, load,
						unload),
		cmocka_unit_test_setup_teardown(what_is_not_for_us_passes, load, unload),
		cmocka_unit_test_setup_teardown(hostile_packets, load, unload),
		cmocka_unit_test_setup_teardown(attaches_beside_others_and_goes_without_a_trace,
						load, unload),
		cmocka_unit_test_setup_teardown(both_tunnels_have_their_own, load, unload),
		cmocka_unit_test_setup_teardown(its_maps_have_names, load, unload),
	};
	struct programs_features features;

	if (!own_machine("programs"))
		return 0;
	programs_features(&features);
	if (!features.superpackets) {
		printf("1..1\nok 1 - entry # SKIP no superpackets on this kernel\n");
		return 0;
	}
	if (!shell("ip link set lo up && ip link add pod0 type veth peer name pod1") ||
	    link_pair_create("t0", "t0.xsk", 1, MTU, true) || link_get("t0", &tunnel) ||
	    link_get("t0.xsk", &inner) || link_set_up(tunnel.ifindex, true) ||
	    link_set_up(inner.ifindex, true))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
