/* SPDX-License-Identifier: Apache-2.0 */
/* Joining segments, compared with what the kernel's GRO is documented to do. */
#include "packet/join.h"
#include "segments.h"

static size_t join_all(struct join *j, struct segments *in, const struct joined **out)
{
	for (size_t i = 0; i < in->n; i++) {
		struct packet p;

		assert_int_equal(packet_parse(&p, in->data[i], in->len[i], in->len[i]), 0);
		assert_int_equal(join_add(j, in->data[i], &p), 0);
	}
	return join_flush(j, out);
}

static size_t flatten(const struct joined *r, uint8_t *out)
{
	size_t len = 0;

	for (size_t i = 0; i < r->n_pieces; i++) {
		memcpy(out + len, r->pieces[i].iov_base, r->pieces[i].iov_len);
		len += r->pieces[i].iov_len;
	}
	assert_int_equal(len, r->length);
	return len;
}

static struct cut_hint hint_of(const struct joined *r)
{
	return (struct cut_hint){
		.gso_size = r->vnet.gso_size,
		.checksum_partial = r->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
	};
}

/* After all joined packets are cut again, each flow has the same packets in the same order. */
static void same_packets_flow_by_flow(const struct segments *before, const struct segments *after)
{
	bool used[MAX_SEGMENTS] = {false};

	assert_int_equal(before->n, after->n);
	for (size_t i = 0; i < before->n; i++) {
		size_t k = 0;

		/* The first unused packet with the same ports must be equal to this one. */
		const uint32_t l4 =
			before->data[i][0] >> 4 == 4 ? (before->data[i][0] & 15) * 4u : 40;

		while (k < after->n && (used[k] || after->data[k][0] != before->data[i][0] ||
					memcmp(after->data[k] + l4, before->data[i] + l4, 4)))
			k++;
		assert_true(k < after->n);
		used[k] = true;
		assert_int_equal(after->len[k], before->len[i]);
		assert_memory_equal(after->data[k], before->data[i], before->len[i]);
	}
}

static void joins_and_cuts_back(void **state)
{
	static uint8_t data[65536];
	struct join *j = join_new(true);
	uint64_t random = 31;
	size_t joined_total = 0, packets_total = 0;

	(void)state;
	for (unsigned int round = 0; round < 1500; round++) {
		struct shape flows[3];
		struct segments in = {.n = 0}, copy = {.n = 0}, back = {.n = 0};
		const struct joined *results;
		const unsigned int n_flows = 1 + draw(&random) % 3;
		size_t n;

		for (unsigned int f = 0; f < n_flows; f++) {
			flows[f] = random_shape(&random);
			flows[f].options = 0;
			flows[f].port = (uint16_t)(80 + f);
			flows[f].payload = 100 + draw(&random) % 1300;
			/* All have one id, but cutting counts ids up. Only DF allows that. */
		}
		while (in.n < 60) {
			struct shape *s = &flows[draw(&random) % n_flows], now = *s;
			uint32_t len;

			switch (draw(&random) % 24) {
			case 0:
				now.flags |= PSH;
				break;
			case 1:
				now.flags |= (uint8_t)(1 << draw(&random) % 8);
				break;
			case 2:
				now.payload = draw(&random) % (s->payload + 1);
				break;
			case 3:
				now.sequence += draw(&random) % 3000; /* a gap */
				break;
			case 4:
				now.tcp_options = s->protocol == IPPROTO_TCP ? 0 : 0;
				break;
			case 5:
				now.payload += 8; /* grows */
				break;
			}
			len = make_packet(data, &now, &random, false);
			if (draw(&random) % 40 == 0) /* damaged on the way into the tunnel */
				data[len - 1] ^= 0x55;
			if (now.version == 6 && draw(&random) % 50 == 0)
				data[3] ^= 1; /* another flow label */
			add_copy(&in, data, len);
			s->sequence = now.sequence + now.payload;
			s->id++;
			if (draw(&random) % 12 == 0)
				s->id += 7;
		}
		for (size_t i = 0; i < in.n; i++)
			add_copy(&copy, in.data[i], in.len[i]);
		n = join_all(j, &in, &results);
		joined_total += n;
		packets_total += in.n;
		for (size_t i = 0; i < n; i++) {
			size_t len = flatten(&results[i], data);
			struct segments part;

			assert_true(len <= JOIN_MAX_BYTES);
			assert_int_equal(cut_all(&part, data, len, hint_of(&results[i]), &random),
					 0);
			assert_int_equal(part.n, results[i].segments);
			for (size_t k = 0; k < part.n; k++)
				add_copy(&back, part.data[k], part.len[k]);
			segments_free(&part);
		}
		same_packets_flow_by_flow(&copy, &back);
		segments_free(&in);
		segments_free(&copy);
		segments_free(&back);
	}
	/* The test is worth something only if packets were joined. */
	assert_true(joined_total * 2 < packets_total);
	join_free(j);
}

