/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How messages and timers change a peer: applies the rules of the whitepaper (sections 5 and 6) to
 * sessions, endpoints and counters.
 */
#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "device/gate.h"
#include "device/peer.h"
#include "protocol/elapsed.h"

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Sends to the peer's endpoint, and counts the message as the peer's traffic. */
static int send_to(struct peer *p, const void *message, size_t len, uint64_t now)
{
	struct endpoint to;
	int err;

	if (!destination_get(&p->remote.destination, &to))
		return -EDESTADDRREQ;
	err = datapath_send(p->device->datapath, &to, message, len, HANDSHAKE_TOS);
	if (err)
		return err;
	remote_count_sent(&p->remote, PV_MAX_WORKERS, 1, len);
	timers_message_sent(&p->remote.timers, false, now);
	return 0;
}

static void asked_no_more(struct peer *p)
{
	atomic_store_explicit(&p->remote.handshake_requested, false, memory_order_relaxed);
}

void protocol_initiate(struct peer *p, uint64_t now, enum handshake_count cause)
{
	struct device *d = p->device;
	struct timers *timers = &p->remote.timers;
	struct message_initiation m;
	uint8_t timestamp[TIMESTAMP_SIZE];
	int err;

	if (cause != HANDSHAKE_STARTED_RETRY)
		timers->attempts = 0;
	if (p->last_sent_handshake && elapsed(p->last_sent_handshake, now) < REKEY_TIMEOUT) {
		/* If an initiation is under way, it will be repeated. Else let the next packet ask
		 * again. */
		if (timers->retransmit_at == TIMERS_NEVER)
			asked_no_more(p);
		return;
	}
	noise_timestamp(timestamp, realtime_ns());
	err = peer_pending_begin(p);
	if (!err)
		err = noise_initiation_create(&p->handshake, &d->identity, p->pending->index,
					      timestamp, &m);
	if (err) {
		peer_pending_end(p);
		asked_no_more(p);
		return;
	}
	cookie_jar_seal(&p->jar, &m, sizeof(m), now);
	p->last_sent_handshake = now;
	timers_handshake_initiated(timers, now, randombytes_random());
	device_count(d, cause);
	err = send_to(p, &m, sizeof(m), now);
	if (err)
		log_debug("could not send a handshake initiation", "slot=%u errno=%d",
			  p->remote.slot, -err);
	sodium_memzero(&m, sizeof(m));
}

static void send_keepalive(struct peer *p, uint64_t now)
{
	if (datapath_keepalive(p->device->datapath, &p->remote)) {
		/* There is no session to send it with: start a handshake. */
		protocol_initiate(p, now, HANDSHAKE_STARTED_KEEPALIVE);
		return;
	}
	timers_message_sent(&p->remote.timers, false, now);
}

static void handshake_done(struct peer *p)
{
	clock_gettime(CLOCK_REALTIME, &p->last_handshake);
	p->sessions++;
	timers_handshake_complete(&p->remote.timers);
	asked_no_more(p);
	device_count(p->device, HANDSHAKE_FINISHED_INITIATOR);
	device_session_news(p->device);
}

/* An authentic handshake message came from this endpoint, so the peer is there now. */
static void received_from(struct peer *p, const struct handshake_message *e, uint64_t now)
{
	struct endpoint known;

	if (!destination_get(&p->remote.destination, &known) || !endpoint_equal(&known, &e->from)) {
		destination_set(&p->remote.destination, &e->from);
		peer_update_map(p);
	}
	remote_count_received(&p->remote, PV_MAX_WORKERS, 1, e->length);
	timers_message_received(&p->remote.timers, false, now);
}

static enum handshake_count failure(int err, enum handshake_count unknown)
{
	switch (err) {
	case -ENOENT:
	case -EINVAL:
		return unknown;
	case -EBADMSG:
		return HANDSHAKE_FAILED_AUTHENTICATION;
	case -EALREADY:
	case -EBUSY:
		return HANDSHAKE_FAILED_REPLAY;
	default:
		return HANDSHAKE_FAILED_RESOURCES;
	}
}

static void receive_initiation(struct device *d, const struct handshake_message *e,
			       struct gate *gate)
{
	const struct message_initiation *in = (const void *)e->bytes;
	struct noise_handshake answer;
	struct noise_identity identity;
	struct noise_claim claim;
	struct message_response out;
	struct noise_keys keys;
	struct peer *p;
	uint64_t now;
	int err;

