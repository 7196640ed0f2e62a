/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out: frame chain -> stamp -> remote -> segments -> transport messages -> wire.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <net/ethernet.h>

#include "datapath/worker.h"
#include "packet/ecn.h"
#include "packet/icmp.h"
#include "podveil/stamp.h"
#include "protocol/elapsed.h"

/* The most bytes of a packet in one message. Outer IPv4 sets the limit. */
#define INNER_MAX (WIRE_MAX_MESSAGE - (uint32_t)MESSAGE_DATA_OVERHEAD)

#define ICMP_ROOM     1280
#define ICMP_PER_TICK 10		    /* ICMP errors that a worker may send in ... */
#define ICMP_TICK     (100 * NSEC_PER_MSEC) /* ... this time */

/* An inner packet on its way: the frames without the Ethernet header. */
struct outbound {
	struct iovec frames[XSK_MAX_FRAMES];
	uint32_t n_frames;
	uint32_t length;
	struct pv_stamp stamp;
};

static void flush(struct worker *w)
{
	struct egress *e = &w->egress;
	struct wire *wire = rcu_dereference(w->wire);

	if (!e->n_ops)
		return;
	aead_seal(w->aead, e->ops, e->n_ops);
	if (wire) {
		wire_send(wire, w->buffers, e->runs, e->n_runs, w->count);
	} else {
		for (unsigned int i = 0; i < e->n_runs; i++)
			w->count->drop_wire_error += e->runs[i].messages;
	}
	e->n_ops = e->n_runs = 0;
	e->used = 0;
}

/* Appends a message to the last run if it continues that run; else begins a new run. */
static void append_run(struct egress *e, struct remote *r, uint8_t *message, uint32_t length,
		       uint8_t tos)
{
	struct wire_run *run = e->n_runs ? &e->runs[e->n_runs - 1] : NULL;

	if (run && run->to == &r->destination && run->tos == tos && length <= run->segment &&
	    run->length == (uint32_t)run->messages * run->segment &&
	    run->messages < WIRE_MAX_SEGMENTS && run->length + length <= WIRE_MAX_RUN) {
		run->length += length;
		run->messages++;
		return;
	}
	e->runs[e->n_runs++] = (struct wire_run){
		.to = &r->destination,
		.data = message,
		.length = length,
		.segment = (uint16_t)length,
		.messages = 1,
		.tos = tos,
	};
}

/* Whitepaper 5.4.6: rounds up to a multiple of 16, but not above the MTU or INNER_MAX. */
static uint32_t padded(uint32_t length, uint32_t mtu)
{
	uint32_t whole = (length + MESSAGE_PADDING - 1) & ~(uint32_t)(MESSAGE_PADDING - 1);

	if (mtu > INNER_MAX)
		mtu = INNER_MAX;
	if (whole <= mtu)
		return whole;
	return length > mtu ? length : mtu;
}

/* Cuts, frames and queues one inner packet for a session that can send. */
static void encrypt(struct worker *w, struct remote *r, struct keypair *k, struct cut *cut)
{
	struct egress *e = &w->egress;
	const uint32_t mtu = atomic_load_explicit(&w->datapath->tunnel.mtu, memory_order_relaxed);
	const uint8_t tos = ecn_encapsulate(cut->packet.ecn);
	const uint32_t n = cut->segments;
	uint64_t counter, bytes = 0;
	uint32_t i;

	if (!keypair_reserve(k, n, &counter)) {
		worker_want_session(w, r);
		w->count->drop_expired_session += n;
		return;
	}
	for (i = 0; i < n; i++, counter++) {
		const uint32_t inner = (uint32_t)cut_next_len(cut);
		const uint32_t plain = padded(inner, mtu);
		const uint32_t length = plain + (uint32_t)MESSAGE_DATA_OVERHEAD;

		if (length > WIRE_MAX_MESSAGE) {
			w->count->drop_too_big += n - i;
			break;
		}
		if (e->n_ops == AEAD_MAX_BATCH || e->used + length > EGRESS_BUFFER)
			flush(w);

		struct message_data *m = (struct message_data *)(e->buffer + e->used);

		m->type = htole32(MESSAGE_DATA);
		m->receiver = htole32(k->remote_index);
		m->counter = htole64(counter);
		cut_next(cut, m->encrypted);
		memset(m->encrypted + inner, 0, plain - inner);
		e->ops[e->n_ops++] = (struct aead_op){
			.key = k->sending_key,
			.counter = counter,
			.src = m->encrypted,
			.dst = m->encrypted,
			.len = plain,
		};
		append_run(e, r, (uint8_t *)m, length, tos);
		e->used += length;
		bytes += length;
		w->count->egress_packets++;
		w->count->egress_bytes += inner;
	}
	remote_count_sent(r, w->id, i, bytes);
	if (timers_message_sent(&r->timers, true, w->now))
		worker_signal(w, DATAPATH_WATCH_TIMERS, r, 0);
	if (rekey_wanted_after_send(k->initiator, elapsed(k->birth, w->now), counter))
		worker_want_session(w, r);
}

