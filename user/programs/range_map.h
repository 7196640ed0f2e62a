/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps by range: LPM tries with pv_cidr4 or pv_cidr6 as keys, as the guard has
 * them. Any thread. Errors: negative errno.
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

/* Replaces what is there at once. */
int range_map_set(int map, const struct cidr *range, const void *value);
/* One that is not there is no error. */
int range_map_unset(int map, const struct cidr *range);

#endif
