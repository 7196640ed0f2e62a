/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a tunnel that was switched off goes on decrypting. Other nodes learn within about a second
 * that our tunnel is off; a slow one needs longer (17 s were seen with Felix). Until then they send
 * encrypted packets. The time is over when nothing has arrived for some seconds, and for more of
 * them while others still publish keys, because they may not know yet.
 *
 * Thread: control. Initialise with {0}.
 */
#ifndef TUNNEL_LINGERING_H
#define TUNNEL_LINGERING_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct lingering {
	bool others_have_keys; /* set by the owner: other nodes still publish keys */
	struct event *timer;
	unsigned int seconds, quiet; /* s since it began; s without a packet */
	uint64_t packets;	     /* decrypted, as last seen */
};

/* Calls `each_second` from now on. `packets`: decrypted so far. 0 or -ENOMEM. */
int lingering_begin(struct lingering *l, struct event_base *base, uint64_t packets,
		    event_callback_fn each_second, void *context);
/* Call this each second. True: the time is over. */
bool lingering_second(struct lingering *l, uint64_t packets);
/* Calls no more; nothing happens if it has not begun. */
void lingering_end(struct lingering *l);
void lingering_fini(struct lingering *l);

#endif