/* Joins n TCP segments, of which the middle one is changed by `change` or `damage`; returns the
 * number of results. */
static size_t results_after(struct join *j, size_t n, void (*change)(struct shape *s),
			    void (*damage)(uint8_t *data, size_t len))
{
	struct shape s = {.version = 4,
			  .protocol = IPPROTO_TCP,
			  .payload = 1000,
			  .flags = ACK,
			  .df = true,
			  .port = 80,
			  .id = 100};
	struct segments in = {.n = 0};
	const struct joined *results;
	uint8_t data[2048];
	uint64_t random = 1;
	size_t got;

	for (size_t i = 0; i < n; i++) {
		struct shape now = s;
		uint32_t len;

		if (i == n / 2 && change)
			change(&now);
		len = make_packet(data, &now, &random, false);
		if (i == n / 2 && damage)
			damage(data, len);
		add_copy(&in, data, len);
		s.sequence += s.payload;
		s.id++;
	}
	got = join_all(j, &in, &results);
	segments_free(&in);
	return got;
}

static void push(struct shape *s)
{
	s->flags |= PSH;
}
static void fin(struct shape *s)
{
	s->flags |= FIN;
}
static void urgent(struct shape *s)
{
	s->flags |= URG;
}
static void reordered(struct shape *s)
{
	s->sequence += 5000;
}
static void wrong_checksum(uint8_t *data, size_t len)
{
	data[len - 1] ^= 1;
}
static void other_ttl(uint8_t *data, size_t len)
{
	(void)len;
	data[8]--;
	put16(data + 10, 0);
	put16(data + 10, (uint16_t)~slow_checksum(0, data, 20));
}
static void wrong_header_checksum(uint8_t *data, size_t len)
{
	(void)len;
	data[11] ^= 1;
}

static void what_ends_a_superpacket(void **state)
{
	struct join *j = join_new(true);

	(void)state;
	assert_int_equal(results_after(j, 10, NULL, NULL), 1);
	assert_int_equal(results_after(j, 65, NULL, NULL), 2); /* 64 KiB */
	assert_int_equal(results_after(j, 10, push, NULL), 2);
	assert_int_equal(results_after(j, 10, fin, NULL), 3);
	assert_int_equal(results_after(j, 10, urgent, NULL), 3);
	assert_int_equal(results_after(j, 10, reordered, NULL), 3);
	assert_int_equal(results_after(j, 10, NULL, wrong_checksum), 3);
	assert_int_equal(results_after(j, 10, NULL, other_ttl), 3);
	assert_int_equal(results_after(j, 10, NULL, wrong_header_checksum), 3);
	join_free(j);
}

