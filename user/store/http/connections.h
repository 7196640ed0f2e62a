/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections for libcurl's transfers: its multi handle, driven by the event loop. Transfers
 * share a connection if the server speaks HTTP/2; else each has its own. store/http/rest.h makes
 * the transfers.
 *
 * Thread: control.
 */
#ifndef STORE_HTTP_CONNECTIONS_H
#define STORE_HTTP_CONNECTIONS_H

#include <curl/curl.h>
#include <stdbool.h>

struct event_base;
struct connections;

/* `done` is called when a transfer has ended, and must remove it. It may add and remove others. It
 * returns false if it has freed the connections. NULL: no memory. */
struct connections *connections_new(struct event_base *base,
				    bool (*done)(void *context, CURL *transfer, CURLcode result),
				    void *context);
/* Closes all connections. Remove the transfers first. `c` may be NULL. */
void connections_free(struct connections *c);

/* Starts a transfer. Do not add or remove from within a callback of a transfer. 0 or -ENOMEM. */
int connections_add(struct connections *c, CURL *transfer);
/* Ends a transfer, if it was started. */
void connections_remove(struct connections *c, CURL *transfer);

/* Identifies the transfer's connection by its local port. 0: it has none yet. */
long connections_port(CURL *transfer);
/* Can other transfers use the same connection? */
bool connections_shared(CURL *transfer);

#endif
