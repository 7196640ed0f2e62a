/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device of somebody else that bears the name of our tunnel device. It is never touched while
 * somebody may be using it. What Calico's Felix leaves when it is told to let go, though (a WireGuard
 * device of the kernel's, with the rule and the routes that lead to it), is taken over, key and all:
 *
 *   1. behind each route through the device comes one that drops: nothing goes out in plain
 *   2. the rule becomes ours
 *   3. its key becomes ours: to peers we are the same node as before
 *   4. the device goes; ours takes its place, and its routes
 *
 * Thread: control. Errors: negative errno; what happens is logged.
 */
#ifndef TUNNEL_TAKEOVER_H
#define TUNNEL_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes Felix let go of what is ours to be, and then leave it alone. */
#define FELIX_PATCH                                                                                \
	"kubectl -n kube-system patch daemonset calico-node --patch-file deploy/kubernetes/calico/calico-node.patch.yaml"

enum takeover {
	TAKEOVER_FREE,	 /* nobody else has the name */
	TAKEOVER_DONE,	 /* somebody had; now it is free, and private_key is what it had */
	TAKEOVER_REFUSED /* somebody has */
};

/* `published`: our node's public key in the store (NULL: none): as long as it is that of the device,
 * whoever made the device uses it. `key_name`: of our key's file (tunnel/keys.h). `why`: with TAKEOVER_REFUSED who has it and what helps. */
enum takeover takeover_name(int family, const char *name, const char *key_name,
			    const uint8_t *published, uint8_t private_key[32], char *why,
			    size_t room);

/* Does a WireGuard device of the kernel's on this node, of whatever name, have this key? */
bool takeover_key_in_use(const uint8_t public_key[32]);

#endif
