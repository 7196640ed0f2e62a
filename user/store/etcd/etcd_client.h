/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to an etcd cluster through its JSON gateway (etcd API v3): one endpoint at a time, the
 * next one when nobody answers, or a member that has lost the others; user and password become a
 * token, which is asked for anew when it is refused. Keys and values are base64 there, 64-bit
 * numbers are text.
 *
 * TLS and user are those of etcdctl(1): ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY, ETCDCTL_USER
 * (USER:PASSWORD, or with ETCDCTL_PASSWORD beside it) of the environment. Thread: control.
 */
#ifndef STORE_ETCD_ETCD_CLIENT_H
#define STORE_ETCD_ETCD_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/http/rest.h"

struct etcd_client;

/* `urls`: one or more, comma between: "https://10.0.0.1:2379,https://10.0.0.2:2379"; empty:
 * ETCDCTL_ENDPOINTS. -EINVAL or another -errno with a line logged for what cannot be. */
int etcd_client_new(struct event_base *base, const char *urls, struct etcd_client **out);
void etcd_client_free(struct etcd_client *c);

/* As rest_start(), a POST of `body` (a reference is taken over) to "/v3/...". NULL: not now; a
 * token is being fetched, or no memory: try again a moment later. */
struct rest_call *etcd_start(struct etcd_client *c, const char *path, json_t *body,
			     struct rest_request q);
/* Every done() says what it got: an endpoint or a token that fails is replaced. In `out` why it
 * failed; empty: it did not. The answer's object, a new reference; NULL: it failed. */
json_t *etcd_answer(struct etcd_client *c, const struct rest_answer *a, char *out, size_t room);

/* The address of the member that answered last; empty: none did yet. */
const char *etcd_peer(const struct etcd_client *c);

/* A watch was refused within a good answer: the next request fetches a new token. */
void etcd_forget_token(struct etcd_client *c);
/* Likewise: who answered this is cut off from the other members. The next request goes elsewhere.
 */
void etcd_avoid_member(struct etcd_client *c, const struct rest_answer *a);
/* etcd answered that it does not know our user, and why; NULL: it did not. */
const char *etcd_refusal(const struct etcd_client *c);

/* Why there is no token to make requests with, as far as is known; empty: nothing is wrong. */
const char *etcd_token_problem(const struct etcd_client *c);

/* --- values --- */

json_t *etcd_bytes(const char *bytes, size_t len); /* as base64 */
json_t *etcd_string(const char *text);		   /* the same, of what ends with a zero */
/* What base64 stands for. Allocated, zero-terminated; NULL: it is none. */
char *etcd_text(const json_t *v, size_t *len);
/* A number as text, or as a number; 0 where there is none, as the gateway leaves zeros out. */
int64_t etcd_number(const json_t *o, const char *member);
/* {"key": prefix, "range_end": what comes behind all that begin with it}. `prefix` ends with '/'.
 */
json_t *etcd_prefix(const char *prefix);

#endif
