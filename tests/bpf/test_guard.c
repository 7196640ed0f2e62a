/* SPDX-License-Identifier: Apache-2.0 */
/* guard and shield through BPF_PROG_TEST_RUN, and their loader on a real device. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <unistd.h>

#include "bpf/guard.h"
#include "bpf/guard_programs.h"
#include "check.h"
#include "machine.h"
#include "netlink/link.h"

#define MARK 0x200000
#define PASS 0xffffffffu /* TC_ACT_UNSPEC */
#define DROP TC_ACT_SHOT

static struct guard *g;
static int uplink;
static struct pv_guard_settings settings = {
	.fwmark = MARK,
	.fwmark_mask = MARK,
	.port4 = 51820,
	.port6 = 51821,
	.vxlan_port = 4789,
};

/* --- packets --- */

struct buffer {
	uint8_t bytes[2048];
	uint32_t len;
};

static void put(struct buffer *b, const void *data, uint32_t len)
{
	memcpy(b->bytes + b->len, data, len);
	b->len += len;
}

static void put16(struct buffer *b, uint16_t v)
{
	v = htons(v);
	put(b, &v, 2);
}

static void ethernet(struct buffer *b, unsigned int vlans, uint16_t type)
{
	put(b, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
	for (unsigned int i = 0; i < vlans; i++) {
		put16(b, i + 1 < vlans ? 0x88a8 : 0x8100);
		put16(b, 7);
	}
	put16(b, type);
}

enum shape { PLAIN, OPTIONS, LATER_FRAGMENT, FIRST_FRAGMENT };

/* An IPv4 or IPv6 header in front of `payload` bytes of protocol `protocol`. */
static void ip(struct buffer *b, const char *from, const char *to, uint8_t protocol,
	       uint32_t payload, enum shape shape)
{
	uint8_t address[16];

	if (!strchr(from, ':')) {
		const uint32_t header = shape == OPTIONS ? 28 : 20;

		put(b, shape == OPTIONS ? "\x47\0" : "\x45\0", 2);
		put16(b, (uint16_t)(header + payload));
		put16(b, 1);
		put16(b, shape == LATER_FRAGMENT ? 100 : shape == FIRST_FRAGMENT ? 0x2000 : 0);
		put(b, (uint8_t[]){64, protocol, 0, 0}, 4);
		inet_pton(AF_INET, from, address);
		put(b, address, 4);
		inet_pton(AF_INET, to, address);
		put(b, address, 4);
		if (shape == OPTIONS)
			put(b, "\1\1\1\1\1\1\1\0", 8);
		return;
	}
	put(b, "\x60\0\0\0", 4);
	put16(b, (uint16_t)(payload + (shape == PLAIN ? 0 : shape == OPTIONS ? 16 : 8)));
	put(b, (uint8_t[]){shape == PLAIN ? protocol : shape == OPTIONS ? 0 : 44, 64}, 2);
	inet_pton(AF_INET6, from, address);
	put(b, address, 16);
	inet_pton(AF_INET6, to, address);
	put(b, address, 16);
	if (shape == OPTIONS) { /* hop by hop, then destination options */
		put(b, (uint8_t[]){60, 0, 1, 4, 0, 0, 0, 0}, 8);
		put(b, (uint8_t[]){protocol, 0, 1, 4, 0, 0, 0, 0}, 8);
	} else if (shape != PLAIN) {
		put(b, (uint8_t[]){protocol, 0}, 2);
		put16(b, shape == LATER_FRAGMENT ? 800 : 1);
		put(b, "\0\0\0\1", 4);
	}
}

static void udp(struct buffer *b, uint16_t port, uint32_t payload)
{
	put16(b, 40000);
	put16(b, port);
	put16(b, (uint16_t)(8 + payload));
	put16(b, 0);
}

static uint16_t type_of(const char *address)
{
	return strchr(address, ':') ? 0x86dd : 0x0800;
}

/* A UDP packet from pod to pod, bare. */
static struct buffer bare(const char *from, const char *to, unsigned int vlans, enum shape shape)
{
	struct buffer b = {.len = 0};

	ethernet(&b, vlans, type_of(to));
	ip(&b, from, to, IPPROTO_UDP, 8 + 20, shape);
	udp(&b, 53, 20);
	put(&b, "twenty bytes of data", 20);
	return b;
}

/* The same inside VXLAN between two nodes. */
static struct buffer vxlan(const char *from, const char *to, bool outer6, enum shape outer)
{
	struct buffer inner = bare(from, to, 0, PLAIN), b = {.len = 0};
	const char *const node = outer6 ? "2001:db8:18::1" : "172.18.0.1";

	ethernet(&b, 0, type_of(node));
	ip(&b, node, outer6 ? "2001:db8:18::2" : "172.18.0.2", IPPROTO_UDP, 16 + inner.len, outer);
	udp(&b, 4789, 8 + inner.len);
	put(&b, "\x08\0\0\0\0\x10\0\0", 8);
	put(&b, inner.bytes, inner.len);
	return b;
}

static uint32_t run_marked(int program, const struct buffer *b, uint32_t len, uint32_t *mark)
{
	struct __sk_buff context = {.mark = *mark};
	uint8_t out[4096];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = b->bytes, .data_size_in = len,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .ctx_out = &context,
		    .ctx_size_out = sizeof(context));

	assert_int_equal(bpf_prog_test_run_opts(program, &opts), 0);
	*mark = context.mark;
	return opts.retval;
}

