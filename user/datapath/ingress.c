/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way in: wire -> messages -> session -> plaintext -> replay and source check -> joined packets
 * -> tunnel device.
 */
#include <endian.h>

#include "datapath/worker.h"
#include "packet/ecn.h"
#include "protocol/elapsed.h"

/* The sums over consecutive messages of one session. */
struct session_run {
	struct keypair *keypair;
	const struct wire_received *from; /* of the newest message accepted */
	uint64_t newest;
	uint64_t packets, bytes;
	bool payload;
};

/* Updates the peer after such a run: counters, endpoint, timers, confirmation, rekeying. */
static void finish_run(struct worker *w, struct session_run *t)
{
	struct keypair *k = t->keypair;

	if (!k)
		return;
	atomic_flag_clear_explicit(&k->receiving_busy, memory_order_release);
	t->keypair = NULL;
	if (!t->packets)
		return;

	struct remote *r = k->remote;
	const struct endpoint_box *known = rcu_dereference(r->destination.box);

	remote_count_received(r, w->id, t->packets, t->bytes);
	if (!known || !endpoint_equal(&known->endpoint, &t->from->from))
		destination_set(&r->destination, &t->from->from);
	if (timers_message_received(&r->timers, t->payload, w->now))
		worker_signal(w, DATAPATH_WATCH_TIMERS, r, 0);
	/* The packets of this run are not injected yet, so answers to them already use the new
	 * keys. */
	if (keypair_confirm(k))
		datapath_kick(w->datapath); /* staged packets can be sent now */
	if (keypair_report(k) && !worker_signal(w, DATAPATH_CONFIRMED, r, k->local_index))
		keypair_report_failed(k);
	if (rekey_wanted_after_receive(k->initiator, elapsed(k->birth, w->now)) &&
	    !atomic_exchange_explicit(&k->renewal_requested, true, memory_order_relaxed))
		worker_want_session(w, r);
}

static void begin_run(struct session_run *t, struct keypair *k)
{
	*t = (struct session_run){.keypair = k};
	/* Waits only while a roaming peer's messages go through two workers at once. */
	while (atomic_flag_test_and_set_explicit(&k->receiving_busy, memory_order_acquire))
		;
}

/* A peer may only send from its allowed IPs (whitepaper section 2). Packets of one flow arrive
 * together, so the last result is cached: it saves 80 ns per packet with 10,000 allowed IPs. The
 * cache is valid within a batch, which is one RCU read side. */
static bool source_is_allowed(struct worker *w, const struct remote *r, const uint8_t *inner,
			      uint8_t version)
{
	struct inner_source *last = &w->ingress.source;
	const uint8_t *address = inner + (version == 4 ? 12 : 8);
	const size_t len = version == 4 ? 4 : 16;

	if (last->version != version || memcmp(last->address, address, len)) {
		last->owner = allowed_ips_lookup(w->datapath->params.allowed_ips,
						 version == 4 ? AF_INET : AF_INET6, address);
		last->version = version;
		memcpy(last->address, address, len);
	}
	return last->owner == r;
}

/* Checks the content of an authentic message as an inner packet and queues it for injection. */
static void deliver(struct worker *w, struct remote *r, uint8_t *inner, uint32_t len, uint8_t tos)
{
	struct packet p;

	if (packet_parse(&p, inner, len, len)) {
		w->count->drop_bad_inner++;
		return;
	}
	if (!source_is_allowed(w, r, inner, p.version)) {
		w->count->drop_source++;
		return;
	}
	if ((p.ecn | tos) & 3 && !ecn_decapsulate(inner, &p, tos & 3)) {
		w->count->drop_ecn++;
		return;
	}
	w->count->ingress_packets++;
	w->count->ingress_bytes += p.length;
	join_add(w->join, inner, &p);
}

