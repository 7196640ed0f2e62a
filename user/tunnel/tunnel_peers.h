/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers of a tunnel: their configuration in the device, their sessions, and whether their
 * traffic is routed into the tunnel. Thread: control. Errors: negative errno; nothing is logged.
 */
#ifndef TUNNEL_TUNNEL_PEERS_H
#define TUNNEL_TUNNEL_PEERS_H

#include "plan/plan.h"

struct client_device;
struct peer_view;

/* The configuration of one peer, and its state. */
struct tunnel_peer {
	char *node; /* name */
	uint8_t key[32];
	struct endpoint endpoint;
	struct plan_path path;
	struct cidr *allowed;
	size_t n_allowed;
	bool routed;			  /* its routes lead into the tunnel, and stay there */
	unsigned int routed_ticks;	  /* ticks since `routed`, up to STEADY_TICKS */
	uint64_t routed_since;		  /* Unix time, s */
	bool session;			  /* there is a session now */
	bool unanswered;		  /* initiations were repeated without an answer */
	uint64_t session_age;		  /* ns; UINT64_MAX: no session */
	struct endpoint current_endpoint; /* as the device knows it */
	bool adopted; /* when this agent began, the device had a session with it: at the right endpoint */
	uint64_t sent_bytes, received_bytes;
	uint64_t last_handshake; /* Unix time, ns; 0: never. Only to be shown: the clock may jump */
	uint64_t sessions;	 /* established so far, as the device counts them */
	uint64_t old_sessions;	 /* this many of them do not count */
	unsigned int ticks_without_session; /* ticks without a session, before the first one */
	uint64_t received;		    /* packets now, and at the last probe */
	uint64_t received_at_probe;
};

/* After this many ticks, packets on the old routes have arrived, and the peer has changed its own
 * routes. */
#define STEADY_TICKS 4

struct tunnel_peers {
	struct tunnel_peer *all; /* in the order of names */
	size_t n;
	uint32_t largest_mtu; /* of their paths; 0: none is known */
	bool changed;	      /* a peer began or stopped to answer; steering.c clears it */
};

int tunnel_peers_from_plan(struct tunnel_peers *out, const struct plan *p, int family);
void tunnel_peers_fini(struct tunnel_peers *m);
struct tunnel_peer *tunnel_peers_find(const struct tunnel_peers *m, const char *node);

/* Configures the peers that are new or have changed since `before`. All peers if `before` is NULL
 * or the keepalive has changed. */
int tunnel_peers_configure(const struct tunnel_peers *now, const struct tunnel_peers *before,
			   struct client_device *d, uint16_t keepalive, bool keepalive_changed);
/* Finds out with which peers a device that was there before has sessions. */
void tunnel_peers_adopt(struct tunnel_peers *m, struct client_device *d);
/* Removes peers whose key is not in the plan any more. Call it after their routes were removed. */
int tunnel_peers_remove_outdated(const struct tunnel_peers *before, const struct tunnel_peers *now,
				 struct client_device *d);
/* Removes the peers that are in the device but not in `m`. */
int tunnel_peers_remove_foreign(const struct tunnel_peers *m, struct client_device *d);
/* Reads the state of all sessions from the device. Sets `changed` if routes may have to change. */
void tunnel_peers_refresh(struct tunnel_peers *m, struct client_device *d);

/* Updates a peer from the device's view of it. True: it began or stopped to answer. */
bool tunnel_peer_observe(struct tunnel_peer *m, const struct peer_view *v);
/* Its present session does not count any more. */
void tunnel_peer_require_new_session(struct tunnel_peer *m);
/* Does it have a session that counts? */
bool tunnel_peer_has_fresh_session(const struct tunnel_peer *m);

#endif
