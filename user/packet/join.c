/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/join.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "packet/big_endian.h"
#include "packet/checksum.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define IP4_DF	     0x4000
#define TCP_SEQUENCE 4
#define TCP_ACK	     8
#define TCP_FLAGS    13
#define TCP_WINDOW   14
#define TCP_CHECKSUM 16
#define TCP_OPTIONS  20
#define UDP_CHECKSUM 6

#define PSH 0x08
#define ACK 0x10
#define ECE 0x40

#define FLOWS 512 /* places in the table of runs; a power of two */
#define NONE  UINT16_MAX

/* One result under construction: a run of segments, or a packet that stands alone. */
struct run {
	uint8_t *data; /* first segment, IP header first */
	struct packet packet;
	uint32_t payload; /* of the first segment: gso_size */
	uint32_t length;  /* of all: headers and payloads */
	uint32_t next_sequence;
	uint16_t last_id;
	bool id_counts; /* IPv4 ids go up by one; else they stay (or nothing is known yet) */
	bool open;
	uint8_t flags; /* PSH of the last segment */
	uint16_t segments;
	uint16_t first, last; /* pieces */
};

struct piece {
	struct iovec memory;
	uint16_t next;
};

struct join {
	bool udp;
	unsigned int n_runs, n_pieces;
	uint32_t epoch; /* of the table: entries of earlier flushes are void */
	struct {
		uint32_t epoch;
		uint16_t run;
	} flows[FLOWS];
	struct run runs[JOIN_MAX_PACKETS];
	struct piece pieces[JOIN_MAX_PACKETS];
	struct joined results[JOIN_MAX_PACKETS];
	struct iovec gathered[JOIN_MAX_PACKETS];
};

struct join *join_new(bool udp)
{
	struct join *j = calloc(1, sizeof(*j));

	if (j) {
		j->udp = udp;
		j->epoch = 1;
	}
	return j;
}

void join_free(struct join *j)
{
	free(j);
}

static bool has_ports(const struct packet *p)
{
	return p->payload != 0;
}

static size_t addresses(const struct packet *p, const uint8_t *data, const uint8_t **at)
{
	*at = data + (p->version == 4 ? 12 : 8);
	return p->version == 4 ? 8 : 32;
}

static bool same_flow(const struct run *r, const struct packet *p, const uint8_t *data)
{
	const uint8_t *a, *b;
	size_t n = addresses(p, data, &a);

	if (r->packet.version != p->version || r->packet.protocol != p->protocol)
		return false;
	addresses(&r->packet, r->data, &b);
	return !memcmp(a, b, n) && !memcmp(data + p->l4, r->data + r->packet.l4, 4);
}

static unsigned int hash(const struct packet *p, const uint8_t *data)
{
	const uint8_t *at;
	size_t n = addresses(p, data, &at);
	uint64_t h = p->protocol;
	uint32_t word;

	for (size_t i = 0; i < n; i += 4) {
		memcpy(&word, at + i, 4);
		h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	}
	memcpy(&word, data + p->l4, 4);
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return (unsigned int)(h >> 40) % FLOWS;
}

/* The flow's slot in the table, used or not. If two flows share a slot, the new one ends the
 * other's run: nothing is reordered, only less is joined. */
static uint16_t *place(struct join *j, const struct packet *p, const uint8_t *data)
{
	unsigned int i = hash(p, data);

	if (j->flows[i].epoch != j->epoch) {
		j->flows[i].epoch = j->epoch;
		j->flows[i].run = NONE;
	} else if (j->flows[i].run != NONE && !same_flow(&j->runs[j->flows[i].run], p, data)) {
		j->flows[i].run = NONE;
	}
	return &j->flows[i].run;
}

/* The kernel computes the checksums of a joined packet again. A wrong one would become right, so
 * segments with wrong checksums are not joined. */
static bool checksums_right(const struct packet *p, const uint8_t *data)
{
	const uint32_t len = p->length - p->l4;

	if (p->version == 4 && checksum_fold(checksum_add(0, data, p->l4)) != 0xffff)
		return false;
	return checksum_fold(checksum_add(checksum_pseudo(p, data, len), data + p->l4, len)) ==
	       0xffff;
}

