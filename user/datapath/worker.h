/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with its own AF_XDP socket, wire, injection socket and memory. egress.c and
 * ingress.c are the two ways of a packet through it; worker.c is its loop.
 *
 * Internal to the folder. Only the worker's thread uses a struct worker, except where marked.
 */
#ifndef DATAPATH_WORKER_H
#define DATAPATH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hold.h"
#include "crypto/aead.h"
#include "datapath/datapath.h"
#include "datapath/inject.h"
#include "datapath/stage.h"
#include "packet/cut.h"
#include "packet/join.h"
#include "wire/wire.h"
#include "wire/xsk.h"

/* Packets taken from AF_XDP at a time. A full batch of superpackets still fits into a 2 MiB L2
 * cache. */
#define EGRESS_BATCH 32

/* Bytes. Has room for the cipher text of a superpacket at MTU 1280 behind earlier messages. */
#define EGRESS_BUFFER (256u << 10)

struct egress {
	struct xsk_packet packets[EGRESS_BATCH];
	uint8_t *buffer; /* EGRESS_BUFFER bytes: messages, back to back */
	size_t used;
	unsigned int n_ops, n_runs;
	struct aead_op ops[AEAD_MAX_BATCH];
	struct wire_run runs[AEAD_MAX_BATCH];
};

/* A transport message between look-up and delivery. */
struct inbound {
	struct keypair *keypair;
	const struct wire_received *from;
	uint64_t counter;
};

/* The last source address that was looked up, and the remote that it belongs to. */
struct inner_source {
	const struct remote *owner;
	uint8_t version; /* 0: none yet */
	uint8_t address[16];
};

struct ingress {
	struct wire_received received[WIRE_RECEIVE_MAX];
	unsigned int n_ops;
	struct aead_op ops[AEAD_MAX_BATCH];
	struct inbound inbound[AEAD_MAX_BATCH];
	struct inner_source source;
};

struct worker {
	struct datapath *datapath;
	unsigned int id;
	pthread_t thread;
	bool started;
	_Atomic bool stopping; /* set by the owner */
	int epoll;
	int kick; /* eventfd; written by any thread */

	struct wire *wire; /* (rcu) replaced by the owner; NULL: device is down */
	/* (rcu) On the port before the last change: peers may still send there. Receives only. */
	struct wire *old_wire;
	struct wire_xdp *queue; /* (rcu) used by the wire; belongs to the owner */

	struct xsk *xsk;
	struct inject *inject;
	struct aead *aead;
	struct join *join;
	struct wire_buffers *buffers;
	struct message_ring *messages; /* to the handshake thread */
	bool forwarded;		   /* has messages that the handshake thread was not woken for */
	struct pv_counters *count; /* our slot of the map */
	struct stage stage;
	struct egress egress;
	struct ingress ingress;
	uint64_t now;		     /* monotonic ns; read once per pass */
	uint64_t statistics_read_at; /* when AF_XDP's own statistics were last read */
	uint64_t icmp_tokens_at;
	unsigned int icmp_tokens;
	/* Sources that epoll reported and that were not read empty since. */
	bool ready[WIRE_PARTS], old_wire_ready, kicked;
	bool more_to_read; /* the last pass left messages in a socket */
};

struct datapath {
	struct datapath_params params;
	struct inject_target tunnel;
	_Atomic bool answer, low_latency;
	struct hold hold;      /* of the workers */
	_Atomic uint64_t spin; /* ns that a worker without work polls before it sleeps */
	struct pv_counters *counters;
	unsigned int first_queue; /* of the inner end: worker i has queue first_queue + i */
	/* Events about our own sessions: workers write [1], the handshake thread reads [0]. A
	 * worker raises signals_sent after it wrote one. */
	int signals[2];
	_Atomic uint32_t signals_sent;
	uint32_t signals_read;		/* handshake thread only */
	int messages_wait;		/* eventfd: workers' rings hold messages from outside */
	_Atomic bool messages_notified; /* it was written, and not read yet */
	/* By worker. When a worker is removed its ring stays, since it may still hold messages. */
	struct message_ring *rings[PV_MAX_WORKERS];
	_Atomic unsigned int n_rings;
	unsigned int next_ring; /* handshake thread only */
	int events;		/* epoll over signals[0] and messages_wait */
	struct cds_lfht *keypairs;
	struct remote **remotes; /* (rcu) by slot, PV_MAX_PEERS of them */
	/* workers[0] to workers[n_workers - 1] exist. A removed one is freed after a grace
	 * period. */
	_Atomic unsigned int n_workers;
	struct worker *workers[PV_MAX_WORKERS];
};

int worker_new(struct datapath *d, unsigned int id, struct worker **out);
/* Stops the thread and frees the worker. */
void worker_free(struct worker *w);
/* Owner: does anything wait in its AF_XDP socket (packets), or in its wire (messages)? */
bool worker_packets_waiting(const struct worker *w);
bool worker_messages_waiting(const struct worker *w);
/* Owner: uses `wire` from now on (NULL: none), and still receives from `old_wire` (NULL: none).
 * Other wires that it used may be closed after a grace period. */
void worker_set_wire(struct worker *w, struct wire *wire, struct wire *old_wire);
/* Owner, while the workers are held: gives them the UDP sockets of the process before, if the device is
 * up (datapath_params.handed). 0 or -errno. */
int workers_adopt_wires(struct datapath *d);
/* Owner: uses this queue of the uplink, beside the wire's sockets, from now on (NULL: none). The
 * queue before may be closed after a grace period. */
void worker_set_queue(struct worker *w, struct wire_xdp *queue);

/* Not atomic: only this worker writes its slot of the counters. */
static inline void histogram_add(struct pv_histogram *h, uint32_t value)
{
	const unsigned int bits = value > 1 ? 32 - (unsigned int)__builtin_clz(value - 1) : 0;

	h->sum += value;
	h->bucket[bits < PV_BUCKETS ? bits : PV_BUCKETS - 1]++;
}

/* Each handles at most one batch. False: there was nothing to do. RCU read side. */
bool egress_poll(struct worker *w);
bool ingress_poll(struct worker *w);
/* Sends the staged packets that have a session now; drops those whose peer gave up or is gone. */
void egress_unstage(struct worker *w);
/* The worker ends: drops all staged packets. */
void egress_end(struct worker *w);

/* Sends an event to the handshake thread. False: its queue is full. */
bool worker_signal(struct worker *w, enum datapath_event_type type, const struct remote *r,
		   uint32_t index);
/* Puts a handshake message into the ring for the handshake thread, or drops and counts it. */
void worker_forward(struct worker *w, const struct wire_received *from, const uint8_t *message,
		    size_t len);
/* Wakes the handshake thread once for all messages forwarded in this pass. */
void worker_notify_forwarded(struct worker *w);
/* Packets are waiting for a session, or one should be renewed. */
void worker_want_session(struct worker *w, struct remote *r);

#endif
