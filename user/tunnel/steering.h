/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which traffic is steered into one tunnel: its peers as the device knows them, and the routes that
 * lead to them. Make before break: a peer's routes go through the tunnel once a session with it
 * stands (in strict mode at once), and stay there, whatever else about the peer changes.
 *
 * What it works with stays the tunnel's: device, and settings as last told. Thread:
 * control. Errors: negative errno; what the device or the kernel refused is logged.
 */
#ifndef TUNNEL_STEERING_H
#define TUNNEL_STEERING_H

#include <stdbool.h>

#include "tunnel/tunnel_peers.h"

struct device;
struct steering;

/* `settings` stay the caller's, and stay. NULL: no memory. */
struct steering *steering_new(int family, const struct settings *settings);
void steering_free(struct steering *s); /* rule and routes stay */

/* The device stands; what went through it before an earlier agent died goes on doing so. */
int steering_start(struct steering *s, struct device *d);
/* It is gone: no session stands, and the next one has to be told everything. */
void steering_stop(struct steering *s);
/* Rule and routes go. */
void steering_clear(struct steering *s);
/* Peers and ranges are forgotten: the tunnel is off, device and routes are gone. */
void steering_forget(struct steering *s);
/* Switched on again after steering_clear(), before the device went: others may have forgotten us,
 * or not yet. What they still send is read; but nothing is sent to them in the tunnel before they
 * agreed to it anew. */
void steering_require_new_sessions(struct steering *s);

/* Peers, allowed IPs, address, rule and routes follow the plan, which need not outlive the call. */
int steering_update(struct steering *s, const struct plan *p);
/* Sessions came to stand: the routes that waited for them follow. */
void steering_on_new_sessions(struct steering *s);
/* Twice a second: handshakes with peers that have no session yet or do not answer. */
void steering_tick(struct steering *s);

/* The device was told of the peers of a plan, and not in vain. */
bool steering_peers_configured(const struct steering *s);
/* Somebody else configured the device: its peers as they should be. */
int steering_repair_peers(struct steering *s);
/* Address, rule, routes and the fast path. How many things were put back, or -errno. */
int steering_repair_network(struct steering *s);

/* Pods' ranges whose routes have gone through the tunnel for two seconds or more. */
void steering_each_encrypted(const struct steering *s,
			     void (*each)(void *context, const struct cidr *range), void *context);
/* The peers with what the device says of them now; valid until the next steering_update(). */
const struct tunnel_peers *steering_refreshed_peers(struct steering *s);
/* It never answered yet, and may still do so at any moment. */
bool steering_awaits_first_session(const struct tunnel_peer *m);

#endif