	/* The costly part needs only a copy of our key, so it runs without the lock. */
	device_lock(d);
	identity = d->identity;
	device_unlock(d);
	err = noise_initiation_open(in, &identity, &claim);
	sodium_memzero(&identity, sizeof(identity));
	if (err) {
		device_count(d, HANDSHAKE_FAILED_AUTHENTICATION);
		gate_wasted(gate);
		return;
	}
	now = device_lock(d);
	p = peer_find(d, claim.remote_static);
	err = p && d->up ? 0 : -ENOENT;
	if (!err) {
		/* Work on a copy, so that our own initiation stays valid. If both ends initiate at
		 * the same time and each gave up its own initiation, neither would get a session
		 * before the next attempt, 5 s later. With the copy both handshakes can finish. */
		answer = p->handshake;
		err = noise_initiation_accept(&answer, in, &claim, now);
		memcpy(p->handshake.latest_timestamp, answer.latest_timestamp, TIMESTAMP_SIZE);
		p->handshake.last_initiation_received = answer.last_initiation_received;
	}
	if (!err) {
		received_from(p, e, now);
		err = noise_response_create(&answer, session_index(d), &out);
	}
	if (!err)
		err = noise_keys_derive(&answer, &keys);
	if (!err) {
		err = session_install(p, &keys, now);
		sodium_memzero(&keys, sizeof(keys));
	}
	if (!err) {
		cookie_jar_seal(&p->jar, &out, sizeof(out), now);
		timers_session_derived(&p->remote.timers, now);
		p->last_sent_handshake = now;
		send_to(p, &out, sizeof(out), now);
		peer_request_attention(p);
	} else {
		device_count(d, failure(err, HANDSHAKE_FAILED_UNKNOWN_PEER));
		gate_wasted(gate);
	}
	device_unlock(d);
	sodium_memzero(&answer, sizeof(answer));
	sodium_memzero(&claim, sizeof(claim));
}

static void receive_response(struct device *d, const struct handshake_message *e)
{
	const struct message_response *in = (const void *)e->bytes;
	const uint64_t now = device_lock(d);
	struct peer *p = peer_find_pending(d, le32toh(in->receiver));
	struct noise_keys keys;
	int err;

	err = p && d->up ? noise_response_accept(&p->handshake, &d->identity, in) : -ENOENT;
	if (!err)
		err = noise_keys_derive(&p->handshake, &keys);
	if (!err) {
		peer_pending_end(p);
		received_from(p, e, now);
		err = session_install(p, &keys, now);
		sodium_memzero(&keys, sizeof(keys));
	}
	if (!err) {
		timers_session_derived(&p->remote.timers, now);
		handshake_done(p);
		/* Our first message confirms the session to the responder: a staged packet, or else
		 * a keepalive. */
		datapath_kick(d->datapath);
		if (!atomic_load_explicit(&p->remote.staged, memory_order_relaxed))
			send_keepalive(p, now);
		peer_request_attention(p);
	} else {
		device_count(d, failure(err, HANDSHAKE_FAILED_UNEXPECTED));
	}
	device_unlock(d);
}

static void receive_cookie(struct device *d, const struct handshake_message *e)
{
	const struct message_cookie_reply *in = (const void *)e->bytes;
	const uint64_t now = device_lock(d);
	struct peer *p = peer_find_pending(d, le32toh(in->receiver));
	struct keypair *k;

	/* A cookie reply to our response has the index of the keypair that we made for it. */
	if (!p) {
		k = datapath_keypair_find(d->datapath, le32toh(in->receiver));
		if (k)
			p = caa_container_of(k->remote, struct peer, remote);
	}
	if (p && !cookie_reply_consume(&p->jar, in, now)) {
		remote_count_received(&p->remote, PV_MAX_WORKERS, 1, e->length);
		device_count(d, HANDSHAKE_COOKIE_RECEIVED);
	}
	device_unlock(d);
}

void protocol_receive(struct device *d, const struct handshake_message *e, bool under_load,
		      struct gate *gate)
{
	switch (message_classify(e->bytes, e->length)) {
	case MESSAGE_INITIATION:
		if (gate_pass(gate, e, under_load))
			receive_initiation(d, e, gate);
		break;
	case MESSAGE_RESPONSE:
		if (gate_pass(gate, e, under_load))
			receive_response(d, e);
		break;
	case MESSAGE_COOKIE_REPLY:
		receive_cookie(d, e);
		break;
	case MESSAGE_DATA:
	case MESSAGE_INVALID:
		break;
	}
}

/* Drops the packets that wait for a session with this peer. */
static void drop_staged(struct peer *p)
{
	atomic_fetch_add_explicit(&p->remote.stage_epoch, 1, memory_order_relaxed);
	asked_no_more(p);
	datapath_kick(p->device->datapath);
}

uint64_t protocol_timers(struct peer *p, uint64_t now)
{
	const unsigned int due = timers_due(&p->remote.timers, now);

	if (due & TIMERS_GIVE_UP) {
		device_count(p->device, HANDSHAKE_FAILED_NO_ANSWER);
		peer_pending_end(p);
		drop_staged(p);
	}
	if (due & TIMERS_ZERO_KEYS)
		session_clear(p);
	if (due & (TIMERS_RETRY_INITIATION | TIMERS_SEND_INITIATION)) {
		/* Our own source address may be wrong, so let the kernel choose it again. */
		destination_forget_source(&p->remote.destination);
		protocol_initiate(p, now,
				  due & TIMERS_RETRY_INITIATION ? HANDSHAKE_STARTED_RETRY
								: HANDSHAKE_STARTED_TIMER);
	}
	if (due & TIMERS_SEND_KEEPALIVE)
		send_keepalive(p, now);
	return timers_next(&p->remote.timers, now);
}
