/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to an etcd cluster through its JSON gateway (etcd API v3). It uses one endpoint at a
 * time, and the next one when an endpoint does not answer or is cut off from the other members.
 * User and password are exchanged for a token; when etcd refuses the token, a new one is fetched.
 * Keys and values are base64 in the gateway's JSON, 64-bit numbers are text.
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

/* `urls`: one or more, separated by commas: "https://10.0.0.1:2379,https://10.0.0.2:2379". Empty:
 * ETCDCTL_ENDPOINTS. 0 or -errno; errors are logged. */
int etcd_client_new(struct event_base *base, const char *urls, struct etcd_client **out);
void etcd_client_free(struct etcd_client *c);

/* As rest_start(): a POST of `body` (takes over the reference) to "/v3/...". NULL: a token is being
 * fetched, or no memory. Try again a moment later. */
struct rest_call *etcd_start(struct etcd_client *c, const char *path, json_t *body,
			     struct rest_request q);
/* Every done() must call this, so that an endpoint or token that fails is replaced. Returns the
 * answer's object, a new reference. NULL: the call failed; `out` says why. */
json_t *etcd_answer(struct etcd_client *c, const struct rest_answer *a, char *out, size_t room);

/* The address of the member that answered last. Empty: none yet. */
const char *etcd_peer(const struct etcd_client *c);

/* Call this if a watch was refused within a good answer: the next request fetches a new token. */
void etcd_forget_token(struct etcd_client *c);
/* Call this if the member that gave this answer is cut off from the others: the next request goes
 * to the next endpoint. */
void etcd_avoid_member(struct etcd_client *c, const struct rest_answer *a);
/* Why etcd has refused our user. NULL: it has not. */
const char *etcd_refusal(const struct etcd_client *c);

/* Why we could not get a token. Empty: no problem is known. */
const char *etcd_token_problem(const struct etcd_client *c);

/* --- values --- */

json_t *etcd_bytes(const char *bytes, size_t len); /* as base64 */
json_t *etcd_string(const char *text);		   /* the same for a zero-terminated text */
/* Decodes base64. Allocated, zero-terminated; NULL: it is not base64. */
char *etcd_text(const json_t *v, size_t *len);
/* A number that is text or a number in the JSON. 0 if it is absent: the gateway leaves zeros
 * out. */
int64_t etcd_number(const json_t *o, const char *member);
/* {"key": prefix, "range_end": the first key behind all that begin with prefix}. `prefix` ends with
 * '/'. */
json_t *etcd_prefix(const char *prefix);

#endif
