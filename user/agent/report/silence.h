/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a peer does not answer, as far as this node can see it: it has no route there, nobody on the
 * link answers, or the messages leave and nothing comes back. Thread: control.
 */
#ifndef AGENT_REPORT_SILENCE_H
#define AGENT_REPORT_SILENCE_H

#include <stddef.h>

struct rtnl_socket;
struct tunnel_peer_status;

#define SILENCE_TEXT 256
/* At most so many peers are explained in one report: each costs the kernel three questions. */
#define SILENCE_MAX 16

/* One sentence. Empty: the peer has a session, or nothing was sent to it in vain. Returns `out`.
 * `s`: for questions to the kernel (netlink/rtnl.h). */
const char *silence_explain(struct rtnl_socket *s, const struct tunnel_peer_status *p,
			    char out[SILENCE_TEXT]);

#endif