static bool icmp_token(struct worker *w)
{
	if (elapsed(w->icmp_tokens_at, w->now) >= ICMP_TICK) {
		w->icmp_tokens_at = w->now;
		w->icmp_tokens = ICMP_PER_TICK;
	}
	if (!w->icmp_tokens)
		return false;
	w->icmp_tokens--;
	return true;
}

/* Sends an ICMP error to the sender of a packet that cannot go. */
static void answer(struct worker *w, const struct outbound *o, enum icmp_reason reason)
{
	uint8_t reply[ICMP_ROOM];
	struct iovec piece = {.iov_base = reply};

	if (!o->n_frames || !atomic_load_explicit(&w->datapath->answer, memory_order_relaxed) ||
	    !icmp_token(w))
		return;
	piece.iov_len = icmp_answer(reply, sizeof(reply), o->frames[0].iov_base,
				    o->frames[0].iov_len, o->length, reason, INNER_MAX);
	if (!piece.iov_len)
		return;

	const struct joined packet = {
		.version = reply[0] >> 4,
		.segments = 1,
		.n_pieces = 1,
		.length = (uint32_t)piece.iov_len,
		.pieces = &piece,
	};
	inject_send(w->inject, &packet, 1, w->count);
	w->count->icmp_sent++;
}

/* Takes the Ethernet header off: it holds the stamp. False: not an IP packet. */
static bool open_frames(const struct xsk_packet *p, struct outbound *o)
{
	const struct ether_header *ethernet;

	if (!p->n_frames || p->frames[0].iov_len <= sizeof(*ethernet))
		return false;
	ethernet = p->frames[0].iov_base;
	memcpy(&o->stamp, ethernet, sizeof(o->stamp));
	memcpy(o->frames, p->frames, p->n_frames * sizeof(*p->frames));
	o->frames[0].iov_base = (uint8_t *)o->frames[0].iov_base + sizeof(*ethernet);
	o->frames[0].iov_len -= sizeof(*ethernet);
	o->n_frames = p->n_frames;
	o->length = p->length - (uint32_t)sizeof(*ethernet);
	return ethernet->ether_type == htons(ETHERTYPE_IP) ||
	       ethernet->ether_type == htons(ETHERTYPE_IPV6);
}

/* The peer that classify wrote into the stamp. NULL: the packet was counted as dropped. */
static struct remote *stamped_receiver(struct worker *w, const struct outbound *o,
				       struct cut_hint *hint)
{
	struct remote *r;

	*hint = (struct cut_hint){
		.gso_size = o->stamp.gso_size,
		.checksum_partial = o->stamp.flags & PV_STAMP_CSUM_PARTIAL,
		.checksum_start = (uint16_t)PV_STAMP_CSUM_START_IN(o->stamp.flags),
		.checksum_offset = PV_STAMP_CSUM_OFFSET_IN(o->stamp.flags),
	};
	if (o->stamp.peer == PV_STAMP_NO_PEER) {
		w->count->drop_no_peer++;
		answer(w, o, ICMP_REASON_NO_PEER);
		return NULL;
	}
	r = remote_of(w->datapath->remotes, o->stamp.peer, o->stamp.generation);
	if (!r)
		w->count->drop_stale_peer++;
	return r;
}

/* The peer that classify would have written into the stamp. From a stamp of the program steer, only
 * the segment size is used. NULL: the packet was counted as dropped. */
static struct remote *unstamped_receiver(struct worker *w, const struct outbound *o,
					 struct cut_hint *hint)
{
	const uint8_t *ip = o->frames[0].iov_base;
	struct packet packet;
	struct remote *r;

