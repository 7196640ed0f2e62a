/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, checksums, congestion marks and ICMP answers. */
#include <errno.h>

#include "packet/checksum.h"
#include "packet/ecn.h"
#include "packet/icmp.h"
#include "packets.h"

static void parses_what_it_should(void **state)
{
	uint8_t data[2048];
	uint64_t random = 1;
	struct packet p;

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		struct shape s = random_shape(&random);
		uint32_t len;

		s.payload = draw(&random) % 1000;
		len = make_packet(data, &s, &random, false);
		assert_int_equal(packet_parse(&p, data, len, len), 0);
		assert_int_equal(p.version, s.version);
		assert_int_equal(p.protocol, s.protocol);
		assert_int_equal(p.length, len);
		assert_int_equal(p.l4, l4_of(&s));
		assert_int_equal(p.payload, headers_of(&s));
		assert_false(p.fragment);
		/* Padding after the packet is not part of it; a missing byte is an error. */
		assert_int_equal(packet_parse(&p, data, len + 5, len + 5), 0);
		assert_int_equal(p.length, len);
		assert_int_equal(packet_parse(&p, data, len - 1, len - 1), -EBADMSG);
	}
}

static void refuses_packets_without_addresses(void **state)
{
	static const struct {
		unsigned int at;
		uint8_t value;
	} v4[] = {{0, 0x55}, {0, 0}, {2, 0xff}, {3, 10}, {3, 19}};
	struct shape s = {.version = 4, .protocol = IPPROTO_TCP, .payload = 10};
	uint8_t data[256];
	uint64_t random = 1;
	struct packet p;
	uint32_t len;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(v4); i++) {
		len = make_packet(data, &s, &random, false);
		data[v4[i].at] = v4[i].value;
		assert_int_equal(packet_parse(&p, data, len, len), -EBADMSG);
	}
	assert_int_equal(packet_parse(&p, data, 0, 0), -EBADMSG);
	len = make_packet(data, &s, &random, false);
	assert_int_equal(packet_parse(&p, data, 19, 19), -EBADMSG);
	s.version = 6;
	len = make_packet(data, &s, &random, false);
	assert_int_equal(packet_parse(&p, data, 39, 39), -EBADMSG);
	put16(data + 4, len - 39);
	assert_int_equal(packet_parse(&p, data, len, len), -EBADMSG);
}

static void short_ip_header(uint8_t *data)
{
	data[0] = 0x40;
}
/* Bytes that look like TCP follow, but outside the packet. */
static void ip_header_beyond_the_end(uint8_t *data)
{
	data[0] = 0x4f;
	put16(data + 2, 44);
	data[60 + 12] = 0x50;
}
static void ip_header_alone(uint8_t *data)
{
	put16(data + 2, 20);
}
static void short_tcp_header(uint8_t *data)
{
	data[l4_of(&(struct shape){.version = data[0] >> 4}) + 12] = 0x40;
}
static void long_tcp_header(uint8_t *data)
{
	data[l4_of(&(struct shape){.version = data[0] >> 4}) + 12] = 0xf0;
	put16(data + (data[0] >> 4 == 4 ? 2 : 4), data[0] >> 4 == 4 ? 70 : 50);
}
static void ten_extensions(uint8_t *data)
{
	data[6] = IPPROTO_HOPOPTS;
	for (unsigned int i = 0; i < 12; i++) {
		data[40 + 8 * i] = IPPROTO_HOPOPTS;
		data[41 + 8 * i] = 0;
	}
}
static void extension_beyond_the_end(uint8_t *data)
{
	data[6] = IPPROTO_DSTOPTS;
	data[40] = IPPROTO_TCP;
	data[41] = 200;
}
static void part_of_an_extension(uint8_t *data)
{
	data[6] = IPPROTO_ROUTING;
	put16(data + 4, 7);
}
static void half_a_udp_header(uint8_t *data)
{
	data[data[0] >> 4 == 4 ? 9 : 6] = IPPROTO_UDP;
	put16(data + (data[0] >> 4 == 4 ? 2 : 4), data[0] >> 4 == 4 ? 24 : 4);
}

