/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WireGuard device: identity, peers, sessions, tunnel device and data path put together. Driven
 * by the wg(8) socket (wg_socket.h) and by the node agent alike, through the same configuration.
 *
 * Threads: the control thread (an event_base of the caller's) makes and frees devices and applies
 * configuration; the device runs its own handshake thread and the data path's workers. One lock
 * lies between control and handshake thread; workers never take it.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "datapath/allowed_ips.h"
#include "device/handshake_counters.h"
#include "device/latency.h"
#include "wire/endpoint.h"
#include "wire/wire_mode.h"

#include "protocol/messages.h"

struct device;
struct event_base;

struct device_params {
	struct event_base *base; /* the control thread's loop */
	const char *name;	 /* of the tunnel device */
	const char *inner_name;	 /* of the inner end; NULL: derived from name */
	unsigned int workers;	 /* 0: one less than cores, 1 to PV_MAX_WORKERS */
	unsigned int queues;	 /* room for so many workers later; less than `workers`: no more */
	/* Twice the queues: after a kill, the next process takes those that the kernel has not yet
	 * to give back. Not for a device that may be moved to another network namespace: without
	 * classify, which stays behind, the kernel also sends to queues that nobody serves. */
	bool second_half;
	uint32_t mtu;	     /* 0: 1420 */
	bool per_packet;     /* no superpackets, even where the kernel can */
	const char *aead;    /* NULL: the fastest */
	enum wire_mode wire; /* see device_set_wire() */
	const char *uplink;  /* for `xdp`; NULL: the device by which the first peer is reached */
	bool low_latency;    /* see device_set_low_latency() */
	bool adopt;	     /* take over a tunnel device that a dead process left */
	/* The tunnel device is gone: the owner should free. */
	void (*ended)(struct device *d, void *context);
	/* It bears another name now: device_name(). */
	void (*renamed)(struct device *d, void *context);
	/* Sessions came to stand since the last call; device_report() tells which. NULL: not wanted.
	 */
	void (*sessions)(struct device *d, void *context);
	void *context;
};

/* Creates (or adopts) the tunnel device, loads programs, starts threads. One log line on failure;
 * nothing stays behind. */
int device_new(const struct device_params *params, struct device **out);
/* Stops. `remove`: the tunnel device, pins and socket go too; else they stay and packets into the
 * tunnel are dropped (fail closed). */
void device_free(struct device *d, bool remove);

/* So many workers from now on (as in the parameters), without losing a packet. -ENOSPC: the pair has
 * not so many queues. */
int device_set_workers(struct device *d, unsigned int workers);

const char *device_name(const struct device *d); /* follows renames */
/* Of lock, pins and socket: the device's own, but where somebody else serves a device of that name
 * (in another network namespace) the one it had before. */
const char *device_served_name(const struct device *d);
int device_ifindex(const struct device *d); /* of the tunnel device */

/* The tunnel device is gone (params.ended was called): nothing is left to do but device_free(). */
bool device_ended(const struct device *d);
/* A living process serves a device of that name. */
bool device_is_served(const char *name);

/* Looks whether programs, pins, inner end and offloads are as they were made, and makes them so
 * again. How many had to be, or -errno. */
int device_repair(struct device *d);

/* How messages get to the wire from now on: through UDP sockets; through AF_XDP on the device
 * `uplink` (0: as in params) beside them; or so where the driver has zero-copy. Done soon after, on
 * another thread; device_report() tells what became of it, and why. No packet is lost by it. */
void device_set_wire(struct device *d, enum wire_mode wire, int uplink);

/* From now on packets go soon rather than cheaply, or no longer (latency.h). What of that cannot be
 * had is logged, and device_report() tells. */
void device_set_low_latency(struct device *d, bool on);

/* --- configuration: all of it or nothing --- */

enum device_set {
	DEVICE_SET_PRIVATE_KEY = 1 << 0,
	DEVICE_SET_LISTEN_PORT = 1 << 1,
	DEVICE_SET_FWMARK = 1 << 2,
	DEVICE_REPLACE_PEERS = 1 << 3,
};

enum peer_set {
	PEER_REMOVE = 1 << 0,
	PEER_UPDATE_ONLY = 1 << 1,
	PEER_SET_PRESHARED_KEY = 1 << 2,
	PEER_SET_ENDPOINT = 1 << 3,
	PEER_SET_KEEPALIVE = 1 << 4,
	PEER_REPLACE_ALLOWED_IPS = 1 << 5,
};

struct peer_config {
	unsigned int set; /* enum peer_set */
	uint8_t public_key[KEY_SIZE];
	uint8_t preshared_key[KEY_SIZE];
	struct endpoint endpoint;
	uint16_t keepalive; /* seconds; 0: off */
	struct allowed_change {
		struct cidr cidr;
		bool remove;
	} * allowed;
	size_t n_allowed;
};

struct device_config {
	unsigned int set;	       /* enum device_set */
	uint8_t private_key[KEY_SIZE]; /* all zero: none */
	uint16_t listen_port;	       /* 0: any */
	uint32_t fwmark;	       /* 0: none */
	struct peer_config *peers;
	size_t n_peers;
};

/* 0 or -errno: -EADDRINUSE, -ENOSPC, -ENOMEM, -EINVAL. Unless 0, nothing changed; but where the
 * kernel has no memory for a map's entry, the rest of the request is done. */
int device_configure(struct device *d, const struct device_config *config);
void device_config_fini(struct device_config *config); /* frees the arrays, wipes the keys */
/* How often it was configured: tells the agent that somebody else did. */
uint64_t device_version(struct device *d);

/* --- looking at it --- */

#define WIRE_REASON_TEXT 160

struct device_view {
	uint8_t private_key[KEY_SIZE]; /* wipe after use */
	uint8_t public_key[KEY_SIZE];
	bool has_key;
	uint16_t listen_port;
	uint32_t fwmark;
	size_t n_peers;
	const char *aead;
	bool superpackets;
	unsigned int workers;
	uint32_t mtu;
	const char *wire;		    /* "socket" or "xdp" */
	bool wire_refused;		    /* xdp is wanted, and cannot be */
	char wire_reason[WIRE_REASON_TEXT]; /* how, or why not xdp */
	bool low_latency;
	char latency_missing[LATENCY_MISSING_TEXT]; /* what of it cannot be had; "": nothing */
	uint64_t handshakes[HANDSHAKE_COUNTS];
};

struct peer_view {
	uint8_t public_key[KEY_SIZE];
	uint8_t preshared_key[KEY_SIZE]; /* wipe after use */
	bool has_preshared_key;
	struct endpoint endpoint; /* AF_UNSPEC: none */
	uint16_t keepalive;
	struct timespec last_handshake; /* Unix time; zero: never */
	uint64_t sessions;		/* that were agreed on since the peer was made */
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
	uint64_t session_age_ns; /* UINT64_MAX: no session */
	uint32_t staged;	 /* packets that wait for a session */
	unsigned int attempts;	 /* initiations repeated because nobody answered */
	const struct cidr *allowed;
	size_t n_allowed;
};

/* Calls back, without the lock; the views live for the duration of the call. Control thread. */
void device_report(struct device *d, void (*device)(const struct device_view *, void *context),
		   void (*peer)(const struct peer_view *, void *context), void *context);
/* Start a handshake with a peer, now or when the device is up, if it has no fresh session, or
 * `anyway`. -ENOENT: no such peer. */
int device_start_handshake(struct device *d, const uint8_t public_key[KEY_SIZE], bool anyway);

/* The counters of programs and workers, summed over slots. */
struct pv_counters;
void device_counters(struct device *d, struct pv_counters *sum);
/* Those of one worker. */
void device_worker_counters(struct device *d, unsigned int worker, struct pv_counters *out);

#endif
