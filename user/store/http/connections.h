/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that transfers of libcurl's go over: its multi handle, driven by the event loop.
 * Transfers share a connection where the server speaks HTTP/2, else each has its own. What a
 * transfer carries is store/http/rest.h's.
 *
 * Thread: control.
 */
#ifndef STORE_HTTP_CONNECTIONS_H
#define STORE_HTTP_CONNECTIONS_H

#include <curl/curl.h>
#include <stdbool.h>

struct event_base;
struct connections;

/* `done`: a transfer has ended, and is to be removed. It may add and remove others; false: it has
 * freed the connections. NULL: no memory. */
struct connections *connections_new(struct event_base *base,
				    bool (*done)(void *context, CURL *transfer, CURLcode result),
				    void *context);
/* All are closed. The transfers on them were removed before. NULL: nothing. */
void connections_free(struct connections *c);

/* The transfer begins. Not from within a transfer's callbacks, and neither is removing. -ENOMEM. */
int connections_add(struct connections *c, CURL *transfer);
/* Ends it, if it has begun. */
void connections_remove(struct connections *c, CURL *transfer);

/* Which connection it is on: the port at our end; 0: none yet. */
long connections_port(CURL *transfer);
/* Its connection takes other transfers, too. */
bool connections_shared(CURL *transfer);

#endif