static uint32_t run(int program, const struct buffer *b)
{
	uint32_t mark = 0;

	return run_marked(program, b, b->len, &mark);
}

static struct pv_counters count(void)
{
	struct pv_counters c;

	guard_counters(g, &c);
	return c;
}

static void set(const char *range, enum pv_guard_kind kind)
{
	struct cidr c;

	assert_int_equal(cidr_parse(range, &c), 0);
	assert_int_equal(guard_set(g, &c, kind), 0);
}

static void be_strict(bool strict)
{
	settings.strict = strict;
	assert_int_equal(guard_settings(g, &settings), 0);
}

static int load(void **state)
{
	(void)state;
	settings.strict = settings.mark_ingress = 0;
	assert_int_equal(guard_new(uplink, &settings, &g), 0);
	set("10.0.0.0/8", PV_GUARD_REMOTE);
	set("10.1.0.0/16", PV_GUARD_LOCAL);
	set("fd00::/8", PV_GUARD_REMOTE);
	set("fd00:1::/64", PV_GUARD_LOCAL);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	guard_free(g, true);
	return 0;
}

/* --- guard --- */

static const struct leak {
	const char *from, *to;
	bool leaks;
} leaks[] = {
	{"10.1.0.1", "10.2.0.1", true},	     {"10.1.0.1", "10.1.0.2", false},
	{"10.1.0.1", "192.0.2.1", false},    {"172.18.0.1", "10.2.0.1", true},
	{"fd00:1::1", "fd00:2::1", true},    {"fd00:1::1", "fd00:1::2", false},
	{"fd00:1::1", "2001:db8::1", false},
};

static void plaintext_for_remote_pods(void **state)
{
	uint64_t seen = 0, dropped = 0;

	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		be_strict(strict);
		for (size_t i = 0; i < COUNT_OF(leaks); i++) {
			const struct leak *l = &leaks[i];
			struct buffer packets[16];
			size_t n = 0;

			for (unsigned int vlans = 0; vlans < 3; vlans++)
				packets[n++] = bare(l->from, l->to, vlans, PLAIN);
			for (enum shape s = OPTIONS; s <= FIRST_FRAGMENT; s++)
				packets[n++] = bare(l->from, l->to, 0, s);
			for (int outer6 = 0; outer6 < 2; outer6++) {
				packets[n++] = vxlan(l->from, l->to, outer6, PLAIN);
				packets[n++] = vxlan(l->from, l->to, outer6, OPTIONS);
				packets[n++] = vxlan(l->from, l->to, outer6, FIRST_FRAGMENT);
			}
			for (size_t k = 0; k < n; k++) {
				assert_int_equal(run(guard_program_fd(g), &packets[k]),
						 l->leaks && strict ? DROP : PASS);
				seen += l->leaks && !strict;
				dropped += l->leaks && strict;
				assert_int_equal(count().leaks, seen);
				assert_int_equal(count().drop_leak, dropped);
			}
		}
	}
}

static void marked_packets_pass(void **state)
{
	struct buffer b = bare("10.1.0.1", "10.2.0.1", 0, PLAIN);
	uint32_t mark = MARK | 0x10;

	(void)state;
	be_strict(true);
	assert_int_equal(run_marked(guard_program_fd(g), &b, b.len, &mark), PASS);
	mark = MARK << 1;
	assert_int_equal(run_marked(guard_program_fd(g), &b, b.len, &mark), DROP);
	assert_int_equal(count().drop_leak, 1);
}

/* However a packet is cut short: what is addressed to a remote pod does not pass, and what is in
 * VXLAN and cannot be read does not either. */
