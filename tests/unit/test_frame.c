/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdio.h>

#include "check.h"
#include "packet/checksum.h"
#include "wire/frame.h"

#define PORT	51820
#define IFINDEX 7

static const uint8_t ours[] = {2, 0, 0, 0, 0, 1}, theirs[] = {2, 0, 0, 0, 0, 2};

static struct endpoint endpoint(const char *from, const char *to, uint16_t port)
{
	struct endpoint e = {.from_ifindex = 0};

	if (strchr(to, ':')) {
		e.to.v6.sin6_family = AF_INET6;
		e.to.v6.sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, to, &e.to.v6.sin6_addr), 1);
		assert_int_equal(inet_pton(AF_INET6, from, &e.from.v6), 1);
	} else {
		e.to.v4.sin_family = AF_INET;
		e.to.v4.sin_port = htons(port);
		assert_int_equal(inet_pton(AF_INET, to, &e.to.v4.sin_addr), 1);
		assert_int_equal(inet_pton(AF_INET, from, &e.from.v4), 1);
	}
	return e;
}

static struct frame_headers headers(const char *from, const char *to)
{
	const struct endpoint e = endpoint(from, to, 51821);
	struct frame_headers h;

	frame_prepare(&h, &e, ours, theirs, 1500);
	return h;
}

static struct frame_headers headers4(void)
{
	return headers("172.18.0.1", "172.18.0.2");
}

static struct frame_headers headers6(void)
{
	return headers("fd00:18::1", "fd00:18::2");
}

static void ip4_to_the_byte(void **state)
{
	const struct frame_headers h = headers4();
	const uint8_t message[] = {4, 0, 0, 0, 0xaa, 0xbb};
	uint8_t frame[64];

	(void)state;
	assert_int_equal(h.largest, 1500 - 28);
	assert_int_equal(frame_build(frame, &h, PORT, message, sizeof(message), 0x02, 0x1234), 48);
	assert_hex(frame, "020000000002 020000000001 0800"
			  "4502 0022 1234 0000 4011 106e ac120001 ac120002"
			  "ca6c ca6d 000e 6414"
			  "04000000aabb");
}

static void ip6_to_the_byte(void **state)
{
	const struct frame_headers h = headers6();
	const uint8_t message[] = {4, 0, 0, 0, 0xaa, 0xbb};
	uint8_t frame[80];

	(void)state;
	assert_int_equal(h.largest, 1500 - 48);
	assert_int_equal(frame_build(frame, &h, PORT, message, sizeof(message), 0xb9, 1), 68);
	assert_hex(frame, "020000000002 020000000001 86dd"
			  "6b900000 000e 11 40"
			  "fd000018000000000000000000000001 fd000018000000000000000000000002"
			  "ca6c ca6d 000e c207"
			  "04000000aabb");
}

/* The sum over all that the UDP checksum covers, and itself: all ones if it is right. */
static uint16_t udp_sum(const uint8_t *frame, uint32_t length)
{
	const bool v4 = frame[12] == 8;
	const uint8_t *ip = frame + 14, *udp = ip + (v4 ? 20 : 40);
	const uint32_t len = length - (uint32_t)(udp - frame);
	uint64_t sum = htons((uint16_t)len) + htons(IPPROTO_UDP);

	sum = v4 ? checksum_add(sum, ip + 12, 8) : checksum_add(sum, ip + 8, 32);
	return checksum_fold(checksum_add(sum, udp, len));
}

static void built_frames_are_parsed(void **state)
{
	const struct endpoint back4 = endpoint("172.18.0.2", "172.18.0.1", PORT),
			      back6 = endpoint("fd00:18::2", "fd00:18::1", PORT);
	uint8_t message[1500], frame[1600];
	uint64_t random = 1;

	(void)state;
	for (unsigned int i = 0; i < 4000; i++) {
		const struct frame_headers h = i & 1 ? headers6() : headers4();
		struct endpoint back = i & 1 ? back6 : back4;
		const uint32_t length = 1 + draw(&random) % h.largest;
		const uint8_t tos = (uint8_t)draw(&random);
		struct wire_received r;
		uint32_t n;

		for (uint32_t k = 0; k < length; k++)
			message[k] = (uint8_t)draw(&random);
		n = frame_build(frame, &h, PORT, message, length, tos, (uint16_t)i);
		assert_int_equal(n, h.length + length);
		assert_int_equal(udp_sum(frame, n), 0xffff);
		if (!(i & 1))
			assert_int_equal(checksum_fold(checksum_add(0, frame + 14, 20)), 0xffff);
		/* Ethernet pads short frames. */
		memset(frame + n, 0xee, 16);
		assert_true(frame_read(frame, n + draw(&random) % 16, IFINDEX, &r));
		assert_int_equal(r.length, length);
		assert_int_equal(r.segment, length);
		assert_int_equal(r.tos, tos);
		assert_memory_equal(r.data, message, length);
		back.from_ifindex = IFINDEX;
		assert_true(endpoint_equal(&r.from, &back));
	}
}

