/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of guard and shield. include/podveil/guard.h says what is in them. */
#ifndef BPF_GUARD_MAPS_H
#define BPF_GUARD_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "podveil/guard.h"

/* Weak: several objects declare these maps, and the linker makes one map of each. */
#define MAP SEC(".maps") __weak

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pv_guard_settings);
} guard_settings MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PV_MAX_ALLOWED_IPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pv_cidr4);
	__type(value, struct pv_guard_range);
} guard_ranges4 MAP;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, PV_MAX_ALLOWED_IPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pv_cidr6);
	__type(value, struct pv_guard_range);
} guard_ranges6 MAP;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PV_COUNTER_SLOTS);
	__type(key, __u32);
	__type(value, struct pv_counters);
} guard_counters MAP;

/* NULL: no settings were written yet. */
static __always_inline const struct pv_guard_settings *settings(void)
{
	const __u32 zero = 0;

	return bpf_map_lookup_elem(&guard_settings, &zero);
}

#define COUNT(field)                                                                               \
	do {                                                                                       \
		__u32 _slot = PV_MAX_WORKERS + bpf_get_smp_processor_id() % PV_KERNEL_SLOTS;       \
		struct pv_counters *_c = bpf_map_lookup_elem(&guard_counters, &_slot);             \
		if (_c)                                                                            \
			__sync_fetch_and_add(&_c->field, 1);                                       \
	} while (0)

/* The kind of the longest range that covers an address: enum pv_guard_kind. 0: no range does. */
static __always_inline __u32 kind_of(__u8 version, const __u8 *address)
{
	const struct pv_guard_range *range;

	if (version == 4) {
		struct pv_cidr4 key = {.prefix_len = 32};

		__builtin_memcpy(key.address, address, sizeof(key.address));
		range = bpf_map_lookup_elem(&guard_ranges4, &key);
	} else {
		struct pv_cidr6 key = {.prefix_len = 128};

		__builtin_memcpy(key.address, address, sizeof(key.address));
		range = bpf_map_lookup_elem(&guard_ranges6, &key);
	}
	return range ? range->kind : 0;
}

/* Filters of other programs on the device still run. */
#define PASS TC_ACT_UNSPEC

#endif
