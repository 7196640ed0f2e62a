/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path of one device: its workers, their sockets, and the tables that they read. Knows
 * remotes, keypairs and allowed IPs; does not know handshakes, names or configuration.
 *
 * Threads: datapath_new() to datapath_free(), datapath_listen() and the setters are for the owner
 * (one thread at a time: the device lock). Everything a worker must tell is an event that the
 * owner's handshake thread reads from datapath_event_fd().
 *
 * RCU is liburcu's QSBR flavour. Each thread that calls in here is registered with it
 * (rcu_register_thread()) and offline while it sleeps.
 */
#ifndef DATAPATH_DATAPATH_H
#define DATAPATH_DATAPATH_H

#include "datapath/allowed_ips.h"
#include "datapath/keypair.h"
#include "datapath/message_ring.h"
#include "datapath/remote.h"
#include "programs/loader.h"
#include "wire/endpoint.h"

struct datapath;

struct datapath_params {
	struct programs *programs; /* loaded and attached; has the XSKMAP and the counters */
	int inner_ifindex;	   /* pv4.xsk: AF_XDP sockets and injection */
	unsigned int workers;	   /* 1..PV_MAX_WORKERS; each has a queue of the inner end */
	/* Their queues begin here where queue 0 is not free yet; 0: nowhere else. */
	unsigned int other_queue;
	bool superpackets; /* XDP_USE_SG chains; else a packet a frame */
	uint32_t mtu;	   /* of the tunnel device ... */
	uint8_t mac[6];	   /* ... and its address */
	const char *aead;  /* backend; NULL: the fastest */
	const struct allowed_ips *allowed_ips;
	bool answer; /* ICMP to senders whose packets have no peer; else datapath_enable_icmp_answers() later */
};

enum datapath_event_type {
	DATAPATH_HANDSHAKE_MESSAGE, /* initiation, response or cookie reply arrived */
	DATAPATH_WANT_SESSION,	    /* slot: packets are staged, or a session should be renewed */
	DATAPATH_CONFIRMED,	    /* slot, index: a `next` keypair has a message, and sends */
	DATAPATH_WATCH_TIMERS,	    /* slot: timers.h: a report returned true */
};

struct datapath_event {
	enum datapath_event_type type;
	uint32_t slot;
	uint16_t generation;
	uint32_t index;			  /* CONFIRMED: local index of the keypair */
	struct handshake_message message; /* HANDSHAKE_MESSAGE */
};

/* Starts the workers (they receive from the tunnel at once; the wire is dead until a listen). */
int datapath_new(const struct datapath_params *params, struct datapath **out);
/* Stops and joins the workers, closes sockets, drops what is staged. Remotes and keypairs must have
 * been withdrawn before. */
void datapath_free(struct datapath *d);

/* The queue of the first worker; the others' follow. */
unsigned int datapath_first_queue(const struct datapath *d);

/* From as many workers as there are to n, which packets and messages may go to when this is done; all
 * or nothing. */
int datapath_workers_add(struct datapath *d, unsigned int n);
/* Down to n, which nothing is steered to any more. What has come already is handled before. */
void datapath_workers_remove(struct datapath *d, unsigned int n);

/* Readable while events wait (level-triggered). Owned by the datapath. */
int datapath_event_fd(const struct datapath *d);
/* The next event, those about our own sessions before handshake messages from outside, so that a
 * flood of the latter never keeps a peer from its session. 0, or -EAGAIN: none waits. */
int datapath_event_read(struct datapath *d, struct datapath_event *out);
/* Handshake messages that wait: for the under-load decision. Costs nothing. */
unsigned int datapath_messages_waiting(struct datapath *d);

/* (Re)opens the UDP sockets of all workers on `port` (0: any; the choice is stored in *port), with
 * `fwmark` on them. On -EADDRINUSE and every other error the old sockets stay. */
int datapath_listen(struct datapath *d, uint16_t *port, uint32_t fwmark);
/* What comes to the port before is received until this closes it. */
void datapath_close_old_port(struct datapath *d);
bool datapath_has_old_port(const struct datapath *d);
/* Changes the mark in place. */
int datapath_set_fwmark(struct datapath *d, uint32_t fwmark);
/* Closes the wire (device down). */
void datapath_unlisten(struct datapath *d);

/* --- queues of the uplink, beside the UDP sockets (wire_xdp.h) --- */

struct datapath_uplink {
	int ifindex;
	bool zero_copy; /* fails where the driver cannot; else the kernel copies */
	uint32_t fwmark;
	int path_missing_fd; /* eventfd that is written when somewhere a path is missing */
};

/* Worker i gets queue i, as far as there are queues to be had, and the program `divert` is told of
 * them; nothing comes in before that is attached. They stay, whatever happens to the UDP sockets.
 * How many, or why not even one. */
int datapath_queues_open(struct datapath *d, const struct datapath_uplink *u);
bool datapath_queues_waiting(const struct datapath *d); /* something was not received yet */
void datapath_queues_close(struct datapath *d);
/* The tunnel device has changed. */
void datapath_set_mtu(struct datapath *d, uint32_t mtu);
void datapath_set_mac(struct datapath *d, const uint8_t mac[6]);
/* Workers run before other threads from now on, or no longer (scheduling.h). */
void datapath_set_low_latency(struct datapath *d, bool on);
/* From now on senders are told that there is no peer for their packets. */
void datapath_enable_icmp_answers(struct datapath *d);

/* Remotes by slot, below PV_MAX_PEERS. A withdrawn remote may be freed after synchronize_rcu(). */
void datapath_remote_add(struct datapath *d, struct remote *r);
void datapath_remote_remove(struct datapath *d, struct remote *r);

/* Makes a keypair receivable under its local index. -EEXIST: index taken. */
int datapath_keypair_add(struct datapath *d, struct keypair *k);
void datapath_keypair_remove(struct datapath *d, struct keypair *k);
/* The keypair of a local index, or NULL. Inside an RCU read side. */
struct keypair *datapath_keypair_find(struct datapath *d, uint32_t index);
/* Is a local index in use? For choosing one. */
bool datapath_index_used(struct datapath *d, uint32_t index);

/* Wakes all workers so that they look at their staged packets again (a session stands, or the
 * stage_epoch was raised). Cheap; any thread. */
void datapath_kick(struct datapath *d);

/* Sends one message outside the workers (handshake thread): counts it, uses the sticky source and,
 * where the kernel refuses that source, the kernel's choice. `ecn_dscp` is the outer TOS byte.
 * 0 or -errno (-EDESTADDRREQ: no endpoint; -ENETDOWN: not listening). Any registered thread. */
int datapath_send(struct datapath *d, const struct endpoint *to, const void *message, size_t len,
		  uint8_t ecn_dscp);
/* Sends n messages of `size` bytes each, back to back and at most WIRE_MAX_SEGMENTS, in one system call
 * where the kernel can; else as datapath_send(). How many it took. */
unsigned int datapath_send_run(struct datapath *d, const struct endpoint *to, const void *messages,
			       unsigned int n, uint16_t size, uint8_t ecn_dscp);
/* An empty transport message over the keypair that sends. -ENOKEY: none that can send. */
int datapath_keepalive(struct datapath *d, struct remote *r);

/* Sleeps, or less where a signal comes. Whoever waits for a grace period does not wait for that.
 * Registered threads, outside of read sides. */
void datapath_sleep(uint64_t ns);

/* What is in use, for status and doctor. */
const char *datapath_aead(const struct datapath *d);

#endif
