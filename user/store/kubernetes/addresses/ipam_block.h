/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a Calico IPAMBlock that concern us: its range, the node that owns it, and the single
 * addresses of it that other nodes use. `spec` is the block's spec; it may have any content. Pure. */
#ifndef STORE_KUBERNETES_IPAM_BLOCK_H
#define STORE_KUBERNETES_IPAM_BLOCK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cidr.h"

/* 0, or -EINVAL with what is wrong in `problem`. */
int ipam_block_range(const json_t *spec, struct cidr *out, char *problem, size_t room);
/* Calls `share` for the owner with the whole `range`, and then for each address that another node
 * uses. Names of nodes are valid; `node` points into `spec`. */
void ipam_block_each_share(const json_t *spec, const struct cidr *range,
			   void (*share)(void *context, const char *node, const struct cidr *range,
					 bool whole),
			   void *context);

#endif
