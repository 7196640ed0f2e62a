/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which traffic is steered into one tunnel: the peers in its device, and the routes to them. A
 * peer's routes go through the tunnel as soon as a session with it is established (in strict mode
 * at once). They stay there while the node is a peer, whatever else about it changes.
 *
 * Device and settings belong to the tunnel. Thread: control. Errors: negative errno; errors of the
 * device and the kernel are logged.
 */
#ifndef TUNNEL_STEERING_H
#define TUNNEL_STEERING_H

#include <stdbool.h>

#include "tunnel/tunnel_peers.h"

struct client_device;
struct steering;

/* `settings` belong to the caller and must outlive the result. NULL: no memory. */
struct steering *steering_new(int family, const struct settings *settings);
void steering_free(struct steering *s); /* rule and routes stay */

/* The device was made or adopted. Routes that an earlier agent had sent through it stay there. */
int steering_start(struct steering *s, struct client_device *d);
/* The device is gone, and all sessions with it. The next device gets the whole configuration. */
void steering_stop(struct steering *s);
/* Removes rule and routes. */
void steering_clear(struct steering *s);
/* Forgets peers and ranges. Call it when the tunnel is off, and device and routes are gone. */
void steering_forget(struct steering *s);
/* Call this if the tunnel is switched on again after steering_clear(), but with the old device.
 * Other nodes may have removed us as a peer already. Their packets are still decrypted, but no
 * route leads to them through the tunnel before they have agreed to a new session. */
void steering_require_new_sessions(struct steering *s);

/* Applies the plan: peers, allowed IPs, address, rule and routes. The plan need not outlive the
 * call. */
int steering_update(struct steering *s, const struct plan *p);
/* Sessions were established: adds the routes that waited for them. */
void steering_on_new_sessions(struct steering *s);
/* Call this twice a second. Starts handshakes with peers that have no session yet or do not
 * answer. */
void steering_tick(struct steering *s);

/* Was the last plan written to the device without an error? */
bool steering_peers_configured(const struct steering *s);
/* Call this when somebody else has configured the device. Restores its peers. */
int steering_repair_peers(struct steering *s);
/* Restores address, rule and routes. The number of things restored, or -errno. */
int steering_repair_network(struct steering *s);

/* Calls `each` for the pods' ranges whose routes have gone through the tunnel for two seconds or
 * more. */
void steering_each_encrypted(const struct steering *s,
			     void (*each)(void *context, const struct cidr *range), void *context);
/* The peers with their present state from the device. Valid until the next steering_update(). */
const struct tunnel_peers *steering_refreshed_peers(struct steering *s);
/* Has the peer never answered yet, but may still do so soon? */
bool steering_awaits_first_session(const struct tunnel_peer *m);

#endif
