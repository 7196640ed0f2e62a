/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device of somebody else that has the name of our tunnel device. It is never touched while
 * somebody may be using it. But when WireGuard is switched off in Calico's Felix, Felix leaves its
 * device behind (a WireGuard device of the kernel, with a rule and routes to it). We take it over
 * with its key:
 *
 *   1. add a route that drops behind each route through the device: nothing leaves in plain
 *   2. add our own rule
 *   3. take its key: for peers we are the same node as before
 *   4. remove the device; then make ours, and its routes
 *
 * Thread: control. Errors: negative errno; each takeover is logged.
 */
#ifndef TUNNEL_TAKEOVER_H
#define TUNNEL_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The command that makes Felix stop using its device, and leave ours alone. */
#define FELIX_PATCH                                                                                \
	"kubectl -n kube-system patch daemonset calico-node --patch-file deploy/kubernetes/calico/calico-node.patch.yaml"

struct client;

enum takeover {
	TAKEOVER_FREE,	 /* no device of others has the name */
	TAKEOVER_DONE,	 /* the old device was removed; our key is now its, public_key */
	TAKEOVER_REFUSED /* a device of others has the name and stays */
};

/* `published`: our node's public key in the store (NULL: none). While it is the key of the device,
 * the device is in use. `key_name`: ID of our key in the tunnel process, which takes the device's
 * key over. `why`: with TAKEOVER_REFUSED, who has the name and what to do about it. */
enum takeover takeover_name(int family, const char *name, struct client *client,
			    const char *key_name, const uint8_t *published, uint8_t public_key[32],
			    char *why, size_t room);

/* Does any WireGuard device of the kernel on this node have this key? */
bool takeover_key_in_use(const uint8_t public_key[32]);

#endif
