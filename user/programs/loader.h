/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads, pins and attaches the programs of one tunnel device. The objects are embedded in the
 * binary as libbpf skeletons. Owner: the control thread.
 *
 * Maps and programs are pinned under /sys/fs/bpf/podveil/IFNAME/. If /sys/fs/bpf has no bpffs, one
 * is mounted. Without pins everything else works; the log tells. The TC program (clsact) and the
 * XDP program of the inner end are attached by netlink, not by a link that ends with the process:
 * they stay, and block traffic instead of passing it unencrypted.
 */
#ifndef PROGRAMS_LOADER_H
#define PROGRAMS_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "podveil/maps.h"

struct programs;

/* What this kernel supports. */
struct programs_features {
	bool btf;	   /* /sys/kernel/btf/vmlinux is there */
	bool tc;	   /* clsact and cls_bpf are built in, loaded or loadable */
	bool superpackets; /* generic XDP has fragments (6.9), and TC sees the sk_buff (6.2) */
};
void programs_features(struct programs_features *out);

struct programs_params {
	const char *pin_name; /* directory below /sys/fs/bpf/podveil/: the device's name at start */
	/* Take over the pinned programs and maps of a dead process. Counters continue. Peers and
	 * ranges are deleted: a slot may now mean another peer. */
	bool adopt;
	/* The process that pinned them lives, and hands the device over: nothing of what it uses
	 * is changed, entries and counters stay, and nothing is pinned before
	 * programs_settle(). */
	bool live;
	bool superpackets; /* load the programs for superpackets (steer as xdp.frags) */
};

/* Adopts the programs, or loads and pins them, in place of the pins of a dead process. Returns 0 or
 * -errno. If the kernel refuses the programs, the log tells what is needed (capabilities, BTF,
 * kernel version). Failed pins are logged and are no error. */
int programs_load(const struct programs_params *params, struct programs **out);
/* Closes the descriptors; removes the pins if `unpin`. Attached programs stay attached. */
void programs_free(struct programs *p, bool unpin);
/* Were the pinned ones taken over? */
bool programs_adopted(const struct programs *p);
/* After loading with `live`: the process before has handed over. Pins what is not pinned yet. */
void programs_settle(struct programs *p, const char *pin_name);
/* Pins again what was unpinned. Returns the number of repaired pins, or -errno. */
int programs_repin(struct programs *p);
/* Renames the pin directory, after the device was renamed. */
int programs_rename(struct programs *p, const char *pin_name);

/* Attaches classify to TC egress of the tunnel device, in place of an earlier one. Does nothing if
 * it is attached already. For a device in another network namespace, the caller enters that
 * first. */
int programs_attach_tunnel(struct programs *p, int tunnel_ifindex);
/* Attaches steer to XDP of the inner end; `generic`: in SKB mode. */
int programs_attach_inner(struct programs *p, int inner_ifindex, bool generic);
/* Is the program on that device the one that we loaded or adopted? */
bool programs_attached_tunnel(struct programs *p, int tunnel_ifindex);
bool programs_attached_inner(struct programs *p, int inner_ifindex);

/* The AF_XDP socket `fd` receives the packets of this queue. */
int programs_set_socket(struct programs *p, unsigned int queue, int fd);
void programs_clear_socket(struct programs *p, unsigned int queue);

/* --- divert, on XDP of the uplink: see bpf/divert.bpf.c --- */

/* divert is attached while *link is open (the caller closes it). Afterwards the kernel gets all
 * packets again. -EBUSY or -EEXIST: another program is attached. */
int programs_divert_attach(struct programs *p, int uplink_ifindex, bool generic, int *link);
/* The id of the XDP program on a device that is not ours, and its name. 0: there is none. */
uint32_t programs_xdp_attached(int ifindex, char name[16]);
int programs_write_divert_settings(struct programs *p, const struct pv_divert_settings *settings);
/* The AF_XDP socket for messages that arrive on this queue of the uplink. fd -1: none. */
int programs_set_divert_socket(struct programs *p, unsigned int queue, int fd);
/* Sets the addresses to which messages may be addressed; replaces the earlier ones. */
int programs_write_divert_addresses(struct programs *p, const struct pv_address *all, size_t n);

/* The settings that the programs read. */
int programs_write_settings(struct programs *p, const struct pv_settings *settings);

/* The counters, PV_COUNTER_SLOTS of them, mapped as long as `p` exists. */
struct pv_counters *programs_counters(struct programs *p);

/* --- tables; see also include/podveil/maps.h --- */

/* The counters of peer `slot`: PV_PEER_COUNTER_SLOTS entries. NULL: the map has no such slot. */
struct pv_peer_counters *programs_peer_counters(struct programs *p, uint32_t slot);
/* Makes room for `slots` peers. The map starts small and doubles; this moves its memory. `moved` is
 * called for each old slot and publishes the new address (the caller ignores unused slots). Returns
 * after an RCU grace period; counts of the meantime are added, none is lost. 0 or -errno. After an
 * error nothing has changed, unless only the pin failed: then the new map is in use. */
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
