/* SPDX-License-Identifier: Apache-2.0 */
/* Random inner packets, and slow but simple checks of them. */
#ifndef TESTS_PACKETS_H
#define TESTS_PACKETS_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include "check.h"

/* The folded checksum, computed byte by byte. */
static inline uint16_t slow_checksum(uint32_t sum, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static inline void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

struct shape {
	int version;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	uint32_t options; /* bytes of IP options or extension headers */
	uint32_t tcp_options;
	uint32_t payload;
	uint8_t flags;
	uint32_t sequence;
	uint16_t id, port;
	bool df;
};

static inline uint32_t l4_of(const struct shape *s)
{
	return (s->version == 4 ? 20 : 40) + s->options;
}

static inline uint32_t headers_of(const struct shape *s)
{
	return l4_of(s) + (s->protocol == IPPROTO_TCP ? 20 + s->tcp_options : 8);
}

/* The pseudo header's sum, folded. */
static inline uint16_t slow_pseudo(const uint8_t *p, const struct shape *s, uint32_t l4_len)
{
	uint32_t sum = s->protocol + (l4_len & 0xffff) + (l4_len >> 16);

	return s->version == 4 ? slow_checksum(sum, p + 12, 8) : slow_checksum(sum, p + 8, 32);
}

static inline uint8_t *checksum_field(uint8_t *p, const struct shape *s)
{
	return p + l4_of(s) + (s->protocol == IPPROTO_TCP ? 16 : 6);
}

static inline void set_transport_checksum(uint8_t *p, const struct shape *s, bool partial)
{
	const uint32_t l4 = l4_of(s), len = headers_of(s) - l4 + s->payload;
	uint16_t pseudo = slow_pseudo(p, s, len), sum;

	put16(checksum_field(p, s), 0);
	sum = (uint16_t)~slow_checksum(pseudo, p + l4, len);
	if (!sum && s->protocol == IPPROTO_UDP)
		sum = 0xffff;
	put16(checksum_field(p, s), partial ? pseudo : sum);
}

/* Writes a packet with a random payload and returns its length in bytes. */
static inline uint32_t make_packet(uint8_t *p, const struct shape *s, uint64_t *random,
				   bool partial)
{
	const uint32_t l4 = l4_of(s), headers = headers_of(s), len = headers + s->payload;

	memset(p, 0, headers);
	if (s->version == 4) {
		p[0] = (uint8_t)(0x40 | l4 / 4);
		put16(p + 2, len);
		put16(p + 4, s->id);
		put16(p + 6, s->df ? 0x4000 : 0);
		p[8] = 64;
		p[9] = s->protocol;
		memcpy(p + 12, "\x0a\x00\x01\x02\x0a\x00\x02\x02", 8);
		memset(p + 20, 1, s->options); /* no-operation */
		put16(p + 10, (uint16_t)~slow_checksum(0, p, l4));
	} else {
		p[0] = 0x60;
		put16(p + 4, len - 40);
		p[6] = s->options ? IPPROTO_HOPOPTS : s->protocol;
		p[7] = 64;
		p[8] = p[24] = 0xfd;
		p[23] = 1;
		p[39] = 2;
		if (s->options) {
			p[40] = s->protocol;
			p[41] = (uint8_t)(s->options / 8 - 1);
		}
	}
	put16(p + l4, 40000);
	put16(p + l4 + 2, s->port);
	if (s->protocol == IPPROTO_TCP) {
		put32(p + l4 + 4, s->sequence);
		put32(p + l4 + 8, 0x01020304);
		p[l4 + 12] = (uint8_t)((20 + s->tcp_options) / 4 << 4);
		p[l4 + 13] = s->flags;
		put16(p + l4 + 14, 1000);
		memset(p + l4 + 20, 1, s->tcp_options);
	} else {
		put16(p + l4 + 4, 8 + s->payload);
	}
	for (uint32_t i = 0; i < s->payload; i++)
		p[headers + i] = (uint8_t)draw(random);
	set_transport_checksum(p, s, partial);
	return len;
}

static inline struct shape random_shape(uint64_t *random)
{
	struct shape s = {
		.version = draw(random) % 2 ? 4 : 6,
		.protocol = draw(random) % 3 ? IPPROTO_TCP : IPPROTO_UDP,
		.sequence = draw(random) % 4 ? draw(random) : UINT32_MAX - draw(random) % 5000,
		.id = (uint16_t)(draw(random) % 4 ? draw(random) : 0xfff0),
		.port = (uint16_t)(80 + draw(random) % 3),
		.flags = 0x10,
		.df = draw(random) % 2,
	};

	if (draw(random) % 4 == 0)
		s.options = s.version == 4 ? draw(random) % 11 * 4 : (1 + draw(random) % 4) * 8;
	if (s.protocol == IPPROTO_TCP)
		s.tcp_options = draw(random) % 3 ? 12 : draw(random) % 11 * 4;
	return s;
}

#endif
