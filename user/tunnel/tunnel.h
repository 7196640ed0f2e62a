/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One encrypted tunnel of a node (there are up to two: for IPv4 and for IPv6 pods): device, wg(8)
 * socket, key, and with steering.h peers and routes. It applies the plan in an order that neither
 * loses nor leaks a packet.
 *
 *   on:  first device and peers; then the routes of each peer, as soon as it has a session (in
 *        strict mode at once, because there nothing may leave in plain anyway)
 *   off: first rule and routes; the device keeps decrypting while others still send
 *
 * Thread: control.
 */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/plan.h"

struct client;
struct client_device;
struct event_base;
struct tunnel;

struct tunnel_params {
	struct event_base *base;
	struct client *client; /* of the tunnel process, which has key and device */
	int family;
	/* The owner should make a new plan: somebody deleted or renamed the device, or the device
	 * of a tunnel that was switched off is gone. */
	void (*changed)(struct tunnel *t, void *context);
	void *context;
};

enum tunnel_state { TUNNEL_OFF, TUNNEL_ON, TUNNEL_LINGERING };

struct tunnel *tunnel_new(const struct tunnel_params *params); /* NULL: no memory */
/* `remove`: removes everything. Else rule, routes and device stay, and the tunnel process goes on
 * encrypting. */
void tunnel_free(struct tunnel *t, bool remove);

/* The public key. The tunnel process loads the private key, or makes one. 0 or -errno. */
int tunnel_key(struct tunnel *t, uint8_t public_key[32]);
/* Makes the device, or takes over that of an earlier agent or of a dead process, if there is none
 * yet. This is the slow part
 * of tunnel_enable(). Nothing is steered into the device. 0 or -errno. */
int tunnel_prepare(struct tunnel *t, const struct settings *s, uint32_t mtu, const uint8_t *felix);
/* Makes the device (as tunnel_prepare()), configures it as the settings say, and sets it up.
 * Publish the key only after tunnel_update() has returned 0, too. `uplink`: ifindex. `felix`: our
 * node's key in the store while Felix uses it, NULL: it does not. 0 or -errno; -EEXIST: a device of
 * others has the name (tunnel/takeover.h). */
int tunnel_enable(struct tunnel *t, const struct settings *s, uint32_t mtu, int uplink,
		  const uint8_t *felix);
/* Applies the plan: peers, allowed IPs, address, rule and routes. The plan need not outlive the
 * call. 0 or -errno. */
int tunnel_update(struct tunnel *t, const struct plan *p, const struct settings *s);
/* Removes rule and routes. The device still decrypts what others send, for as long as they send (at
 * most two minutes). `others_have_keys`: other nodes still have keys of this family in the store.
 * Call it again when that changes. */
void tunnel_disable(struct tunnel *t, bool others_have_keys);
/* Removes what the tunnel process has for a family, whatever made it: device and key. 0 or -errno. */
int tunnel_remove(struct client *c, int family);
/* Does a process have the tunnel device of a family, whoever made it? */
bool tunnel_is_served(int family);

/* The tunnel process has ended: the device has no sessions and no peers any more. Rule and routes
 * stay. */
void tunnel_lose_device(struct tunnel *t);

/* Restores what somebody changed: device, programs, pins, key file, peers; with `network` also
 * address, rule and routes, which is slow if there are many. The number of things restored, or
 * -errno. */
int tunnel_repair(struct tunnel *t, bool network);
/* Call this twice a second. Starts handshakes with peers that have no session yet or do not
 * answer. */
void tunnel_tick(struct tunnel *t);

/* A problem that a person has to solve; *reason is one word for it. NULL: none. Valid until the
 * next call. */
const char *tunnel_problem(struct tunnel *t, const char **reason);
/* Starts a handshake with a peer that has no session, to see whether it still answers. */
void tunnel_request_handshake(struct tunnel *t, const uint8_t key[32]);

enum tunnel_state tunnel_state(const struct tunnel *t);
struct client_device *tunnel_device(const struct tunnel *t); /* NULL: off */

/* --- looking at it --- */

struct tunnel_peer_status {
	const char *node;
	bool encrypting;		 /* its routes go through the tunnel */
	uint64_t encrypting_since;	 /* Unix time, s; not before the start of this agent */
	bool session;			 /* there is a session */
	bool unanswered;		 /* our initiations were not answered so far */
	bool awaited;			 /* it has never answered yet, but may still do so soon */
	uint64_t since;			 /* Unix time of the last handshake, s; 0: never */
	uint64_t session_age;		 /* ns; UINT64_MAX: no session */
	const uint8_t *key;		 /* public */
	const struct endpoint *endpoint; /* where the device sends to; AF_UNSPEC: none known */
	uint64_t sent, received;	 /* bytes of WireGuard messages */
};
void tunnel_each_peer(struct tunnel *t,
		      void (*peer)(void *context, const struct tunnel_peer_status *p),
		      void *context);
/* Calls `each` for the pods' ranges whose traffic has been encrypted for two seconds or more. */
void tunnel_each_encrypted(const struct tunnel *t,
			   void (*each)(void *context, const struct cidr *range), void *context);

#endif