/* WireGuard carries all packets that have addresses; the destination judges the rest. */
static void unknown_packets_have_no_transport(void **state)
{
	static const struct {
		int version;
		void (*damage)(uint8_t *data);
	} cases[] = {
		{4, ip_header_beyond_the_end}, {4, short_ip_header},   {4, ip_header_alone},
		{4, short_tcp_header},	       {4, long_tcp_header},   {6, short_tcp_header},
		{6, ten_extensions},	       {6, long_tcp_header},   {6, part_of_an_extension},
		{6, extension_beyond_the_end}, {4, half_a_udp_header}, {6, half_a_udp_header},
	};
	uint8_t data[256], answer[1280];
	uint64_t random = 1;
	struct packet p;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct shape s = {.version = cases[i].version,
				  .protocol = IPPROTO_TCP,
				  .flags = 0x10,
				  .payload = 120 - 20 - (cases[i].version == 4 ? 20 : 40)};
		uint32_t len = make_packet(data, &s, &random, false);

		cases[i].damage(data);
		assert_int_equal(packet_parse(&p, data, len, len), 0);
		assert_true(p.opaque);
		assert_false(p.fragment);
		assert_int_equal(p.l4, 0);
		assert_int_equal(p.payload, 0);
		/* It may be an ICMP error, and errors are not answered. */
		assert_int_equal(
			icmp_answer(answer, sizeof(answer), data, len, len, ICMP_REASON_NO_PEER, 0),
			0);
	}
}

static void fragments_have_no_transport(void **state)
{
	struct shape s = {.version = 4, .protocol = IPPROTO_UDP, .payload = 64};
	uint8_t data[256];
	uint64_t random = 1;
	uint32_t len = make_packet(data, &s, &random, false);
	struct packet p;

	(void)state;
	put16(data + 6, 0x2000);
	assert_int_equal(packet_parse(&p, data, len, len), 0);
	assert_true(p.fragment);
	assert_int_equal(p.l4, 0);
	put16(data + 6, 0x0005);
	assert_int_equal(packet_parse(&p, data, len, len), 0);
	assert_true(p.fragment);
	s.version = 6;
	s.options = 8;
	len = make_packet(data, &s, &random, false);
	data[6] = IPPROTO_FRAGMENT;
	assert_int_equal(packet_parse(&p, data, len, len), 0);
	assert_true(p.fragment);
	assert_int_equal(p.protocol, IPPROTO_UDP);
}

static void checksums_of_any_length(void **state)
{
	uint8_t data[4096], copy[4096];
	uint64_t random = 3;

	(void)state;
	for (unsigned int i = 0; i < 4000; i++) {
		const size_t at = draw(&random) % 64, len = draw(&random) % (sizeof(data) - 64);
		uint16_t want, sum;

		for (size_t k = 0; k < len; k++)
			data[at + k] = (uint8_t)(draw(&random) % 3 ? draw(&random) : 0xff);
		want = (uint16_t)~slow_checksum(0, data + at, len);
		sum = checksum_finish(checksum_add(0, data + at, len));
		assert_int_equal(ntohs(sum), want);
		sum = checksum_finish(checksum_copy(0, copy + 1, data + at, len));
		assert_int_equal(ntohs(sum), want);
		assert_memory_equal(copy + 1, data + at, len);
	}
}

/* RFC 6040, figure 4: rows are the inner field as sent, columns the outer field as received. */
static void congestion_marks(void **state)
{
	enum { NOT, ECT1, ECT0, CE, DROP };
	static const uint8_t table[4][4] = {
		[NOT] = {NOT, NOT, NOT, DROP},
		[ECT1] = {ECT1, ECT1, ECT1, CE},
		[ECT0] = {ECT0, ECT1, ECT0, CE},
		[CE] = {CE, CE, CE, CE},
	};
	uint64_t random = 1;

	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		for (uint8_t inner = 0; inner < 4; inner++) {
			for (uint8_t outer = 0; outer < 4; outer++) {
				struct shape s = {.version = version, .protocol = IPPROTO_UDP};
				struct packet p;
				uint8_t data[128];
				uint32_t len = make_packet(data, &s, &random, false);

				data[1] |= (uint8_t)(version == 4 ? inner | 0xb8 : inner << 4);
				if (version == 4) {
					put16(data + 10, 0);
					put16(data + 10, (uint16_t)~slow_checksum(0, data, 20));
				}
				assert_int_equal(packet_parse(&p, data, len, len), 0);
				assert_int_equal(p.ecn, inner);
				assert_int_equal(ecn_encapsulate(inner), inner);
				assert_int_equal(ecn_decapsulate(data, &p, outer),
						 table[inner][outer] != DROP);
				if (table[inner][outer] == DROP)
					continue;
				assert_int_equal(packet_parse(&p, data, len, len), 0);
				assert_int_equal(p.ecn, table[inner][outer]);
				if (version == 4) {
					assert_int_equal(data[1] & 0xfc, 0xb8);
					assert_int_equal(slow_checksum(0, data, 20), 0xffff);
				}
			}
		}
	}
}

