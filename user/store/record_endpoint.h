/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a node is reached from other networks: "vpn.example.com:51820", "192.0.2.1:51820" or
 * "[2001:db8::1]:51820". Pure.
 */
#ifndef STORE_RECORD_ENDPOINT_H
#define STORE_RECORD_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENDPOINT_HOST_MAX 253 /* the longest name of a host, RFC 1123 */
#define ENDPOINT_TEXT_MAX (ENDPOINT_HOST_MAX + sizeof("[]:65535"))

struct record_endpoint {
	char host[ENDPOINT_HOST_MAX + 1]; /* a name in lower case, or an address; empty: none */
	uint16_t port;			  /* host byte order */
};

/* NULL, or what is wrong with the text; then `out` has no endpoint. */
const char *record_endpoint_parse(const char *text, struct record_endpoint *out);
/* Empty: no endpoint. Returns `out`. */
const char *record_endpoint_format(const struct record_endpoint *e, char out[ENDPOINT_TEXT_MAX]);
bool record_endpoint_equal(const struct record_endpoint *a, const struct record_endpoint *b);

#endif
