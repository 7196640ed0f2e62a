/* SPDX-License-Identifier: Apache-2.0 */
/* Which packets of remote pods guard and shield find. */
#include "guard_world.h"

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
		TEST(packets_that_begin_with_ip),
		TEST(hostile_packets),
		TEST(ranges_are_listed_and_removed),
	};
	bool failed;

	if (!guard_world(&failed))
		return failed;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
