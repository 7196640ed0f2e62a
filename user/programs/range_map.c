/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/range_map.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

static union range_key key_of(const struct cidr *range)
{
	union range_key key = {.v6 = {.prefix_len = range->prefix_len}};

	memcpy(key.v6.address, range->address, sizeof(key.v6.address));
	return key;
}

int range_map_set(int map, const struct cidr *range, const void *value)
{
	const union range_key key = key_of(range);

	return bpf_map_update_elem(map, &key, value, BPF_ANY) ? -errno : 0;
}

int range_map_unset(int map, const struct cidr *range)
{
	const union range_key key = key_of(range);

	return bpf_map_delete_elem(map, &key) && errno != ENOENT ? -errno : 0;
}