	w->count->unstamped++;
	if (packet_parse(&packet, ip, o->frames[0].iov_len, o->length)) {
		w->count->drop_malformed++;
		return NULL;
	}
	*hint = cut_guess(o->frames, o->n_frames,
			  atomic_load_explicit(&w->datapath->tunnel.mtu, memory_order_relaxed));
	if (o->stamp.magic == PV_STAMP_MAGIC)
		hint->gso_size = o->stamp.gso_size;
	r = packet.version == 4
		    ? allowed_ips_lookup(w->datapath->params.allowed_ips, AF_INET, ip + 16)
		    : allowed_ips_lookup(w->datapath->params.allowed_ips, AF_INET6, ip + 24);
	if (!r) {
		w->count->drop_no_peer++;
		answer(w, o, ICMP_REASON_NO_PEER);
	}
	return r;
}

/* Encrypts a packet, which may have several segments. Else drops and counts it. */
static void send_packet(struct worker *w, struct remote *r, struct keypair *k,
			const struct outbound *o, struct cut_hint hint)
{
	struct cut cut;

	if (cut_begin(&cut, o->frames, o->n_frames, hint)) {
		w->count->drop_malformed++;
	} else if (cut.segments == 1 && o->length > INNER_MAX) {
		w->count->drop_too_big++;
		answer(w, o, ICMP_REASON_TOO_BIG);
	} else {
		encrypt(w, r, k, &cut);
	}
}

/* Encrypts a packet, or drops and counts it, and returns NULL. If the peer has no session, returns
 * the peer; the packet is unchanged. */
static struct remote *dispatch(struct worker *w, const struct xsk_packet *p)
{
	struct outbound o;
	struct cut_hint hint;
	struct keypair *k;
	struct remote *r;

	if (!open_frames(p, &o)) {
		w->count->drop_not_ip++;
		return NULL;
	}
	if (o.stamp.magic == PV_STAMP_MAGIC && !(o.stamp.flags & PV_STAMP_BY_STEER))
		r = stamped_receiver(w, &o, &hint);
	else
		r = unstamped_receiver(w, &o, &hint);
	if (!r)
		return NULL;
	if (!rcu_dereference(r->destination.box)) {
		w->count->drop_no_endpoint++;
		answer(w, &o, ICMP_REASON_NO_ENDPOINT);
		return NULL;
	}
	k = remote_sending_keypair(r);
	if (!keypair_can_send(k, w->now))
		return r;
	send_packet(w, r, k, &o, hint);
	return NULL;
}

/* True: the packet was sent or dropped, and leaves the stage. */
static bool visit_staged(void *context, const struct staged *p)
{
	struct worker *w = context;
	struct remote *r = remote_of(w->datapath->remotes, p->share->slot, p->share->generation);

	if (!r) {
		w->count->drop_stale_peer++;
		return true;
	}
	if (atomic_load_explicit(&r->stage_epoch, memory_order_relaxed) == p->epoch)
		return !dispatch(w, &p->packet);
	w->count->drop_staged_expired++;
	return true;
}

void egress_unstage(struct worker *w)
{
	if (!w->stage.n)
		return;
	stage_sweep(&w->stage, visit_staged, w);
	flush(w);
	xsk_refill(w->xsk);
}

static bool drop_staged(void *context, const struct staged *p)
{
	struct worker *w = context;

	(void)p;
	w->count->drop_staged_expired++;
	return true;
}

void egress_end(struct worker *w)
{
	stage_sweep(&w->stage, drop_staged, w);
}

bool egress_poll(struct worker *w)
{
	struct egress *e = &w->egress;
	uint64_t broken = 0;
	unsigned int n = xsk_receive(w->xsk, e->packets, EGRESS_BATCH, &broken);

	if (!n)
		return false;
	w->count->egress_superpackets += n;
	histogram_add(&w->count->egress_batch, n);
	w->count->drop_frame_chain += broken;
	/* A session may have been established meanwhile. The packets that waited for it go
	 * first. */
	egress_unstage(w);
	for (unsigned int i = 0; i < n; i++) {
		struct remote *r;

		histogram_add(&w->count->egress_size, e->packets[i].length);
		r = dispatch(w, &e->packets[i]);
		if (!r) {
			xsk_release(w->xsk, &e->packets[i]);
			continue;
		}
		w->count->staged++;
		w->count->drop_staged_full += stage_hold(&w->stage, &e->packets[i], r);
		worker_want_session(w, r);
	}
	flush(w);
	xsk_refill(w->xsk);
	return true;
}
