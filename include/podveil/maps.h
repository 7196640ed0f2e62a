/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Keys and values of the pinned maps under /sys/fs/bpf/podveil/IFNAME/. Data layout only; the maps
 * themselves are declared in bpf/maps.h, and user/programs/tables.c writes them.
 */
#ifndef PODVEIL_MAPS_H
#define PODVEIL_MAPS_H

#include <linux/types.h>

#include "podveil/counters.h"

/* `peers`: hash, key = peer slot. For people, and for programs that read peer_counters. */
struct pv_peer {
	__u8 public_key[32];
	__u8 endpoint_address[16]; /* IPv4 as ::ffff:a.b.c.d; zero: none */
	__u16 endpoint_port;	   /* host byte order */
	__u16 generation;
	__u32 allowed_ips; /* number of allowed IPs */
};

/* `allowed_ips4`, `allowed_ips6`: LPM tries. */
struct pv_cidr4 {
	__u32 prefix_len;
	__u8 address[4];
};

struct pv_cidr6 {
	__u32 prefix_len;
	__u8 address[16];
};

struct pv_allowed {
	__u32 peer;	  /* slot */
	__u16 generation; /* copied into the stamp */
	__u16 reserved;
};

/* `peer_counters`: array, mmapable, key = peer slot. */
struct pv_peer_traffic {
	struct pv_peer_counters worker[PV_PEER_COUNTER_SLOTS];
};

/* `settings`: array of one. */
struct pv_settings {
	__u32 fwmark;	   /* on every outer packet; 0: none */
	__u32 fwmark_mask; /* the bits of it that we use */
	__u16 listen_port; /* host byte order */
	__u16 reserved;	   /* 0 */
	__u32 workers;
	__u32 queues;	   /* of the inner end; only the workers' queues have a socket */
	__u32 first_queue; /* the first worker's queue; the next workers use the next ones */
};

/* `divert_settings`: array of one. */
struct pv_divert_settings {
	__u32 largest; /* bytes; larger frames go to the kernel. 0: all do */
	__u16 port;    /* host byte order; the port of the data messages */
	__u8 mac[6];   /* of the uplink */
	__u8 generic;  /* attached in generic mode: superpackets arrive whole */
	__u8 reserved[3];
};

/* `local_addresses`: hash, key = an address of this machine, IPv4 as ::ffff:a.b.c.d. */
struct pv_address {
	__u8 bytes[16];
};

/* Queues of the inner end. Twice the workers: after a kill, the kernel holds the old process's
 * queues for a moment, and the new process uses the other half. */
#define PV_MAX_QUEUES (2 * PV_MAX_WORKERS)

#define PV_MAX_LOCAL_ADDRESSES 4096

#define PV_MAX_ALLOWED_IPS (1 << 18)
#define PV_MAX_PEERS	   (1 << 16)

#endif
