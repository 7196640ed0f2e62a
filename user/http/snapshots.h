/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents that one thread makes and another one serves. The server asks for a document; the maker
 * makes it from its event loop, one a turn, and hands the text over. Neither waits for the other: a
 * client that does not read costs the maker nothing, and a maker that hangs is seen by the server,
 * because its heartbeat stops.
 *
 * Threads: those of the maker and of the server; each function says whose it is.
 */
#ifndef HTTP_SNAPSHOTS_H
#define HTTP_SNAPSHOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPSHOTS_MAX 16 /* documents */

struct event_base;
struct snapshots;

struct snapshot {
	char *text;	  /* allocated, its taker's; NULL: no memory */
	int status;	  /* of HTTP */
	uint64_t cost_ns; /* of making it */
};

/* Maker. `make` is called from `base`'s loop: allocated text of document i, or NULL. 0 or -errno. */
int snapshots_new(struct event_base *base, char *(*make)(void *context, size_t i, int *status),
		  void *context, struct snapshots **out);
/* Maker. The server's thread has ended. */
void snapshots_free(struct snapshots *s);

/* Server. Document i is wanted; asking again before it is there asks once. */
void snapshots_request(struct snapshots *s, size_t i);
/* Server. Readable when documents were handed over, until it is drained.*/
int snapshots_fd(const struct snapshots *s);
void snapshots_drain(struct snapshots *s);
/* Server. False: document i is not there yet. */
bool snapshots_take(struct snapshots *s, size_t i, struct snapshot *out);

/* Any thread. How long the maker's loop has not come round, in ms. */
uint64_t snapshots_silence_ms(const struct snapshots *s);

#endif
