/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inner packets from transport messages: parsing, congestion marks, joining, and packets above the
 * MTU. Joined packets must be cut into the same packets again; fragments must be correct and
 * contain the whole packet.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/oversize.h"
#include "packet/cut.h"
#include "packet/ecn.h"
#include "packet/icmp.h"
#include "packet/join.h"

#define MAX_PACKETS 48

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void cut_again(const struct joined *r)
{
	const struct cut_hint hint = {
		.gso_size = r->vnet.gso_size,
		.checksum_partial = r->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
	};
	static uint8_t segment[65536];
	struct packet p;
	struct cut cut;
	size_t len, n = 0, payload = 0, joined_payload;

	if (cut_begin(&cut, r->pieces, r->n_pieces, hint))
		abort();
	joined_payload = cut.payload_left;
	while ((len = cut_next_len(&cut))) {
		if (cut_next(&cut, segment) != len || packet_parse(&p, segment, len, len))
			abort();
		payload += len - cut.headers;
		n++;
	}
	if (n != r->segments || payload != joined_payload)
		abort();
}

static void split(const uint8_t *data, const struct packet *p)
{
	const uint32_t mtu = 68 + p->length % 600;
	uint8_t header[FRAGMENT_MAX_HEADER];
	struct iovec payload;
	struct fragmenter f;
	uint32_t n, done;

	if (!fragment_begin(&f, data, p->length, mtu, 1))
		return;
	done = f.begin;
	while ((n = fragment_next(&f, header, &payload))) {
		const uint32_t len = n + (uint32_t)payload.iov_len;
		uint8_t *whole = malloc(len);
		struct packet q;

		memcpy(whole, header, n);
		memcpy(whole + n, payload.iov_base, payload.iov_len);
		if (len > mtu || packet_parse(&q, whole, len, len) || q.length != len ||
		    payload.iov_base != data + done)
			abort();
		done += (uint32_t)payload.iov_len;
		free(whole);
	}
	if (done != p->length)
		abort();
}

static void segment(const uint8_t *data, const struct packet *p)
{
	struct iovec piece = {malloc(p->length), p->length};
	struct joined j = {.length = p->length, .segments = 1, .n_pieces = 1, .pieces = &piece};

	memcpy(piece.iov_base, data, p->length);
	if (oversize_tcp(&j, 60 + p->length % 200) &&
	    (!j.vnet.gso_size || j.vnet.hdr_len + j.vnet.gso_size > JOIN_ETHERNET + p->length))
		abort();
	free(piece.iov_base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *memory[MAX_PACKETS], answer[1280];
	struct join *j = join_new(true);
	const struct joined *results;
	size_t n = 0, fed = 0, n_results, segments = 0;

	/* Two bytes with length and congestion marks, then a packet of that length. */
	while (size >= 2 && n < MAX_PACKETS) {
		size_t len = (size_t)(data[0] | (data[1] & 7) << 8);
		const uint8_t outer = data[1] >> 6;
		struct packet p;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		memory[n] = malloc(len ? len : 1);
		memcpy(memory[n], data, len);
		data += len;
		size -= len;
		if (!packet_parse(&p, memory[n], len, len)) {
			icmp_answer(answer, sizeof(answer), memory[n], len, len,
				    ICMP_REASON_NO_PEER, 0);
			split(memory[n], &p);
			segment(memory[n], &p);
			if (ecn_decapsulate(memory[n], &p, outer) && !join_add(j, memory[n], &p))
				fed++;
		}
		n++;
	}
	n_results = join_flush(j, &results);
	for (size_t i = 0; i < n_results; i++) {
		segments += results[i].segments;
		if (results[i].segments > 1)
			cut_again(&results[i]);
	}
	if (segments != fed)
		abort();
	for (size_t i = 0; i < n; i++)
		free(memory[i]);
	join_free(j);
	return 0;
}