/* The sender has signed each packet, so the receiver would refuse joined or changed ones. */
static void authenticated_packets_are_not_joined(void **state)
{
	struct shape s = {.version = 6,
			  .protocol = IPPROTO_TCP,
			  .options = 24,
			  .payload = 1000,
			  .flags = ACK,
			  .port = 80};
	struct join *j = join_new(true);
	struct segments in = {.n = 0};
	const struct joined *results;
	uint8_t data[2048];
	uint64_t random = 1;

	(void)state;
	for (unsigned int i = 0; i < 10; i++, s.sequence += s.payload) {
		uint32_t len = make_packet(data, &s, &random, false);

		data[6] = IPPROTO_AH;
		data[41] = 24 / 4 - 2;
		add_copy(&in, data, len);
	}
	assert_int_equal(join_all(j, &in, &results), 10);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(results[i].segments, 1);
		assert_memory_equal(results[i].pieces[0].iov_base, in.data[i], in.len[i]);
	}
	segments_free(&in);
	join_free(j);
}

/* Cut and join do not change such a packet, and no packet of its flow overtakes it. */
static void unknown_packets_are_carried_unchanged(void **state)
{
	struct shape s = {.version = 4, .protocol = IPPROTO_TCP, .payload = 500, .flags = ACK};
	struct join *j = join_new(true);
	const struct joined *results;
	struct segments in = {.n = 0}, got;
	uint64_t random = 1;
	uint8_t data[1024];

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		uint32_t len = make_packet(data, &s, &random, false);

		if (i == 1)
			data[0] = 0x40; /* IHL 0 */
		else
			s.sequence += s.payload;
		s.id++;
		add_copy(&in, data, len);
		assert_int_equal(
			cut_all(&got, data, len, (struct cut_hint){.gso_size = 0}, &random), 0);
		assert_int_equal(got.n, 1);
		assert_int_equal(got.len[0], len);
		assert_memory_equal(got.data[0], data, len);
		segments_free(&got);
	}
	assert_int_equal(join_all(j, &in, &results), 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_memory_equal(results[i].pieces[0].iov_base, in.data[i], in.len[i]);
	segments_free(&in);
	join_free(j);
}

static void udp_only_where_the_kernel_can(void **state)
{
	struct shape s = {.version = 4, .protocol = IPPROTO_UDP, .payload = 500, .port = 53};
	uint64_t random = 1;
	uint8_t data[1024];

	(void)state;
	for (int udp = 0; udp < 2; udp++) {
		struct join *j = join_new(udp);
		struct segments in = {.n = 0};
		const struct joined *results;
		struct shape now = s;

		for (unsigned int i = 0; i < 10; i++, now.id++)
			add_copy(&in, data, make_packet(data, &now, &random, false));
		assert_int_equal(join_all(j, &in, &results), udp ? 1 : 10);
		if (udp) {
			assert_int_equal(results[0].vnet.gso_type, 5);
			assert_int_equal(results[0].vnet.gso_size, 500);
			assert_int_equal(results[0].vnet.csum_start, 14 + 20);
			assert_int_equal(results[0].vnet.csum_offset, 6);
		}
		segments_free(&in);
		join_free(j);
	}
}

static void as_many_as_fit(void **state)
{
	struct shape s = {.version = 4, .protocol = IPPROTO_UDP, .payload = 8, .port = 53};
	static uint8_t data[JOIN_MAX_PACKETS + 1][64];
	struct join *j = join_new(false);
	const struct joined *results;
	uint64_t random = 1;
	struct packet p;

	(void)state;
	for (unsigned int i = 0; i <= JOIN_MAX_PACKETS; i++) {
		uint32_t len = make_packet(data[i], &s, &random, false);

		assert_int_equal(packet_parse(&p, data[i], len, len), 0);
		assert_int_equal(join_add(j, data[i], &p), i < JOIN_MAX_PACKETS ? 0 : -ENOSPC);
	}
	assert_int_equal(join_flush(j, &results), JOIN_MAX_PACKETS);
	assert_int_equal(join_flush(j, &results), 0);
	join_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins_and_cuts_back),
		cmocka_unit_test(what_ends_a_superpacket),
		cmocka_unit_test(authenticated_packets_are_not_joined),
		cmocka_unit_test(unknown_packets_are_carried_unchanged),
		cmocka_unit_test(udp_only_where_the_kernel_can),
		cmocka_unit_test(as_many_as_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