/* Could this packet be a part of a run at all? */
static bool joinable(const struct join *j, const struct packet *p, const uint8_t *data)
{
	const uint8_t *l4 = data + p->l4;

	if (!has_ports(p) || p->length == p->payload)
		return false;
	if (p->protocol == IPPROTO_TCP)
		return (l4[TCP_FLAGS] & ACK) && !(l4[TCP_FLAGS] & ~(ACK | PSH | ECE)) &&
		       checksums_right(p, data);
	return j->udp && read_be16(l4 + 4) == p->length - p->l4 && read_be16(l4 + UDP_CHECKSUM) &&
	       checksums_right(p, data);
}

/* Everything in the headers that must be the same in all segments of a run. */
static bool same_headers(const struct run *r, const struct packet *p, const uint8_t *data)
{
	const uint8_t *a = r->data, *b = data;

	if (r->packet.l4 != p->l4 || r->packet.payload != p->payload)
		return false;
	if (p->version == 4) {
		/* Version, header length and TOS; flags and offset; TTL and protocol; options. */
		if (memcmp(a, b, 2) || memcmp(a + 6, b + 6, 4) ||
		    memcmp(a + 20, b + 20, p->l4 - 20))
			return false;
	} else if (memcmp(a, b, 4) || memcmp(a + 6, b + 6, 2) ||
		   memcmp(a + 40, b + 40, p->l4 - 40)) {
		/* Flow label and class; next header and hop limit; extension headers. */
		return false;
	}
	a += p->l4;
	b += p->l4;
	if (p->protocol == IPPROTO_UDP)
		return true;
	return !memcmp(a + TCP_ACK, b + TCP_ACK, 5) && !((a[TCP_FLAGS] ^ b[TCP_FLAGS]) & ~PSH) &&
	       !memcmp(a + TCP_WINDOW, b + TCP_WINDOW, 2) &&
	       !memcmp(a + TCP_OPTIONS, b + TCP_OPTIONS, p->payload - p->l4 - TCP_OPTIONS);
}

/* IPv4 ids that go up, as segmentation makes them; or that stay, where DF makes them meaningless.
 */
static bool id_follows(const struct run *r, const uint8_t *data)
{
	const uint16_t id = read_be16(data + 4);

	if (r->packet.version == 6)
		return true;
	if (id == (uint16_t)(r->last_id + 1))
		return r->segments == 1 || r->id_counts;
	return id == r->last_id && (read_be16(data + 6) & IP4_DF) &&
	       (r->segments == 1 || !r->id_counts);
}

static bool follows(const struct run *r, const struct packet *p, const uint8_t *data)
{
	const uint32_t payload = p->length - p->payload;

	if (!r->open || payload > r->payload || r->segments == JOIN_MAX_PIECES ||
	    r->length + payload > JOIN_MAX_BYTES || !same_headers(r, p, data) ||
	    !id_follows(r, data))
		return false;
	return p->protocol == IPPROTO_UDP ||
	       read_be32(data + p->l4 + TCP_SEQUENCE) == r->next_sequence;
}

static void add_piece(struct join *j, struct run *r, uint8_t *data, size_t len)
{
	struct piece *piece = &j->pieces[j->n_pieces];

	piece->memory = (struct iovec){data, len};
	piece->next = NONE;
	if (r->segments)
		j->pieces[r->last].next = (uint16_t)j->n_pieces;
	else
		r->first = (uint16_t)j->n_pieces;
	r->last = (uint16_t)j->n_pieces++;
	r->segments++;
}

static void extend(struct join *j, struct run *r, const struct packet *p, uint8_t *data)
{
	const uint32_t payload = p->length - p->payload;

	if (p->version == 4) {
		r->id_counts = read_be16(data + 4) != r->last_id;
		r->last_id = read_be16(data + 4);
	}
	add_piece(j, r, data + p->payload, payload);
	r->length += payload;
	r->next_sequence += payload;
	if (p->protocol == IPPROTO_TCP)
		r->flags = data[p->l4 + TCP_FLAGS] & PSH;
	if (payload < r->payload || r->flags)
		r->open = false;
}

