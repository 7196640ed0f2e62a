/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting superpackets, compared with what the kernel's GSO is documented to do. */
#include "segments.h"

static void cuts_as_the_kernel_does(void **state)
{
	static uint8_t super[65536], want[65536];
	uint64_t random = 21;

	(void)state;
	for (unsigned int round = 0; round < 1500; round++) {
		struct shape s = random_shape(&random);
		const uint16_t mss = (uint16_t)(400 + draw(&random) % 1100);
		struct segments got;
		uint32_t len, done = 0, base;

		s.payload = draw(&random) % 10 ? draw(&random) % 20000 : 64000 - headers_of(&s);
		if (s.protocol == IPPROTO_TCP)
			s.flags |= (uint8_t)(draw(&random) & (FIN | PSH | CWR));
		len = make_packet(super, &s, &random, true);
		assert_int_equal(
			cut_all(&got, super, len,
				(struct cut_hint){.gso_size = mss, .checksum_partial = true},
				&random),
			0);
		base = headers_of(&s);
		for (size_t i = 0; i < got.n; i++) {
			struct shape part = s;
			const bool last = i + 1 == got.n;
			uint64_t ignored = 1;

			part.payload = s.payload - done < mss ? s.payload - done : mss;
			part.sequence = s.sequence + done;
			part.id = (uint16_t)(s.id + i);
			if (!last)
				part.flags &= (uint8_t) ~(FIN | PSH);
			if (i)
				part.flags &= (uint8_t)~CWR;
			make_packet(want, &part, &ignored, false);
			memcpy(want + base, super + base + done, part.payload);
			set_transport_checksum(want, &part, false);
			assert_int_equal(got.len[i], base + part.payload);
			assert_memory_equal(got.data[i], want, got.len[i]);
			done += part.payload;
		}
		assert_int_equal(done, s.payload);
		segments_free(&got);
	}
}

static void single_packets(void **state)
{
	static uint8_t data[4096], want[4096];
	uint64_t random = 22;

	(void)state;
	for (unsigned int round = 0; round < 1000; round++) {
		struct shape s = random_shape(&random);
		bool partial = draw(&random) % 2;
		struct segments got;
		uint32_t len;

		s.payload = draw(&random) % 1500;
		len = make_packet(data, &s, &random, partial);
		memcpy(want, data, len);
		if (partial)
			set_transport_checksum(want, &s, false);
		assert_int_equal(cut_all(&got, data, len,
					 (struct cut_hint){.checksum_partial = partial}, &random),
				 0);
		assert_int_equal(got.n, 1);
		assert_int_equal(got.len[0], len);
		assert_memory_equal(got.data[0], want, len);
		segments_free(&got);
	}
}

/* A pod's own VXLAN: the checksum of the inner packet is finished; the outer checksum does not
 * change. */
static void checksum_of_a_packet_in_the_packet(void **state)
{
	uint64_t random = 29;

	(void)state;
	for (unsigned int round = 0; round < 1000; round++) {
		struct shape inner = random_shape(&random);
		struct shape outer = {.version = draw(&random) % 2 ? 4 : 6,
				      .protocol = IPPROTO_UDP,
				      .options = draw(&random) % 2 * 8};
		uint8_t data[4096], want[4096], packet[2048];
		const uint32_t ethernet = draw(&random) % 3 ? 8 + 14 : 8;
		struct cut_hint hint = {.checksum_partial = true};
		struct segments got;
		uint32_t len, at;

		inner.payload = draw(&random) % 1300;
		len = make_packet(packet, &inner, &random, true);
		outer.payload = ethernet + len;
		at = headers_of(&outer) + ethernet;
		len = make_packet(data, &outer, &random, false);
		memcpy(data + at, packet, len - at);
		memcpy(want, data, len);
		set_transport_checksum(want + at, &inner, false);
		/* A UDP checksum is never zero, and neither is a TCP checksum from the kernel. */
		if (inner.protocol == IPPROTO_TCP && !get16(checksum_field(want + at, &inner)))
			put16(checksum_field(want + at, &inner), 0xffff);
		hint.checksum_start = (uint16_t)(at + l4_of(&inner));
		hint.checksum_offset = inner.protocol == IPPROTO_TCP ? 16 : 6;
		assert_int_equal(cut_all(&got, data, len, hint, &random), 0);
		assert_int_equal(got.n, 1);
		assert_int_equal(got.len[0], len);
		assert_memory_equal(got.data[0], want, len);
		segments_free(&got);
		/* We do not parse GRE, but such a packet may be inside. */
		data[outer.version == 4 ? 9 : 6] = 47;
		assert_int_equal(cut_all(&got, data, len, hint, &random), 0);
		segments_free(&got);
		hint.checksum_start = (uint16_t)len; /* behind the end */
		assert_int_equal(cut_all(&got, data, len, hint, &random), -EBADMSG);
	}
}

static void hints_that_do_not_fit(void **state)
{
	struct shape s = {.version = 4, .protocol = IPPROTO_TCP, .payload = 3000};
	uint8_t data[4096];
	uint64_t random = 1;
	struct segments got;
	uint32_t len = make_packet(data, &s, &random, true);
	const struct cut_hint cut = {.gso_size = 1000, .checksum_partial = true};

	(void)state;
	assert_int_equal(cut_all(&got, data, 10, cut, &random), -EBADMSG);
	data[9] = IPPROTO_ICMP;
	assert_int_equal(cut_all(&got, data, len, cut, &random), -EBADMSG);
	assert_int_equal(
		cut_all(&got, data, len, (struct cut_hint){.checksum_partial = true}, &random),
		-EBADMSG);
	len = make_packet(data, &s, &random, true);
	put16(data + 6, 0x2000);
	assert_int_equal(cut_all(&got, data, len, cut, &random), -EBADMSG);
}

static void guessing_without_a_stamp(void **state)
{
	static uint8_t data[65536];
	uint64_t random = 23;

	(void)state;
	for (unsigned int round = 0; round < 300; round++) {
		struct shape s = random_shape(&random);
		struct segments got;
		struct iovec frame;
		struct cut_hint hint;
		bool partial = draw(&random) % 2;

		s.protocol = IPPROTO_TCP;
		s.payload = draw(&random) % 30000;
		if (headers_of(&s) + s.payload > 1420)
			partial = true;
		frame = (struct iovec){data, make_packet(data, &s, &random, partial)};
		hint = cut_guess(&frame, 1, 1420);
		assert_int_equal(hint.checksum_partial, partial);
		assert_int_equal(cut_all(&got, data, frame.iov_len, hint, &random), 0);
		for (size_t i = 0; i < got.n; i++)
			assert_true(got.len[i] <= 1420);
		segments_free(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_as_the_kernel_does),
		cmocka_unit_test(single_packets),
		cmocka_unit_test(checksum_of_a_packet_in_the_packet),
		cmocka_unit_test(hints_that_do_not_fit),
		cmocka_unit_test(guessing_without_a_stamp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
