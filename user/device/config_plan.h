/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request comes to, worked out before any of it is done: which of its entries make a peer,
 * and whether everything fits. A request is a sequence: an entry meets what the ones before it left,
 * so that a peer may be removed and made again in one. Linear in the request's length. Pure.
 */
#ifndef DEVICE_CONFIG_PLAN_H
#define DEVICE_CONFIG_PLAN_H

#include "device/device.h"

/* The device as the request finds it. */
struct config_start {
	size_t n_peers, n_allowed;
	/* Is it a peer, and how many allowed IPs does it have? */
	bool (*find)(void *context, const uint8_t public_key[KEY_SIZE], size_t *n_allowed);
	void *context;
};

struct config_plan {
	bool *makes;	  /* by the request's entries; config_plan_fini() frees it */
	size_t n_made;	  /* entries that make a peer */
	size_t max_peers; /* there are never more than that on the way */
};

/* 0; -EINVAL: a prefix that no address has; -ENOSPC: more peers or allowed IPs than fit; -ENOMEM.
 * An allowed IP that moves between peers, or is named twice, counts twice. */
int config_plan_make(const struct device_config *config, const struct config_start *start,
		     struct config_plan *out);
void config_plan_fini(struct config_plan *plan);

#endif