/* Decrypts the queued messages and delivers those that are authentic, new and allowed. */
static void open_batch(struct worker *w)
{
	struct ingress *in = &w->ingress;
	struct session_run t = {.keypair = NULL};

	if (!in->n_ops)
		return;
	aead_open(w->aead, in->ops, in->n_ops);
	in->source.version = 0;
	for (unsigned int i = 0; i < in->n_ops; i++) {
		const struct aead_op *op = &in->ops[i];
		const struct inbound *message = &in->inbound[i];

		if (!op->ok) {
			w->count->drop_bad_tag++;
			continue;
		}
		if (message->keypair != t.keypair) {
			finish_run(w, &t);
			begin_run(&t, message->keypair);
		}
		if (!replay_accept(&t.keypair->replay, message->counter)) {
			w->count->drop_replayed++;
			continue;
		}
		/* A late message must not bring a peer's old address back. */
		if (!t.from || message->counter >= t.newest) {
			t.from = message->from;
			t.newest = message->counter;
		}
		t.packets++;
		t.bytes += op->len + MESSAGE_DATA_OVERHEAD;
		if (!op->len) {
			w->count->keepalives_received++;
			continue;
		}
		t.payload = true;
		deliver(w, t.keypair->remote, op->dst, op->len, message->from->tos);
	}
	finish_run(w, &t);
	in->n_ops = 0;
}

static void queue_message(struct worker *w, const struct wire_received *from,
			  struct message_data *m, uint32_t len, struct keypair **last)
{
	struct ingress *in = &w->ingress;
	const uint32_t index = le32toh(m->receiver);

	/* Messages of one source mostly belong to one session. */
	if (!*last || (*last)->local_index != index)
		*last = datapath_keypair_find(w->datapath, index);
	if (!*last) {
		w->count->drop_unknown_index++;
		return;
	}
	if (!keypair_can_receive(*last, w->now)) {
		w->count->drop_expired_session++;
		return;
	}
	if (in->n_ops == AEAD_MAX_BATCH)
		open_batch(w);
	in->inbound[in->n_ops] = (struct inbound){
		.keypair = *last,
		.from = from,
		.counter = le64toh(m->counter),
	};
	in->ops[in->n_ops++] = (struct aead_op){
		.key = (*last)->receiving_key,
		.counter = le64toh(m->counter),
		.src = m->encrypted,
		.dst = m->encrypted,
		.len = len - (uint32_t)MESSAGE_DATA_OVERHEAD,
	};
}

static void read_received(struct worker *w, const struct wire_received *r)
{
	struct keypair *last = NULL;

	for (uint32_t at = 0; at < r->length; at += r->segment) {
		uint32_t len = r->length - at;

		if (len > r->segment)
			len = r->segment;
		w->count->wire_messages_received++;
		switch (message_classify(r->data + at, len)) {
		case MESSAGE_DATA:
			queue_message(w, r, (struct message_data *)(r->data + at), len, &last);
			break;
		case MESSAGE_INITIATION:
		case MESSAGE_RESPONSE:
		case MESSAGE_COOKIE_REPLY:
			worker_forward(w, r, r->data + at, len);
			break;
		case MESSAGE_INVALID:
			w->count->drop_bad_message++;
			break;
		}
	}
}

static bool poll_part(struct worker *w, struct wire *wire, enum wire_part part, bool *more)
{
	struct ingress *in = &w->ingress;
	const struct joined *packets;
	size_t n_packets;
	uint64_t before;
	unsigned int n = wire_receive(wire, w->buffers, part, in->received, more, w->count);

	if (!n)
		return false;
	before = w->count->wire_messages_received;
	for (unsigned int i = 0; i < n; i++)
		read_received(w, &in->received[i]);
	worker_notify_forwarded(w);
	histogram_add(&w->count->ingress_batch,
		      (uint32_t)(w->count->wire_messages_received - before));
	open_batch(w);
	n_packets = join_flush(w->join, &packets);
	for (size_t i = 0; i < n_packets; i++)
		histogram_add(&w->count->ingress_size, packets[i].length);
	inject_send(w->inject, packets, n_packets, w->count);
	return true;
}

bool ingress_poll(struct worker *w)
{
	struct wire *wire = rcu_dereference(w->wire), *old_wire = rcu_dereference(w->old_wire);
	bool any = false;

	if (old_wire && w->old_wire_ready) {
		w->old_wire_ready = false;
		for (unsigned int part = 0; part < WIRE_PARTS; part++) {
			bool more;

			any |= poll_part(w, old_wire, (enum wire_part)part, &more);
			w->old_wire_ready |= more;
		}
	}
	for (unsigned int part = 0; wire && part < WIRE_PARTS; part++)
		/* Reading a queue costs no system call. */
		if (w->ready[part] || part == WIRE_QUEUE)
			any |= poll_part(w, wire, (enum wire_part)part, &w->ready[part]);
	w->more_to_read = w->ready[WIRE_IPV4] || w->ready[WIRE_IPV6];
	return any || (wire && wire_has_unsent(wire));
}
