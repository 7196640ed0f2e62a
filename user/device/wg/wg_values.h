/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values in the lines of wg(8)'s cross-platform protocol: keys, numbers, endpoints. The wg socket
 * and the socket of the tunnel process read and write them in the same way. Pure.
 */
#ifndef DEVICE_WG_VALUES_H
#define DEVICE_WG_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/messages.h"
#include "wire/endpoint.h"

struct evbuffer;

/* No valid line is longer, with its final zero: the longest are keys, and endpoints with a
 * scope. */
#define WG_LINE_MAX 256

/* 64 hexadecimal digits. */
bool wg_parse_key(const char *value, uint8_t out[KEY_SIZE]);
/* Decimal digits only; at most `max`. */
bool wg_parse_number(const char *value, uint64_t max, uint64_t *out);
/* a.b.c.d:port or [address%scope]:port */
bool wg_parse_endpoint(const char *value, struct endpoint *out);

/* Append a line NAME=VALUE; for an endpoint, nothing if there is none. */
void wg_put_key(struct evbuffer *out, const char *name, const uint8_t key[KEY_SIZE]);
void wg_put_endpoint(struct evbuffer *out, const struct endpoint *e);

#endif
