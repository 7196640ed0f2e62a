/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with one AF_XDP socket, one wire, one injection socket and memory of its
 * own. egress.c and ingress.c are the two ways of a packet through it; worker.c is its loop.
 *
 * Internal to the folder. Everything here belongs to the worker's thread, but what is marked.
 */
#ifndef DATAPATH_WORKER_H
#define DATAPATH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "crypto/aead.h"
#include "datapath/datapath.h"
#include "datapath/inject.h"
#include "datapath/stage.h"
#include "packet/cut.h"
#include "packet/join.h"
#include "wire/wire.h"
#include "wire/xsk.h"

/* Packets taken from AF_XDP at a time: enough for a full batch of small ones, and small enough that
 * what lies in a batch of superpackets stays in a 2 MiB L2 cache. */
#define EGRESS_BATCH 32

/* Cipher text of at least one superpacket at MTU 1280 behind whatever is there already. */
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

/* The last source address that was looked up, and whose it is. */
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
	_Atomic bool stopping; /* this one alone */
	int epoll;
	int kick; /* eventfd; written by any thread */

	struct wire *wire; /* (rcu) replaced by the owner; NULL: device is down */
	/* (rcu) On the port that we had before: peers may still send there. Receives only. */
	struct wire *old_wire;
	struct wire_xdp *queue; /* (rcu) lent to the wire; the owner's */

	struct xsk *xsk;
	struct inject *inject;
	struct aead *aead;
	struct join *join;
	struct wire_buffers *buffers;
	struct message_ring *messages; /* the handshake thread takes them out */
	bool forwarded;		       /* something is in it that nobody was told of */
	struct pv_counters *count;     /* our slot of the map */
	struct stage stage;
	struct egress egress;
	struct ingress ingress;
	uint64_t now;		     /* read once a pass */
	uint64_t statistics_read_at; /* when AF_XDP's own statistics were last read */
	uint64_t icmp_tokens_at;
	unsigned int icmp_tokens;
	/* What epoll said and was not yet exhausted. */
	bool ready[WIRE_PARTS], old_wire_ready, kicked;
	bool more_to_read; /* the last pass left messages in a socket */
};

struct datapath {
	struct datapath_params params;
	struct inject_target tunnel;
	_Atomic bool answer, low_latency;
	_Atomic uint64_t spin; /* ns that a worker without work looks for more before it sleeps */
	struct pv_counters *counters;
	unsigned int first_queue; /* of the inner end: worker i has queue first_queue + i */
	/* Workers write [1]: about our own sessions. Sent is counted behind each. */
	int signals[2];
	_Atomic uint32_t signals_sent;
	uint32_t signals_read;		/* the handshake thread's */
	int messages_wait;		/* eventfd: workers' rings hold messages from outside */
	_Atomic bool messages_notified; /* it was written, and not read yet */
	/* By worker. One that is removed leaves its ring behind, with what nobody has taken yet. */
	struct message_ring *rings[PV_MAX_WORKERS];
	_Atomic unsigned int n_rings;
	unsigned int next_ring; /* the handshake thread's */
	int events;		/* epoll over both */
	struct cds_lfht *keypairs;
	struct remote **remotes; /* (rcu) by slot, PV_MAX_PEERS of them */
	/* Below n_workers they are there; whoever goes stays for a grace period. */
	_Atomic unsigned int n_workers;
	struct worker *workers[PV_MAX_WORKERS];
};

int worker_new(struct datapath *d, unsigned int id, struct worker **out);
/* Stops the thread and frees. */
void worker_free(struct worker *w);
/* Owner: does something wait in its AF_XDP socket, or in the wire's sockets? */
bool worker_packets_waiting(const struct worker *w);
bool worker_messages_waiting(const struct worker *w);
/* Owner: another wire from now on (NULL: none), while the old one is received from or not. What is
 * neither may be closed after a grace period. */
void worker_set_wire(struct worker *w, struct wire *wire, struct wire *old_wire);
/* Owner: a queue of the uplink beside the wire's sockets from now on (NULL: none). The one before
 * may be closed after a grace period. */
void worker_set_queue(struct worker *w, struct wire_xdp *queue);

/* Writes our own slot: nobody else does. */
static inline void histogram_add(struct pv_histogram *h, uint32_t value)
{
	const unsigned int bits = value > 1 ? 32 - (unsigned int)__builtin_clz(value - 1) : 0;

	h->sum += value;
	h->bucket[bits < PV_BUCKETS ? bits : PV_BUCKETS - 1]++;
}

/* Each handles at most one batch and says whether there was anything. RCU read side. */
bool egress_poll(struct worker *w);
bool ingress_poll(struct worker *w);
/* Sends what is staged and can go; drops what no longer may wait. */
void egress_unstage(struct worker *w);
/* The worker ends: what still waits for a session is dropped, and no longer counts as waiting. */
void egress_end(struct worker *w);

/* Tells the handshake thread. False where it cannot take more now. */
bool worker_signal(struct worker *w, enum datapath_event_type type, const struct remote *r,
		   uint32_t index);
void worker_forward(struct worker *w, const struct wire_received *from, const uint8_t *message,
		    size_t len);
/* Once for all that was forwarded. */
void worker_notify_forwarded(struct worker *w);
/* Packets are waiting for a session, or one should be renewed. */
void worker_want_session(struct worker *w, struct remote *r);

#endif
