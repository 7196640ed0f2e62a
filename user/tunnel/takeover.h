/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device of somebody else that has the name of our tunnel device. It is never touched while
 * somebody may be using it. But when WireGuard is switched off in Calico's Felix, Felix leaves its
 * device behind (a WireGuard device of the kernel, with a rule and routes to it). We take it over
 * with its key, so that for its peers the node stays the same. Felix's device works on until ours
 * does:
 *
 *   1. make our device beside it, under the name takeover_spare_name()
 *   2. takeover_begin(): behind each route through Felix's device, add one that drops, so that
 *      nothing leaves in plain; take the key; add our rule and remove Felix's; let Felix's device
 *      use another UDP port
 *   3. configure our device: port, key, peers, routes
 *   4. takeover_end(): remove Felix's device. Then ours gets its name.
 *
 * If we die between two of these steps, the next agent sees that our key is the key of the device,
 * and goes on.
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
	TAKEOVER_LEFT,	 /* Felix has left its device, and we can take it over */
	TAKEOVER_REFUSED /* a device of others has the name and stays */
};

/* Who has the name? Changes nothing. `ours`: our public key. `felix`: the public key in the store
 * while Felix uses it (NULL: it does not). `why`: with TAKEOVER_REFUSED, who has the name and what
 * to do about it. */
enum takeover takeover_judge(int family, const char *name, const uint8_t ours[32],
			     const uint8_t *felix, char *why, size_t room);
const char *takeover_spare_name(int family);
/* `key_name`: ID of our key in the tunnel process, which takes the device's key over; its public key
 * is then ours. On error, Felix's device still works. May be called again. */
int takeover_begin(int family, const char *name, struct client *client, const char *key_name,
		   uint8_t public_key[32]);
int takeover_end(const char *name);

/* Does any WireGuard device of the kernel on this node have this key? */
bool takeover_key_in_use(const uint8_t public_key[32]);

#endif
