/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers of a tunnel as nodes: what the device was told of each, whether a session stands, how
 * far its traffic has come. Thread: control. Errors: negative errno; nothing is logged.
 */
#ifndef TUNNEL_MEMBERS_H
#define TUNNEL_MEMBERS_H

#include "plan/plan.h"

struct device;
struct peer_view;

/* What the device was told of a peer, and how far its traffic has come. */
struct member {
	char *node; /* name */
	uint8_t key[32];
	struct endpoint endpoint;
	struct cidr *allowed;
	size_t n_allowed;
	bool through;		    /* its routes go through the tunnel, and stay there */
	unsigned int ticks_through; /* since then, up to STEADY_TICKS */
	uint64_t through_since;	    /* Unix time, s */
	bool session;		    /* stands now */
	bool unanswered;	    /* initiations were repeated in vain */
	uint64_t session_age;	    /* ns; UINT64_MAX: no session */
	struct endpoint where;	    /* as the device knows it */
	uint64_t sent_bytes, received_bytes;
	uint64_t last_handshake; /* Unix time, ns; 0: never. To be shown: the clock may be set */
	uint64_t sessions;	 /* that were agreed on, as the device counts them */
	uint64_t old_sessions;	 /* the first so many do not count */
	unsigned int waiting;	 /* ticks without a session, before the first one */
	uint64_t received;	 /* packets, now and when last probed */
	uint64_t received_then;
};

/* So long after routes moved, nothing is under way by the old ones any more, and the peer has moved
 * its own. */
#define STEADY_TICKS 4

struct members {
	struct member *all; /* in the order of names */
	size_t n;
	bool changed; /* somebody began to answer, or ceased to; cleared by whoever saw to it */
};

int members_from(struct members *out, const struct plan *p, int family);
void members_fini(struct members *m);
struct member *members_find(const struct members *m, const char *node);

/* Tells the device what is new or has changed since `before`; everything where that is NULL, or for
 * all where the keepalive changed. */
int members_tell(const struct members *now, const struct members *before, struct device *d,
		 uint16_t keepalive, bool keepalive_changed);
/* Those whose key nobody has any more: after their routes went. */
int members_forget(const struct members *before, const struct members *now, struct device *d);
/* Peers that somebody else gave to the device. */
int members_remove_strangers(const struct members *m, struct device *d);
/* Reads from the device whose sessions stand, and notes in `changed` what is to be seen to. */
void members_look(struct members *m, struct device *d);

/* What the device says of one. True: it began to answer, or ceased to. */
bool member_see(struct member *m, const struct peer_view *v);
/* The sessions there are do not count any more. */
void member_begin_anew(struct member *m);
/* A session stands that counts. */
bool member_fresh_session(const struct member *m);

#endif