static void short_packets(void **state)
{
	struct buffer b = bare("10.1.0.1", "10.2.0.1", 0, PLAIN);
	struct buffer v = vxlan("10.1.0.1", "10.2.0.1", false, PLAIN);

	(void)state;
	be_strict(true);
	/* The kernel tests no packet that ends within its network header. */
	for (uint32_t len = 14 + 20; len <= b.len; len++) {
		uint32_t mark = 0;

		assert_int_equal(run_marked(guard_program_fd(g), &b, len, &mark), DROP);
	}
	for (uint32_t len = 14 + 20 + 8; len <= v.len; len++) {
		uint32_t mark = 0;

		assert_int_equal(run_marked(guard_program_fd(g), &v, len, &mark), DROP);
	}
}

static void hostile_packets(void **state)
{
	uint64_t rng = 5;

	(void)state;
	be_strict(true);
	for (int i = 0; i < 20000; i++) {
		struct buffer b = i % 2 ? vxlan("10.1.0.1", "192.0.2.1", i % 4 > 1, PLAIN)
					: bare("10.1.0.1", "192.0.2.1", i % 3, OPTIONS);
		uint32_t mark = 0, verdict;

		for (int k = 0; k < 4; k++)
			b.bytes[15 + draw(&rng) % (b.len - 15)] = (uint8_t)draw(&rng);
		verdict = run_marked(i % 8 < 4 ? guard_program_fd(g) : shield_program_fd(g), &b,
				     54 + draw(&rng) % (b.len - 54), &mark);
		assert_true(verdict == PASS || verdict == DROP);
	}
}

/* --- shield --- */

static void plaintext_from_remote_pods(void **state)
{
	uint64_t seen = 0, dropped = 0;

	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		be_strict(strict);
		for (size_t i = 0; i < COUNT_OF(leaks); i++) {
			const struct leak *l = &leaks[i]; /* the other way round */
			const struct buffer packets[] = {
				bare(l->to, l->from, 0, PLAIN),
				bare(l->to, l->from, 1, OPTIONS),
				bare(l->to, l->from, 0, LATER_FRAGMENT),
				vxlan(l->to, l->from, false, PLAIN),
				vxlan(l->to, l->from, true, PLAIN),
			};

			for (size_t k = 0; k < COUNT_OF(packets); k++) {
				assert_int_equal(run(shield_program_fd(g), &packets[k]),
						 l->leaks && strict ? DROP : PASS);
				seen += l->leaks && !strict;
				dropped += l->leaks && strict;
				assert_int_equal(count().plain_inward, seen);
				assert_int_equal(count().drop_plain_inward, dropped);
			}
		}
	}
}

static struct buffer message(uint16_t port, uint8_t type, uint8_t reserved, uint32_t len)
{
	struct buffer b = {.len = 0};
	uint8_t data[256] = {type, reserved};

	ethernet(&b, 0, 0x0800);
	ip(&b, "172.18.0.1", "172.18.0.2", IPPROTO_UDP, 8 + len, PLAIN);
	udp(&b, port, len);
	put(&b, data, len);
	return b;
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
			const struct buffer b =
				message(port, table[i].type, table[i].reserved, table[i].len);
			const bool ours = port == 51820 || port == 51821;

			assert_int_equal(run(shield_program_fd(g), &b),
					 ours && !table[i].good ? DROP : PASS);
			dropped += ours && !table[i].good;
			assert_int_equal(count().drop_wire_short, dropped);
		}
}

static void arriving_messages_are_marked_where_wanted(void **state)
{
	const struct buffer good = message(51820, 4, 0, 32), other = message(4000, 4, 0, 32);
	uint32_t mark = 0x10;

	(void)state;
	run_marked(shield_program_fd(g), &good, good.len, &mark);
	assert_int_equal(mark, 0x10);
	settings.mark_ingress = 1;
	assert_int_equal(guard_settings(g, &settings), 0);
	run_marked(shield_program_fd(g), &good, good.len, &mark);
	assert_int_equal(mark, 0x10 | MARK);
	mark = 0;
	run_marked(shield_program_fd(g), &other, other.len, &mark);
	assert_int_equal(mark, 0);
}

/* --- the loader --- */

