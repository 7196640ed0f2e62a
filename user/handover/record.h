/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process hands to the one that takes its devices over: everything of them but the sockets,
 * which go beside it as descriptors. It holds keys, so it lies in locked memory and never in a
 * file, and both sides wipe it. Pure.
 *
 * It has two versions. The FORMAT covers devices, peers and staged packets; it changes only by new
 * fields at the end of a block, which older readers skip. A record of another format is refused as
 * a whole. The STATE is what cannot be had again otherwise: sessions, handshakes, timers, cookies.
 * A reader that does not know its version skips it and makes new handshakes. Whoever changes a
 * field of the state raises its version.
 */
#ifndef HANDOVER_RECORD_H
#define HANDOVER_RECORD_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"
#include "datapath/datapath.h"
#include "podveil/counters.h"
#include "protocol/cookie.h"
#include "protocol/noise.h"
#include "protocol/replay.h"
#include "protocol/timers.h"
#include "wire/endpoint.h"

#define RECORD_FORMAT 1
#define RECORD_STATE  1

#define RECORD_MAX_DEVICES 4
#define RECORD_BUILD	   64
#define RECORD_OWNER	   64
#define RECORD_COUNTS	   64 /* room for the device's counts of handshakes */

/* A keypair. The counter is the next one to use: whoever wrote the record has stopped sending. */
struct record_session {
	bool present, initiator, renewal_requested;
	uint8_t trust; /* enum keypair_trust */
	uint8_t sending_key[KEY_SIZE], receiving_key[KEY_SIZE];
	uint32_t local_index, remote_index;
	uint64_t birth; /* monotonic ns */
	uint64_t sending_counter;
	struct replay replay;
};

enum { RECORD_CURRENT, RECORD_PREVIOUS, RECORD_NEXT, RECORD_SESSIONS };

/* Times are monotonic ns of this machine. */
struct record_state {
	struct noise_handshake handshake; /* without remote_static and preshared_key: the peer's */
	struct cookie_jar jar;		  /* without its keys, which follow from the peer's */
	uint64_t unanswered_since, unacknowledged_since, last_traversal;
	bool more_unacknowledged;
	uint64_t retransmit_at, zero_keys_at, jitter;
	uint32_t attempts;
	uint64_t last_sent_handshake;
	bool initiation_pending, handshake_wanted;
	uint32_t pending_index;
	struct record_session sessions[RECORD_SESSIONS];
};

struct record_peer {
	uint8_t public_key[KEY_SIZE], preshared_key[KEY_SIZE];
	struct endpoint endpoint;
	uint16_t keepalive; /* seconds */
	uint32_t slot;	    /* frames that wait in the rings name peers by slot and generation */
	uint16_t generation;
	uint64_t last_handshake, last_handshake_ns; /* Unix time */
	uint64_t sessions_made;
	uint32_t n_allowed;
	struct cidr *allowed;
	struct record_state *state; /* NULL: of a version that we do not know */
};

struct record_worker {
	/* Descriptors: those of the AF_XDP socket and its memory, then the UDP sockets. */
	bool has_udp4, has_udp6;
	uint32_t dropped4, dropped6;
	bool has_queue; /* of the uplink: two more descriptors, of its socket and memory */
	struct wire_xdp_handed *queue;
	uint32_t n_staged;
	struct datapath_staged *staged;
};

struct record_device {
	char name[IF_NAMESIZE], inner_name[IF_NAMESIZE], served_name[IF_NAMESIZE];
	char owner[RECORD_OWNER]; /* whose device it is, for processes with several */
	uint32_t tunnel_ifindex, inner_ifindex;
	bool in_other_namespace, superpackets, up, low_latency, second_half;
	uint8_t mac[6];
	uint32_t mtu, queues, room, first_queue;
	uint8_t wire; /* enum wire_mode */
	uint32_t wire_ifindex;
	/* The queues of the uplink are open; the descriptor of the link of `divert` is the last of the
	 * device's. */
	bool uplink_open, uplink_zero_copy, uplink_generic;
	uint32_t uplink_ifindex;
	bool has_key;
	uint8_t private_key[KEY_SIZE];
	uint16_t listen_port;
	uint32_t fwmark;
	uint64_t version; /* how often it was configured */
	bool answers;	  /* ICMP errors */
	uint32_t n_counts;
	uint64_t counts[RECORD_COUNTS];
	uint32_t n_slots;
	uint16_t *generations; /* of each slot, also of free ones */
	uint32_t n_workers;
	struct record_worker workers[PV_MAX_WORKERS];
	uint32_t n_peers;
	struct record_peer *peers; /* in the order in which wg(8) shows them */
	/* State of the device. */
	uint8_t cookie_secret[KEY_SIZE];
	uint64_t cookie_secret_birth;
	bool has_wg_socket; /* one descriptor more */
};

struct handover_record {
	uint16_t state_version;
	char build[RECORD_BUILD]; /* of the writer */
	uint32_t n_devices;
	struct record_device *devices;
};

/* The length of what handover_record_write() writes. Both read `r` only. */
size_t handover_record_size(const struct handover_record *r);
/* 0, or -ENOSPC. */
int handover_record_write(const struct handover_record *r, uint8_t *out, size_t room);
/* 0; or -EPROTONOSUPPORT, -EPROTO or -ENOMEM, with *problem set to a static text. Then *out needs no
 * handover_record_fini(). */
int handover_record_read(const uint8_t *bytes, size_t length, struct handover_record *out,
			 const char **problem);
/* The number of descriptors that belong to the devices. */
size_t handover_record_descriptors(const struct handover_record *r);
/* Wipes and frees. */
void handover_record_fini(struct handover_record *r);

#endif
