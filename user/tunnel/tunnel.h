/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One encrypted tunnel of a node (there are up to two: for IPv4 and for IPv6 pods): device, wg(8)
 * socket, key, and in steering.h peers and routes, brought to what the plan says, in an order that
 * loses no packet and leaks none.
 *
 *   on:  device and peers first, then the route of a peer once a session with it stands (in strict
 *        mode at once: there nothing may leave in plain, so nothing is lost by it)
 *   off: rule and routes first; the device keeps decrypting while others still send
 *
 * Thread: control.
 */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/plan.h"

struct device;
struct event_base;
struct tunnel;

struct tunnel_params {
	struct event_base *base;
	int family;
	/* Something happened after which the owner should plan anew (the device was deleted or
	 * renamed by somebody, it was switched off and is gone). */
	void (*changed)(struct tunnel *t, void *context);
	void *context;
};

enum tunnel_state { TUNNEL_OFF, TUNNEL_ON, TUNNEL_LINGERING };

struct tunnel *tunnel_new(const struct tunnel_params *params); /* NULL: no memory */
/* `remove`: everything goes. Else rule, routes, device and programs stay: fail closed. */
void tunnel_free(struct tunnel *t, bool remove);

/* The public key, making or loading the private one when it is not there yet. */
int tunnel_key(struct tunnel *t, uint8_t public_key[32]);
/* Makes the device, or adopts that of a dead process, unless there is one: what of tunnel_enable() takes long. Nothing
 * is steered into it. */
int tunnel_prepare(struct tunnel *t, const struct settings *s, uint32_t mtu,
		   const uint8_t *published);
/* Device up, programs attached, as the settings say; adopts the device of a dead process. The key
 * can be published once tunnel_update() has returned 0 as well. `uplink`: ifindex. `published`: our
 * node's key in the store, NULL: none. -EEXIST: somebody else has the device's name, and uses it
 * (tunnel/takeover.h). */
int tunnel_enable(struct tunnel *t, const struct settings *s, uint32_t mtu, int uplink,
		  const uint8_t *published);
/* Peers, allowed IPs, address, rule and routes follow the plan. The plan need not outlive the call.
 */
int tunnel_update(struct tunnel *t, const struct plan *p, const struct settings *s);
/* Rule and routes go; the device reads on what others still send, for as long as they do (at most
 * two minutes). `others_have_keys`: of this family in the store; may be called again with news. */
void tunnel_disable(struct tunnel *t, bool others_have_keys);
/* The private key's file goes. */
void tunnel_forget_key(int family);

/* Puts back what somebody changed: device, programs, pins, key file, peers, and with `network`,
 * which is costly where there are many routes, address, rule and routes. How many things, or
 * -errno. */
int tunnel_repair(struct tunnel *t, bool network);
/* Twice a second: handshakes with peers that have no session yet or do not answer. */
void tunnel_tick(struct tunnel *t);

/* What people should see to, and in one word; NULL: nothing. Valid until the next call. */
const char *tunnel_problem(struct tunnel *t, const char **reason);
/* Asks a peer for a handshake: does it still answer? */
void tunnel_request_handshake(struct tunnel *t, const uint8_t key[32]);

enum tunnel_state tunnel_state(const struct tunnel *t);
struct device *tunnel_device(const struct tunnel *t); /* NULL: off */

/* --- looking at it --- */

struct tunnel_peer_status {
	const char *node;
	bool encrypting;	   /* its routes go through the tunnel */
	uint64_t encrypting_since; /* Unix time, s; at the earliest when this agent took it over */
	bool session;		   /* a session stands */
	bool unanswered;	   /* it was asked for a session, in vain so far */
	bool awaited;		   /* never answered yet, and may still do so at any moment */
	uint64_t since;		   /* Unix time of the last handshake, 0: never */
	uint64_t session_age;	   /* ns; UINT64_MAX: no session */
	const uint8_t *key;	   /* public */
	const struct endpoint *endpoint; /* where the device sends; AF_UNSPEC: nowhere */
	uint64_t sent, received;	 /* bytes of WireGuard messages */
};
void tunnel_each_peer(struct tunnel *t,
		      void (*peer)(void *context, const struct tunnel_peer_status *p),
		      void *context);
/* Pods' ranges whose traffic has been encrypted for two seconds or more. */
void tunnel_each_encrypted(const struct tunnel *t,
			   void (*each)(void *context, const struct cidr *range), void *context);

#endif