static void the_next_process_takes_over(void **state)
{
	struct buffer b = bare("10.1.0.1", "10.2.0.1", 0, PLAIN);

	(void)state;
	assert_int_equal(run(guard_program_fd(g), &b), PASS);
	guard_free(g, false);
	assert_true(shell("tc filter show dev up0 egress | grep -q guard && "
			  "tc filter show dev up0 ingress | grep -q shield"));
	settings.strict = 1;
	assert_int_equal(guard_new(uplink, &settings, &g), 0);
	assert_int_equal(count().leaks, 1);
	/* The ranges are still there. */
	assert_int_equal(run(guard_program_fd(g), &b), DROP);
	assert_true(shell("test $(tc filter show dev up0 egress | grep -c guard) = 1"));
}

static void what_is_detached_is_mended(void **state)
{
	(void)state;
	assert_int_equal(guard_mend(g), 0);
	assert_true(shell("tc filter del dev up0 egress"));
	assert_int_equal(guard_mend(g), 1);
	assert_true(shell("tc qdisc del dev up0 clsact"));
	assert_int_equal(guard_mend(g), 2);
	assert_true(shell("rm /sys/fs/bpf/podveil/guard/guard_ranges4"));
	assert_int_equal(guard_mend(g), 1);
	assert_int_equal(guard_mend(g), 0);
}

static void cleanup_leaves_others_alone(void **state)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = uplink, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, others, .prog_fd = shield_program_fd(g), .handle = 1,
		    .priority = 9);

	(void)state;
	assert_int_equal(bpf_tc_attach(&hook, &others), 0);
	guard_free(g, false);
	assert_int_equal(guard_cleanup(), 0);
	assert_true(shell("tc filter show dev up0 egress | grep -q 'pref 9'"));
	assert_false(shell("tc filter show dev up0 egress | grep -q 'pref 1 '"));
	assert_false(shell("tc filter show dev up0 ingress | grep -q shield"));
	assert_int_equal(access("/sys/fs/bpf/podveil", F_OK), -1);
	/* A qdisc that was there before us stays; ours goes. */
	assert_int_equal(guard_new(uplink, &settings, &g), 0);
	assert_true(shell("tc filter del dev up0 egress prio 9"));
	guard_free(g, true);
	assert_true(shell("tc qdisc show dev up0 | grep -q clsact"));
	assert_true(shell("tc qdisc del dev up0 clsact"));
	assert_int_equal(guard_new(uplink, &settings, &g), 0);
	guard_free(g, true);
	assert_false(shell("tc qdisc show dev up0 | grep -q clsact"));
	assert_int_equal(guard_cleanup(), 0);
	assert_int_equal(guard_new(uplink, &settings, &g), 0);
}

static void see(const struct cidr *range, enum pv_guard_kind kind, void *context)
{
	char text[CIDR_TEXT], *all = context;

	snprintf(all + strlen(all), 200 - strlen(all), "%s=%d ", cidr_format(range, false, text),
		 (int)kind);
}

static void ranges_are_listed_and_go(void **state)
{
	char all[200] = "";
	struct cidr c;

	(void)state;
	assert_int_equal(guard_each(g, see, all), 0);
	assert_non_null(strstr(all, "10.0.0.0/8=1 "));
	assert_non_null(strstr(all, "fd00:1::/64=2 "));
	assert_int_equal(cidr_parse("10.0.0.0/8", &c), 0);
	assert_int_equal(guard_unset(g, &c), 0);
	assert_int_equal(guard_unset(g, &c), 0);
	all[0] = 0;
	assert_int_equal(guard_each(g, see, all), 0);
	assert_null(strstr(all, "10.0.0.0/8="));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(plaintext_for_remote_pods, load, unload),
		cmocka_unit_test_setup_teardown(marked_packets_pass, load, unload),
		cmocka_unit_test_setup_teardown(short_packets, load, unload),
		cmocka_unit_test_setup_teardown(hostile_packets, load, unload),
		cmocka_unit_test_setup_teardown(plaintext_from_remote_pods, load, unload),
		cmocka_unit_test_setup_teardown(only_messages_reach_the_port, load, unload),
		cmocka_unit_test_setup_teardown(arriving_messages_are_marked_where_wanted, load,
						unload),
		cmocka_unit_test_setup_teardown(the_next_process_takes_over, load, unload),
		cmocka_unit_test_setup_teardown(what_is_detached_is_mended, load, unload),
		cmocka_unit_test_setup_teardown(cleanup_leaves_others_alone, load, unload),
		cmocka_unit_test_setup_teardown(ranges_are_listed_and_go, load, unload),
	};
	struct link_info link;

	if (!own_machine("programs"))
		return 0;
	if (!shell("ip link add up0 type veth peer name up1") || link_get("up0", &link))
		return 1;
	uplink = link.ifindex;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
