/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path of one device: its workers, their sockets, and the tables that they read. It knows
 * remotes, keypairs and allowed IPs. It does not know handshakes, names or configuration.
 *
 * Threads: datapath_new() to datapath_free(), datapath_listen() and the setters are for the owner
 * (one thread at a time: the device lock). Workers report to the owner with events. The owner's
 * handshake thread waits on datapath_event_fd() and reads them with datapath_event_read().
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
#include "wire/wire.h"
#include "wire/wire_open.h"
#include "wire/wire_xdp.h"
#include "wire/xsk.h"

struct datapath;

/* The sockets of a worker, on their way to another process. */
struct datapath_handed {
	struct xsk_handed xsk;
	struct wire_handed wire;
};

struct datapath_params {
	struct programs *programs; /* loaded and attached; has the XSKMAP and the counters */
	int inner_ifindex;	   /* pv4.xsk: AF_XDP sockets and injection */
	unsigned int workers;	   /* 1..PV_MAX_WORKERS; each has a queue of the inner end */
	/* If queue 0 is still in use, the workers' queues begin here. 0: there are no other
	 * queues. */
	unsigned int other_queue;
	bool superpackets; /* true: XDP_USE_SG chains; false: one frame per packet */
	uint32_t mtu;	   /* of the tunnel device, bytes */
	uint8_t mac[6];	   /* of the tunnel device */
	const char *aead;  /* backend; NULL: the fastest */
	const struct allowed_ips *allowed_ips;
	/* Send ICMP errors to the senders of packets that cannot go. False: not before
	 * datapath_enable_icmp_answers(). */
	bool answer;
	/* Take over these sockets of another process, one set a worker, instead of opening some;
	 * and start with the workers held. NULL: neither. */
	const struct datapath_handed *handed;
	unsigned int n_handed;
	unsigned int first_queue; /* with `handed`: the queue of its first set */
};

enum datapath_event_type {
	DATAPATH_HANDSHAKE_MESSAGE, /* initiation, response or cookie reply arrived */
	DATAPATH_WANT_SESSION,	    /* slot: packets are staged, or a session should be renewed */
	DATAPATH_CONFIRMED,	    /* slot, index: a message came in on a `next` keypair */
	DATAPATH_WATCH_TIMERS,	    /* slot: a report to timers.h returned true */
};

struct datapath_event {
	enum datapath_event_type type;
	uint32_t slot;
	uint16_t generation;
	uint32_t index;			  /* CONFIRMED: local index of the keypair */
	struct handshake_message message; /* HANDSHAKE_MESSAGE */
};

/* Starts the workers. They receive from the tunnel device at once, and from the wire after
 * datapath_listen(). 0 or -errno. */
int datapath_new(const struct datapath_params *params, struct datapath **out);
/* Stops and joins the workers, closes the sockets, drops staged packets. Remove all remotes and
 * keypairs first. */
void datapath_free(struct datapath *d);

/* The queue of the first worker. Worker i has queue datapath_first_queue() + i. */
unsigned int datapath_first_queue(const struct datapath *d);

/* Adds workers until there are n. After this the caller may steer packets to them. 0 or -errno; on
 * error no worker is added. */
int datapath_workers_add(struct datapath *d, unsigned int n);
/* Removes the workers from number n on. First stop steering packets to them. Packets that they have
 * already are handled before they end. */
void datapath_workers_remove(struct datapath *d, unsigned int n);

/* Readable while events wait (level-triggered). Owned by the datapath. */
int datapath_event_fd(const struct datapath *d);
/* Reads the next event. Events about our own sessions come before handshake messages from outside,
 * so that a flood of messages cannot delay a peer's session. 0, or -EAGAIN: no event. */
int datapath_event_read(struct datapath *d, struct datapath_event *out);
/* The number of handshake messages that wait: for the under-load decision. No system call. */
unsigned int datapath_messages_waiting(struct datapath *d);

/* (Re)opens the UDP sockets of all workers on `port` (0: any; the choice is stored in *port), with
 * `fwmark` on them. On -EADDRINUSE and every other error the old sockets stay. */
int datapath_listen(struct datapath *d, uint16_t *port, uint32_t fwmark);
/* After a change of port, messages to the old port are received until this closes it. */
void datapath_close_old_port(struct datapath *d);
bool datapath_has_old_port(const struct datapath *d);
/* Changes the mark of the open sockets. */
int datapath_set_fwmark(struct datapath *d, uint32_t fwmark);
/* Closes the wire (device down). */
void datapath_unlisten(struct datapath *d);

/* --- queues of the uplink, beside the UDP sockets (wire_xdp.h) --- */

struct datapath_uplink {
	int ifindex;
	bool zero_copy; /* true: fails if the driver cannot do it; false: the kernel copies */
	uint32_t fwmark;
	int path_missing_fd; /* eventfd; workers write it when a peer has no path */
};

