/* SPDX-License-Identifier: Apache-2.0 */
/* Packets above the MTU: the fragments, put together again, are the packet that came. */
#include "check.h"
#include "datapath/oversize.h"
#include "packets.h"

#define MORE 1

/* Puts fragments together again (RFC 791 and 8200), in any order; returns the packet's length. */
static uint32_t reassemble(uint8_t *out, const uint8_t *data, uint32_t length, uint32_t mtu,
			   uint32_t *first_offset, bool *more)
{
	uint8_t header[FRAGMENT_MAX_HEADER];
	struct fragmenter f;
	struct iovec payload;
	uint32_t n, total = 0, expected = UINT32_MAX;

	assert_true(fragment_begin(&f, data, length, mtu, 77));
	while ((n = fragment_next(&f, header, &payload))) {
		const bool v4 = header[0] >> 4 == 4;
		const uint32_t size = n + (uint32_t)payload.iov_len;
		uint32_t offset, at;

		assert_true(size <= mtu);
		if (v4) {
			assert_int_equal(get16(header + 2), size);
			assert_int_equal(slow_checksum(0, header, n), 0xffff);
			assert_int_equal(header[9], data[9]);
			assert_false(get16(header + 6) & 0x4000);
			offset = (get16(header + 6) & 0x1fffu) * 8;
			*more = get16(header + 6) & 0x2000;
			at = n;
		} else {
			assert_int_equal(get16(header + 4), size - 40);
			offset = get16(header + n - 6) & 0xfff8u;
			*more = get16(header + n - 6) & MORE;
			at = n - 8;
		}
		if (expected == UINT32_MAX) {
			*first_offset = expected = offset;
			memcpy(out, header, at);
			if (!v4) /* without the fragment header */
				out[at > 40 ? 40 : 6] = header[n - 8];
			total = at;
		}
		assert_int_equal(offset, expected);
		assert_true(!*more || payload.iov_len % 8 == 0);
		memcpy(out + total, payload.iov_base, payload.iov_len);
		total += (uint32_t)payload.iov_len;
		expected += (uint32_t)payload.iov_len;
	}
	return total;
}

static void fragments_make_the_packet(void **state)
{
	static uint8_t data[65536], back[65536];
	uint64_t random = 3;

	(void)state;
	for (unsigned int i = 0; i < 400; i++) {
		struct shape s = random_shape(&random);
		const uint32_t mtu = 576 + draw(&random) % 2000;
		uint32_t len, offset, got;
		bool more;

		s.payload = draw(&random) % 60000;
		len = make_packet(data, &s, &random, false);
		got = reassemble(back, data, len, mtu, &offset, &more);
		assert_int_equal(got, len);
		assert_int_equal(offset, 0);
		assert_false(more);
		/* Everything is the same except the fields of fragments and lengths. */
		assert_memory_equal(back + (s.version == 4 ? 12 : 8),
				    data + (s.version == 4 ? 12 : 8),
				    len - (s.version == 4 ? 12 : 8));
	}
}

/* A packet that is already a fragment: its fragments keep their place in the whole packet. */
static void fragments_of_fragments(void **state)
{
	struct shape s = {.version = 4, .protocol = IPPROTO_UDP, .payload = 4000, .id = 5};
	uint8_t data[8192], back[8192];
	uint64_t random = 1;
	uint32_t offset, len = make_packet(data, &s, &random, false);
	bool more;

	(void)state;
	put16(data + 6, 0x2000 | 100);
	put16(data + 10, 0);
	put16(data + 10, (uint16_t)~slow_checksum(0, data, 20));
	assert_int_equal(reassemble(back, data, len, 1280, &offset, &more), len);
	assert_int_equal(offset, 800);
	assert_true(more);
	assert_int_equal(get16(back + 4), 5);

	s = (struct shape){.version = 6, .protocol = IPPROTO_UDP, .options = 8, .payload = 4000};
	len = make_packet(data, &s, &random, false);
	data[6] = IPPROTO_FRAGMENT;
	put16(data + 42, 1600 | MORE);
	put32(data + 44, 0x12345678);
	assert_int_equal(reassemble(back, data, len, 1280, &offset, &more), len - 8);
	assert_int_equal(offset, 1600);
	assert_true(more);
	assert_memory_equal(back + 40, data + 48, len - 48);
}

static void options_of_the_first_alone(void **state)
{
	/* Router alert is copied to all fragments, record route is not. Then a no-operation. */
	static const uint8_t options[] = {148, 4, 0, 0, 7, 7, 4, 9, 9, 9, 9, 1};
	struct shape s = {.version = 4, .protocol = IPPROTO_UDP, .options = 12, .payload = 3000};
	uint8_t data[4096], header[FRAGMENT_MAX_HEADER];
	struct fragmenter f;
	struct iovec payload;
	uint64_t random = 1;
	uint32_t len = make_packet(data, &s, &random, false);

	(void)state;
	memcpy(data + 20, options, sizeof(options));
	put16(data + 10, 0);
	put16(data + 10, (uint16_t)~slow_checksum(0, data, 32));
	assert_true(fragment_begin(&f, data, len, 1280, 1));
	assert_int_equal(fragment_next(&f, header, &payload), 32);
	assert_memory_equal(header + 20, options, sizeof(options));
	assert_int_equal(fragment_next(&f, header, &payload), 32);
	assert_memory_equal(header + 20, "\x94\4\0\0\1\1\1\1\1\1\1\1", sizeof(options));
}

static void wrong_checksums_are_not_corrected(void **state)
{
	struct shape s = {.version = 4, .protocol = IPPROTO_TCP, .payload = 3000};
	uint8_t data[4096];
	struct fragmenter f;
	uint64_t random = 1;
	uint32_t len = make_packet(data, &s, &random, false);
	struct iovec piece = {data, len};
	struct joined p = {
		.version = 4, .segments = 1, .n_pieces = 1, .length = len, .pieces = &piece};

	(void)state;
	data[11] ^= 1;
	assert_false(fragment_begin(&f, data, len, 1280, 1));
	assert_false(oversize_tcp(&p, 1280));
	data[11] ^= 1;
	data[len - 1] ^= 1;
	assert_false(oversize_tcp(&p, 1280));
	data[len - 1] ^= 1;
	data[0] = 0x40;
	assert_false(fragment_begin(&f, data, len, 1280, 1));
	assert_int_equal(p.vnet.gso_type, 0);
}

static void tcp_is_one_of_several(void **state)
{
	uint8_t data[70000];
	uint64_t random = 9;

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		struct shape s = random_shape(&random);
		struct iovec piece = {data, 0};
		struct joined p = {.segments = 1, .n_pieces = 1, .pieces = &piece};

		s.protocol = IPPROTO_TCP;
		s.payload = 1281 + draw(&random) % 60000;
		piece.iov_len = p.length = make_packet(data, &s, &random, false);
		p.version = (uint8_t)s.version;
		assert_true(oversize_tcp(&p, 1280));
		assert_int_equal(p.vnet.gso_type, s.version == 4 ? 1 : 4);
		assert_int_equal(p.vnet.gso_size + headers_of(&s), 1280);
		assert_int_equal(p.vnet.csum_start, 14 + l4_of(&s));
		assert_int_equal(get16(checksum_field(data, &s)),
				 slow_pseudo(data, &s, p.length - l4_of(&s)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragments_make_the_packet),
		cmocka_unit_test(fragments_of_fragments),
		cmocka_unit_test(options_of_the_first_alone),
		cmocka_unit_test(wrong_checksums_are_not_corrected),
		cmocka_unit_test(tcp_is_one_of_several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
