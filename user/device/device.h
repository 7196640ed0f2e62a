/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WireGuard device: identity, peers, sessions, tunnel device and data path. The wg(8) socket
 * (wg_socket.h) and the node agent configure it with the same functions.
 *
 * Threads: the control thread (it runs the caller's event_base) makes and frees devices and applies
 * configuration. Each device has its own handshake thread and the data path's workers. Control and
 * handshake thread share one lock; workers never take it.
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
	unsigned int workers;	 /* 0: cores - 1, but at least 1 and at most PV_MAX_WORKERS */
	unsigned int queues;	 /* the most workers later; below `workers`: same as `workers` */
	/* Make twice as many queues. After a process was killed, the kernel holds its queues for a
	 * while; the next process then uses the other half. Not for a device that may be moved to
	 * another network namespace: the program classify does not move with it, and without
	 * classify the kernel also sends to queues that no worker serves. */
	bool second_half;
	uint32_t mtu;	     /* 0: 1420 */
	bool per_packet;     /* no superpackets, even if the kernel supports them */
	const char *aead;    /* NULL: the fastest */
	enum wire_mode wire; /* see device_set_wire() */
	const char *uplink;  /* for `xdp`; NULL: the device by which the first peer is reached */
	bool low_latency;    /* see device_set_low_latency() */
	bool adopt;	     /* take over a tunnel device that a dead process left */
	/* The three callbacks run on the control thread. */
	/* The tunnel device is gone. The owner should call device_free(), but not from here. */
	void (*ended)(struct device *d, void *context);
	/* The tunnel device has a new name: device_name(). */
	void (*renamed)(struct device *d, void *context);
	/* Sessions were established since the last call; device_report() shows them. NULL: no
	 * calls. */
	void (*sessions)(struct device *d, void *context);
	void *context;
};

/* Creates (or adopts) the tunnel device, loads programs, starts threads. 0 or -errno. A failure is
 * logged; a device that was created is removed, one that was adopted stays. */
int device_new(const struct device_params *params, struct device **out);
/* Stops and frees. `remove`: also removes the tunnel device and the pins. Else they stay, and
 * packets into the tunnel are dropped (fail closed). */
void device_free(struct device *d, bool remove);

/* Changes the number of workers (0 as in device_params) without losing a packet. 0 or -errno;
 * -ENOSPC: the pair has too few queues. */
int device_set_workers(struct device *d, unsigned int workers);
unsigned int device_workers(const struct device *d); /* now */

const char *device_name(const struct device *d); /* follows renames */
/* The name of lock, pins and socket. Usually the device's name. But after a rename to a name that
 * another podveil serves (in another network namespace), it is the old name. */
const char *device_served_name(const struct device *d);
int device_ifindex(const struct device *d); /* of the tunnel device */

/* The tunnel device is gone: only device_free() may follow. */
bool device_ended(const struct device *d);
/* Does a running process serve a device of that name? */
bool device_is_served(const char *name);

/* Checks programs, pins and inner end, and restores what others have changed. The number of things
 * restored, or -errno. */
int device_repair(struct device *d);

/* Sets how messages are sent to the network: through UDP sockets; also through AF_XDP on the device
 * `uplink` (0: as before); or through AF_XDP only if the driver has zero-copy. The handshake thread
 * does it soon after; device_report() shows the result and the reason. No packet is lost. */
void device_set_wire(struct device *d, enum wire_mode wire, int uplink);

/* Switches low latency on or off (latency.h). If the system does not allow a part of it, that is
 * logged, and device_report() shows it. */
void device_set_low_latency(struct device *d, bool on);

/* --- configuration: a request is applied as a whole, or not at all --- */

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

/* 0 or -errno: -EADDRINUSE, -ENOSPC, -ENOMEM, -EINVAL. On error nothing has changed, with one
 * exception: if an allowed IP cannot be added for lack of memory, the rest of the request is
 * done. */
int device_configure(struct device *d, const struct device_config *config);
void device_config_fini(struct device_config *config); /* frees the arrays, wipes the keys */
/* How often it was configured. With this the agent notices that another program configured it. */
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
	bool wire_refused;		    /* xdp is set, but cannot be used */
	char wire_reason[WIRE_REASON_TEXT]; /* details of xdp, or why it is not used */
	bool low_latency;
	char latency_missing[LATENCY_MISSING_TEXT]; /* the parts that are not allowed; "": none */
	uint64_t handshakes[HANDSHAKE_COUNTS];
};

struct peer_view {
	uint8_t public_key[KEY_SIZE];
	uint8_t preshared_key[KEY_SIZE]; /* wipe after use */
	bool has_preshared_key;
	struct endpoint endpoint; /* AF_UNSPEC: none */
	uint16_t keepalive;
	struct timespec last_handshake; /* Unix time; zero: never */
	uint64_t sessions;		/* established since the peer was made */
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
	uint64_t session_age_ns; /* UINT64_MAX: no session */
	uint32_t staged;	 /* packets that wait for a session */
	unsigned int attempts;	 /* initiations repeated because nobody answered */
	const struct cidr *allowed;
	size_t n_allowed;
};

/* Calls `device` once and then `peer` for each peer, without the lock. The views are valid during
 * the call only. Control thread. */
void device_report(struct device *d, void (*device)(const struct device_view *, void *context),
		   void (*peer)(const struct peer_view *, void *context), void *context);
/* Starts a handshake with a peer if it has no session that can send, or in any case if `anyway`. If
 * the device is down, the handshake starts when it goes up. -ENOENT: no such peer. */
int device_start_handshake(struct device *d, const uint8_t public_key[KEY_SIZE], bool anyway);

/* The counters of programs and workers, summed over slots. */
struct pv_counters;
void device_counters(struct device *d, struct pv_counters *sum);
/* The counters of one worker. */
void device_worker_counters(struct device *d, unsigned int worker, struct pv_counters *out);

#endif
