/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading, pinning and attaching the programs of one device. The objects are embedded in the binary
 * as libbpf skeletons. Owner: the control thread.
 *
 * Pins: maps under /sys/fs/bpf/podveil/IFNAME/. A bpffs is mounted on /sys/fs/bpf where none is.
 * Where that fails, everything works without pins and `pinned` says so. TC programs are attached
 * with clsact and stay when the process ends; so does the XDP program (fail closed): both are
 * attached by netlink and not by a link that dies with its owner.
 */
#ifndef PROGRAMS_LOADER_H
#define PROGRAMS_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "podveil/maps.h"

struct programs;

/* What this kernel can do for us. */
struct programs_features {
	bool btf;	   /* /sys/kernel/btf/vmlinux is there */
	bool tc;	   /* clsact and cls_bpf are there, or modules that can be loaded */
	bool superpackets; /* generic XDP hands on fragments (6.9), and TC sees the sk_buff (6.2) */
};
void programs_features(struct programs_features *out);

struct programs_params {
	const char *pin_name; /* directory below /sys/fs/bpf/podveil/; the device's name at start */
	/* Go on with the pinned programs and maps of a dead process, and count on where it ended.
	 * Peers and ranges are forgotten: slots may mean others now. */
	bool adopt;
	bool superpackets; /* load steer as xdp.frags */
};

/* Adopts, or loads and pins. One log line says what failed and what would be right; -EPERM (no CAP_BPF),
 * -ENOENT (no BTF), -ENOTSUP (kernel lacks a feature), -errno otherwise. Stale pins of a dead
 * process under the same name are replaced. */
int programs_load(const struct programs_params *params, struct programs **out);
/* Closes file descriptors; unpins where `unpin`. What is attached stays attached. */
void programs_free(struct programs *p, bool unpin);
/* Pins again what somebody unpinned. How many maps, or -errno. */
int programs_repin(struct programs *p);
/* Renames the pin directory along with the device. */
int programs_rename(struct programs *p, const char *pin_name);

/* classify on TC egress of the tunnel device, replacing an earlier one; nothing to do where it is there. Also in another network
 * namespace's device when the caller has entered it. */
int programs_attach_tunnel(struct programs *p, int tunnel_ifindex);
/* steer on XDP of the inner end, in SKB mode where `generic`. */
int programs_attach_inner(struct programs *p, int inner_ifindex, bool generic);
/* True while the program on that device is ours of this load. */
bool programs_attached_tunnel(struct programs *p, int tunnel_ifindex);
bool programs_attached_inner(struct programs *p, int inner_ifindex);

/* The AF_XDP socket `fd` receives from queue `queue`. */
int programs_set_socket(struct programs *p, unsigned int queue, int fd);
void programs_clear_socket(struct programs *p, unsigned int queue);

/* --- divert, on XDP of the uplink: see bpf/divert.c --- */

/* In force while *link is open: it goes with whoever holds it, and packets go to the kernel again.
 * -EBUSY or -EEXIST: another program is there. */
int programs_divert_attach(struct programs *p, int uplink_ifindex, bool generic, int *link);
/* The XDP program of a device that is not ours: its id and name; 0: none. */
uint32_t programs_xdp_attached(int ifindex, char name[16]);
int programs_write_divert_settings(struct programs *p, const struct pv_divert_settings *settings);
/* The AF_XDP socket for the messages that come by that queue of the uplink; fd -1: none. */
int programs_set_divert_socket(struct programs *p, unsigned int queue, int fd);
/* All addresses that messages may come to, in place of those before. */
int programs_write_divert_addresses(struct programs *p, const struct pv_address *all, size_t n);

/* Settings as the programs see them. */
int programs_write_settings(struct programs *p, const struct pv_settings *settings);

/* Counter memory, mapped for the life of `p`: PV_COUNTER_SLOTS. */
struct pv_counters *programs_counters(struct programs *p);

/* --- tables; see also maps.h of include/podveil --- */

/* Peer counters' memory for `slot`, PV_PEER_COUNTER_SLOTS entries; NULL where the map is too small.
 */
struct pv_peer_counters *programs_peer_counters(struct programs *p, uint32_t slot);
/* Makes room for `slots` peers; the map starts small and doubles. Growing moves the memory: `moved`
 * is called for every slot there was, and publishes the new address (the caller ignores unused
 * slots). Returns after a grace period, with what was counted meanwhile carried over exactly. 0 or
 * -errno, then nothing has changed. */
int programs_peer_grow(struct programs *p, uint32_t slots,
		       void (*moved)(void *context, uint32_t slot, struct pv_peer_counters *memory),
		       void *context);
int programs_peer_set(struct programs *p, uint32_t slot, const struct pv_peer *peer);
void programs_peer_clear(struct programs *p, uint32_t slot); /* also zeroes its counters */

int programs_allow4(struct programs *p, const struct pv_cidr4 *cidr, const struct pv_allowed *to);
int programs_allow6(struct programs *p, const struct pv_cidr6 *cidr, const struct pv_allowed *to);
int programs_disallow4(struct programs *p, const struct pv_cidr4 *cidr);
int programs_disallow6(struct programs *p, const struct pv_cidr6 *cidr);

#endif
