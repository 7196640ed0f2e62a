/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address ranges, as routes, allowed IPs and records bear them. Pure.
 */
#ifndef BASE_CIDR_H
#define BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct cidr {
	uint8_t family;	     /* AF_INET or AF_INET6; AF_UNSPEC: none */
	uint8_t prefix_len;  /* 0..32 or 0..128 */
	uint8_t address[16]; /* network byte order; IPv4 in the first four bytes, the rest zero */
};

/* Bytes of `address` that count. */
static inline size_t cidr_address_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

#define CIDR_TEXT 50 /* room for the longest, with its terminating zero */

/* "10.0.0.0/8", "fd00::/64"; without a length one address. Host bits are cleared. -EINVAL. */
int cidr_parse(const char *text, struct cidr *out);
/* "192.0.2.1" or "2001:db8::1", nothing else: an address as /32 or /128. -EINVAL. */
int cidr_parse_address(const char *text, struct cidr *out);
/* With its length; a single address without one where `host` says so. Returns `out`. */
const char *cidr_format(const struct cidr *c, bool host, char out[CIDR_TEXT]);
/* Host bits cleared. */
struct cidr cidr_masked(const struct cidr *c);
/* By family, address, length: an order for sorting, 0 for equal. */
int cidr_compare(const struct cidr *a, const struct cidr *b);
/* Does `outer` contain all of `inner`? The host bits of `outer` are clear. */
bool cidr_contains(const struct cidr *outer, const struct cidr *inner);

#endif