static void icmp_answers(void **state)
{
	uint8_t data[2048], out[1280];
	uint64_t random = 1;

	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		struct shape s = {.version = version, .protocol = IPPROTO_UDP, .payload = 1400};
		uint32_t len = make_packet(data, &s, &random, false);
		size_t n = icmp_answer(out, sizeof(out), data, len, len, ICMP_REASON_NO_PEER, 0);
		struct packet p;

		assert_int_equal(packet_parse(&p, out, n, n), 0);
		if (version == 4) {
			assert_int_equal(n, 576);
			assert_memory_equal(out + 12, data + 16, 4);
			assert_memory_equal(out + 16, data + 12, 4);
			assert_int_equal(out[20], 3);
			assert_int_equal(out[21], 1);
			assert_int_equal(slow_checksum(0, out, 20), 0xffff);
			assert_int_equal(slow_checksum(0, out + 20, n - 20), 0xffff);
			assert_memory_equal(out + 28, data, n - 28);
		} else {
			assert_int_equal(n, 1280);
			assert_memory_equal(out + 8, data + 24, 16);
			assert_memory_equal(out + 24, data + 8, 16);
			assert_int_equal(out[40], 1);
			assert_int_equal(out[41], 3);
			assert_memory_equal(out + 48, data, n - 48);
			s.protocol = IPPROTO_ICMPV6;
			assert_int_equal(slow_checksum(slow_pseudo(out, &s, (uint32_t)n - 40),
						       out + 40, n - 40),
					 0xffff);
		}
		/* "Packet too big" has the MTU that would fit. */
		n = icmp_answer(out, sizeof(out), data, len, len, ICMP_REASON_TOO_BIG, 1380);
		assert_int_equal(out[version == 4 ? 20 : 40], version == 4 ? 3 : 2);
		assert_int_equal(get16(out + (version == 4 ? 26 : 46)), 1380);
		/* Errors are not answered. */
		assert_int_equal(icmp_answer(data, 1280, out, n, n, ICMP_REASON_NO_PEER, 0), 0);
	}
}

static void icmp_silence(void **state)
{
	static const uint8_t nobody[4] = {0}, many[4] = {224, 0, 0, 1},
			     all[4] = {255, 255, 255, 255};
	struct shape s = {.version = 4, .protocol = IPPROTO_UDP, .payload = 20};
	uint8_t data[256], out[1280];
	uint64_t random = 1;
	uint32_t len;

	(void)state;
	for (int i = 0; i < 6; i++) {
		len = make_packet(data, &s, &random, false);
		if (i == 0)
			memcpy(data + 12, nobody, 4);
		else if (i == 1)
			memcpy(data + 12, many, 4);
		else if (i == 2)
			memcpy(data + 16, many, 4);
		else if (i == 3)
			memcpy(data + 16, all, 4);
		else if (i == 4)
			put16(data + 6, 3); /* a later fragment */
		assert_int_equal(
			icmp_answer(out, sizeof(out), data, len, len, ICMP_REASON_NO_PEER, 0) != 0,
			i == 5);
	}
	s.version = 6;
	len = make_packet(data, &s, &random, false);
	data[24] = 0xff;
	assert_int_equal(icmp_answer(out, sizeof(out), data, len, len, ICMP_REASON_NO_PEER, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_what_it_should),
		cmocka_unit_test(refuses_packets_without_addresses),
		cmocka_unit_test(unknown_packets_have_no_transport),
		cmocka_unit_test(fragments_have_no_transport),
		cmocka_unit_test(checksums_of_any_length),
		cmocka_unit_test(congestion_marks),
		cmocka_unit_test(icmp_answers),
		cmocka_unit_test(icmp_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