/* In UDP, a checksum of zero means that there is none. */
static void sum_of_zero_is_written_as_ones(void **state)
{
	const struct frame_headers h = headers6();
	uint8_t message[40] = {4}, frame[128];
	uint16_t sum;

	(void)state;
	frame_build(frame, &h, PORT, message, sizeof(message), 0, 0);
	/* Put the checksum into the message, so that the next one is zero. */
	memcpy(&sum, frame + h.length - 2, 2);
	memcpy(message + 38, &sum, 2);
	frame_build(frame, &h, PORT, message, sizeof(message), 0, 0);
	assert_int_equal(frame[h.length - 2], 0xff);
	assert_int_equal(frame[h.length - 1], 0xff);
}

static void link_local_peers_have_their_device(void **state)
{
	const struct endpoint e = endpoint("fe80::1", "fe80::2", 51821);
	const uint8_t message[32] = {4};
	struct frame_headers h;
	struct wire_received r;
	uint8_t frame[128];

	(void)state;
	frame_prepare(&h, &e, ours, theirs, 1500);
	assert_true(
		frame_read(frame, frame_build(frame, &h, PORT, message, 32, 0, 0), IFINDEX, &r));
	assert_int_equal(r.from.to.v6.sin6_scope_id, IFINDEX);
}

static void small_paths(void **state)
{
	const struct endpoint e = endpoint("172.18.0.1", "172.18.0.2", 51821);
	struct frame_headers h;

	(void)state;
	frame_prepare(&h, &e, ours, theirs, 28);
	assert_int_equal(h.largest, 0);
	frame_prepare(&h, &e, ours, theirs, 20);
	assert_int_equal(h.largest, 0);
}

static void refuses(void **state)
{
	static const struct {
		const char *what;
		bool ip6;
		uint8_t at, value;
	} cases[] = {
		{"ARP", false, 13, 0x06},
		{"a VLAN tag", false, 12, 0x81},
		{"options", false, 14, 0x46},
		{"version 6 in IPv4", false, 14, 0x65},
		{"a first fragment", false, 20, 0x20},
		{"a later fragment", false, 21, 1},
		{"TCP", false, 23, 6},
		{"longer than the frame", false, 17, 0xff},
		{"shorter than its header", false, 17, 19},
		{"UDP longer than IP", false, 39, 0xff},
		{"UDP without content", false, 39, 8},
		{"version 4 in IPv6", true, 14, 0x40},
		{"hop-by-hop options", true, 20, 0},
		{"an IPv6 fragment", true, 20, 44},
		{"longer than the frame", true, 19, 0xff},
		{"UDP longer than IPv6", true, 59, 0xff},
		{"UDP shorter than its header", true, 59, 7},
	};
	const uint8_t message[32] = {4};
	struct wire_received r;
	uint8_t frame[128];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct frame_headers h = cases[i].ip6 ? headers6() : headers4();
		const uint32_t n = frame_build(frame, &h, PORT, message, 32, 0, 0);

		assert_true(frame_read(frame, n, IFINDEX, &r));
		frame[cases[i].at] = cases[i].value;
		if (frame_read(frame, n, IFINDEX, &r))
			fail_msg("%s was read", cases[i].what);
	}
	for (int ip6 = 0; ip6 < 2; ip6++) {
		const struct frame_headers h = ip6 ? headers6() : headers4();
		const uint32_t n = frame_build(frame, &h, PORT, message, 32, 0, 0);

		for (uint32_t cut = 0; cut < n; cut++) {
			/* Of exact size, so that AddressSanitizer sees a read behind the end. */
			uint8_t *piece = malloc(cut ? cut : 1);

			memcpy(piece, frame, cut);
			assert_false(frame_read(piece, cut, IFINDEX, &r));
			free(piece);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip4_to_the_byte),
		cmocka_unit_test(ip6_to_the_byte),
		cmocka_unit_test(built_frames_are_parsed),
		cmocka_unit_test(sum_of_zero_is_written_as_ones),
		cmocka_unit_test(link_local_peers_have_their_device),
		cmocka_unit_test(small_paths),
		cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