static struct run *start(struct join *j, const struct packet *p, uint8_t *data, bool open)
{
	struct run *r = &j->runs[j->n_runs++];

	*r = (struct run){
		.data = data,
		.packet = *p,
		.length = p->length,
		.open = open,
	};
	add_piece(j, r, data, p->length);
	if (!open)
		return r;
	r->payload = p->length - p->payload;
	if (p->version == 4)
		r->last_id = read_be16(data + 4);
	if (p->protocol == IPPROTO_TCP) {
		r->next_sequence = read_be32(data + p->l4 + TCP_SEQUENCE) + r->payload;
		r->flags = data[p->l4 + TCP_FLAGS] & PSH;
		r->open = !r->flags;
	}
	return r;
}

int join_add(struct join *j, uint8_t *data, const struct packet *p)
{
	uint16_t *latest;

	if (j->n_pieces == JOIN_MAX_PACKETS)
		return -ENOSPC;
	if (!has_ports(p)) {
		/* It may belong to any flow between its addresses: all runs end here. */
		if (p->fragment || p->opaque)
			j->epoch++;
		start(j, p, data, false);
		return 0;
	}
	latest = place(j, p, data);
	if (!joinable(j, p, data)) {
		start(j, p, data, false);
		*latest = NONE;
		return 0;
	}
	if (*latest != NONE && follows(&j->runs[*latest], p, data)) {
		extend(j, &j->runs[*latest], p, data);
		return 0;
	}
	*latest = (uint16_t)(start(j, p, data, true) - j->runs);
	return 0;
}

/* Headers of the whole: lengths, and the partial checksum that the kernel wants to finish. */
static void rewrite(const struct run *r, struct virtio_net_hdr *vnet)
{
	const struct packet *p = &r->packet;
	uint8_t *l4 = r->data + p->l4;
	const bool tcp = p->protocol == IPPROTO_TCP;
	const uint16_t offset = tcp ? TCP_CHECKSUM : UDP_CHECKSUM;
	uint16_t sum;

	if (p->version == 4) {
		write_be16(r->data + 2, r->length);
		memset(r->data + 10, 0, 2);
		sum = checksum_finish(checksum_add(0, r->data, p->l4));
		memcpy(r->data + 10, &sum, sizeof(sum));
	} else {
		write_be16(r->data + 4, r->length - 40);
	}
	if (tcp)
		l4[TCP_FLAGS] |= r->flags;
	else
		write_be16(l4 + 4, r->length - p->l4);
	sum = checksum_fold(checksum_pseudo(p, r->data, r->length - p->l4));
	memcpy(l4 + offset, &sum, sizeof(sum));

	*vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = !tcp	      ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : p->version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4
					      : VIRTIO_NET_HDR_GSO_TCPV6,
		.hdr_len = (uint16_t)(JOIN_ETHERNET + p->payload),
		.gso_size = (uint16_t)r->payload,
		.csum_start = (uint16_t)(JOIN_ETHERNET + p->l4),
		.csum_offset = offset,
	};
}

size_t join_flush(struct join *j, const struct joined **out)
{
	const size_t n = j->n_runs;
	struct iovec *next = j->gathered;

	for (size_t i = 0; i < n; i++) {
		const struct run *r = &j->runs[i];
		struct joined *result = &j->results[i];

		*result = (struct joined){
			.version = r->packet.version,
			.segments = r->segments,
			.n_pieces = r->segments,
			.length = r->length,
			.pieces = next,
		};
		if (r->segments > 1)
			rewrite(r, &result->vnet);
		for (uint16_t k = r->first; k != NONE; k = j->pieces[k].next)
			*next++ = j->pieces[k].memory;
	}
	j->n_runs = j->n_pieces = 0;
	j->epoch++;
	*out = j->results;
	return n;
}
