/* SPDX-License-Identifier: Apache-2.0 */
/* shield on the WireGuard port: which messages pass, and which get the mark. */
#include "guard_world.h"

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, load, unload)
	const struct CMUnitTest tests[] = {
		TEST(only_messages_reach_the_port),
		TEST(the_port_of_other_hosts_is_not_checked),
		TEST(arriving_messages_are_marked_if_wanted),
	};
	bool failed;

	if (!guard_world(&failed))
		return failed;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
