/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Keys and values of the maps of guard and shield, pinned under /sys/fs/bpf/podveil/guard/:
 * `guard_settings` (array of one), `guard_ranges4`, `guard_ranges6` (LPM tries with struct pv_cidr4
 * and pv_cidr6 as keys), `guard_counters` (array of struct pv_counters, PV_COUNTER_SLOTS). Data
 * layout only.
 */
#ifndef PODVEIL_GUARD_H
#define PODVEIL_GUARD_H

#include <linux/types.h>

#include "podveil/maps.h"

enum pv_guard_kind {
	PV_GUARD_REMOTE = 1,	/* pods of another node; encryption was never established */
	PV_GUARD_LOCAL = 2,	/* our own pods, or a node's own address: ignored */
	PV_GUARD_ENCRYPTED = 3, /* pods of another node; was encrypted: plaintext is a leak */
};

struct pv_guard_range {
	__u32 kind; /* enum pv_guard_kind */
};

#define PV_GUARD_PORTS 8

struct pv_guard_settings {
	__u32 fwmark; /* the mark of outer packets */
	__u16 port4;  /* host byte order; UDP ports of our tunnels. 0: off */
	__u16 port6;
	__u8 strict;	   /* drop plaintext, do not only count it */
	__u8 mark_ingress; /* set the mark on arriving WireGuard messages (host encryption) */
	__u8 reserved[2];
	/* UDP ports of overlays, host byte order. 0: end of the list. */
	__u16 vxlan_ports[PV_GUARD_PORTS];
	__u16 geneve_ports[PV_GUARD_PORTS];
};

#endif
