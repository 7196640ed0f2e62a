/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LPM trie maps with ranges as keys (pv_cidr4 or pv_cidr6), such as guard's. Any thread. Errors:
 * negative errno.
 */
#ifndef PROGRAMS_RANGE_MAP_H
#define PROGRAMS_RANGE_MAP_H

#include <stdint.h>

#include "base/cidr.h"
#include "podveil/maps.h"

union range_key {
	struct pv_cidr4 v4;
	struct pv_cidr6 v6;
};

/* Replaces an existing value atomically. */
int range_map_set(int map, const struct cidr *range, const void *value);
/* A range that is not in the map is no error. */
int range_map_unset(int map, const struct cidr *range);

#endif