/* Opens queue i of the uplink for worker i, until there are no more queues, and writes their
 * sockets into the map of the program `divert`. Messages arrive when that program is attached. The
 * queues stay open when the UDP sockets are closed or reopened. The number of queues, or -errno if
 * not even one could be opened. */
int datapath_queues_open(struct datapath *d, const struct datapath_uplink *u);
bool datapath_queues_waiting(const struct datapath *d); /* messages wait in a queue */
void datapath_queues_close(struct datapath *d);
/* Call these two when the MTU or MAC address of the tunnel device has changed. */
void datapath_set_mtu(struct datapath *d, uint32_t mtu);
void datapath_set_mac(struct datapath *d, const uint8_t mac[6]);
/* Workers run before other threads (on), or like other threads (off): see scheduling.h. */
void datapath_set_low_latency(struct datapath *d, bool on);
/* Send ICMP errors from now on: see datapath_params. */
void datapath_enable_icmp_answers(struct datapath *d);
bool datapath_answers(const struct datapath *d);

/* --- handing over to another process --- */

/* Waits until no worker touches a socket, a ring, a session or a counter. Thread: the owner, offline for RCU. */
void datapath_hold(struct datapath *d);
/* Ends the hold. Workers first look at their staged packets. */
void datapath_release(struct datapath *d);
/* While the workers are held: the sockets of worker i. They stay its own (xsk_hand()). */
void datapath_hand(struct datapath *d, unsigned int i, struct datapath_handed *out);
/* While the workers are held: the queue of the uplink that worker i has. False: it has none. */
bool datapath_hand_queue(struct datapath *d, unsigned int i, struct wire_xdp_handed *out);
/* While the workers are held: gives worker i a queue that another process opened. Of `u`, ifindex and
 * path_missing_fd count. The descriptors are its own from then on. 0 or -errno. */
int datapath_adopt_queue(struct datapath *d, unsigned int i, const struct datapath_uplink *u,
			 const struct wire_xdp_handed *handed);
/* A packet that a worker has staged. */
struct datapath_staged {
	uint32_t slot;
	uint16_t generation;
	uint32_t n_frames;
	uint64_t offsets[XSK_MAX_FRAMES]; /* in the memory of the AF_XDP socket */
	uint32_t lengths[XSK_MAX_FRAMES]; /* bytes */
};
/* While the workers are held: calls `each` for each staged packet of worker i, oldest first. */
void datapath_staged_each(struct datapath *d, unsigned int i,
			  void (*each)(const struct datapath_staged *s, void *context),
			  void *context);
/* While the workers are held: stages a packet that the process before had staged. -EINVAL: its
 * frames are not in the socket's memory. If its remote is gone, the packet is dropped. */
int datapath_stage(struct datapath *d, unsigned int i, const struct datapath_staged *s);

/* Remotes by slot, below PV_MAX_PEERS. A withdrawn remote may be freed after synchronize_rcu(). */
void datapath_remote_add(struct datapath *d, struct remote *r);
void datapath_remote_remove(struct datapath *d, struct remote *r);

/* Makes a keypair receivable under its local index. -EEXIST: index taken. */
int datapath_keypair_add(struct datapath *d, struct keypair *k);
void datapath_keypair_remove(struct datapath *d, struct keypair *k);
/* The keypair of a local index, or NULL. Inside an RCU read side. */
struct keypair *datapath_keypair_find(struct datapath *d, uint32_t index);
/* Is a local index in use? For choosing a new one. */
bool datapath_index_used(struct datapath *d, uint32_t index);

/* Wakes all workers, so that they check their staged packets again: a session was established, or a
 * stage_epoch was raised. Any thread. */
void datapath_kick(struct datapath *d);

/* Sends one message outside the workers (handshake thread), from the source address in `to`. If the
 * kernel refuses that source, it sends again from an address that the kernel chooses. `ecn_dscp` is
 * the outer TOS byte. 0 or -errno (-EDESTADDRREQ: no endpoint; -ENETDOWN: not listening). Any
 * registered thread. */
int datapath_send(struct datapath *d, const struct endpoint *to, const void *message, size_t len,
		  uint8_t ecn_dscp);
/* Sends n messages of `size` bytes each, back to back in memory; n is at most WIRE_MAX_SEGMENTS.
 * Uses one system call if the kernel can do that; else as datapath_send(). The number of messages
 * sent. */
unsigned int datapath_send_run(struct datapath *d, const struct endpoint *to, const void *messages,
			       unsigned int n, uint16_t size, uint8_t ecn_dscp);
/* Sends an empty transport message and counts it as the peer's traffic. 0 or -errno (-ENOKEY: no
 * keypair can send). */
int datapath_keepalive(struct datapath *d, struct remote *r);

/* Sleeps for `ns` nanoseconds, or less if a signal arrives. The thread is offline for RCU
 * meanwhile, so it does not delay grace periods. Registered threads, outside of read sides. */
void datapath_sleep(uint64_t ns);

/* The name of the AEAD backend in use, for status and doctor. */
const char *datapath_aead(const struct datapath *d);

#endif
