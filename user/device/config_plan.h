/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Computes the result of a request before any of it is done: which of its entries make a peer, and
 * whether everything fits. The entries are applied in order, so one request may remove a peer and
 * make it again. The time is linear in the request's length. Pure.
 */
#ifndef DEVICE_CONFIG_PLAN_H
#define DEVICE_CONFIG_PLAN_H

#include "device/device.h"

/* The device before the request. */
struct config_start {
	size_t n_peers, n_allowed;
	/* Is it a peer, and how many allowed IPs does it have? */
	bool (*find)(void *context, const uint8_t public_key[KEY_SIZE], size_t *n_allowed);
	void *context;
};

struct config_plan {
	bool *makes;	  /* by entry: it makes a peer. config_plan_fini() frees this */
	size_t n_made;	  /* entries that make a peer */
	size_t max_peers; /* the most peers that exist at any time during the request */
};

/* 0; -EINVAL: an allowed IP is not a valid prefix; -ENOSPC: too many peers or allowed IPs; -ENOMEM.
 * An allowed IP that moves between peers, or that is named twice, counts twice. */
int config_plan_make(const struct device_config *config, const struct config_start *start,
		     struct config_plan *out);
void config_plan_fini(struct config_plan *plan);

#endif
