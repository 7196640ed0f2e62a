/* SPDX-License-Identifier: Apache-2.0 */
/* guard and shield let traffic pass that is not from or for pods. */
#include "guard_world.h"

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, load, unload)
	const struct CMUnitTest tests[] = {
		TEST(traffic_without_pods_passes),
	};
	bool failed;

	if (!guard_world(&failed))
		return failed;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
