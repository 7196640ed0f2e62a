/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of one device, shared by its programs. include/podveil/maps.h says what is in them. */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "podveil/maps.h"

/* Weak: several objects declare these maps, and the linker makes one map of each. */
#define MAP SEC(".maps") __weak

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PV_MAX_PEERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct pv_peer);
} peers MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PV_MAX_ALLOWED_IPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pv_cidr4);
	__type(value, struct pv_allowed);
} allowed_ips4 MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PV_MAX_ALLOWED_IPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pv_cidr6);
	__type(value, struct pv_allowed);
} allowed_ips6 MAP;

/* Starts small, so that a dump stays readable. The loader replaces it with a larger one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pv_peer_traffic);
} peer_counters MAP;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PV_COUNTER_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pv_counters);
} counters MAP;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pv_settings);
} settings MAP;

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, PV_MAX_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} xsks MAP;

/* AF_XDP sockets on the uplink; key: the uplink's queue. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, PV_MAX_WORKERS);
	__type(key, __u32);
	__type(value, __u32);
} uplink_xsks MAP;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pv_divert_settings);
} divert_settings MAP;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PV_MAX_LOCAL_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pv_address);
	__type(value, __u32);
} local_addresses MAP;

/* The counter slot of the current processor. */
static __always_inline struct pv_counters *our_counters(void)
{
	__u32 slot = PV_MAX_WORKERS + bpf_get_smp_processor_id() % PV_KERNEL_SLOTS;

	return bpf_map_lookup_elem(&counters, &slot);
}

#define COUNT(field)                                                                               \
	do {                                                                                       \
		struct pv_counters *_c = our_counters();                                           \
		if (_c)                                                                            \
			__sync_fetch_and_add(&_c->field, 1);                                       \
	} while (0)

#endif
