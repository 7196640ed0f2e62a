/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of messages to each peer over the uplink: the headers of their frames, which workers need
 * to send through AF_XDP. Without a path, workers send through the socket. Thread: handshake, under the
 * device's lock. Internal to the folder. The caller keeps the socket for questions to the kernel
 * (netlink/rtnl.h).
 */
#ifndef DEVICE_UPLINK_PATHS_H
#define DEVICE_UPLINK_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "podveil/maps.h"

struct cidr;
struct device;
struct link_info;
struct rtnl_socket;

/* The addresses of this machine, as the program `divert` has them. free() `all` at the end. */
struct own_addresses {
	struct pv_address *all;
	size_t n, room;
};

/* 0 or -ENOMEM. */
int own_addresses_add(struct own_addresses *own, const struct cidr *c);

/* The device by which the first peer is reached that can be. 0: none. */
int uplink_paths_device(const struct device *d, struct rtnl_socket *s);
/* Finds the paths of the peers that workers send to: through this device, from one of these
 * addresses. `only_missing`: of those that have none. */
void uplink_paths_update(struct device *d, struct rtnl_socket *s, const struct link_info *link,
			 const struct own_addresses *own, bool only_missing);
void uplink_paths_forget(struct device *d);

#endif
