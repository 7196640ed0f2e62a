/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WireGuard device of the kernel's (kind wireguard), over generic netlink: what it takes to go on
 * where it ends. Functions return 0 or -errno and log nothing. -ENOENT: this kernel has no WireGuard.
 */
#ifndef NETLINK_WIREGUARD_H
#define NETLINK_WIREGUARD_H

#include <stdint.h>

struct wireguard_info {
	uint8_t public_key[32]; /* zero: it has no key */
	uint32_t fwmark;
	uint16_t port;
};

int wireguard_get(int ifindex, struct wireguard_info *out);
/* Its private key, which the caller wipes. -ENOKEY: it has none. */
int wireguard_private_key(int ifindex, uint8_t private_key[32]);
/* Moves the device to another UDP port, which the kernel chooses, and gives its packets this mark.
 * Its sessions go on. */
int wireguard_free_port(int ifindex, uint32_t fwmark);

#endif
