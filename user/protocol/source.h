/* SPDX-License-Identifier: Apache-2.0 */
/* Who counts as one sender where messages are limited by sender: an IPv4 address, or an IPv6 /64, whose
 * addresses cost nothing. Pure. */
#ifndef PROTOCOL_SOURCE_H
#define PROTOCOL_SOURCE_H

#include <netinet/in.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>

/* The IPv4 address, or the upper half of the IPv6 address. */
static inline uint64_t source_network(const struct sockaddr *source)
{
	uint64_t network = 0;

	if (source->sa_family == AF_INET6)
		memcpy(&network, &((const struct sockaddr_in6 *)source)->sin6_addr,
		       sizeof(network));
	else
		network = ((const struct sockaddr_in *)source)->sin_addr.s_addr;
	return network;
}

/* Nobody outside can aim at a hash, as long as the key is random. */
static inline uint64_t source_hash(const struct sockaddr *source,
				   const uint8_t key[crypto_shorthash_KEYBYTES])
{
	uint8_t input[sizeof(uint64_t) + 1], digest[crypto_shorthash_BYTES];
	const uint64_t network = source_network(source);
	uint64_t hash;

	memcpy(input, &network, sizeof(network));
	input[sizeof(network)] = (uint8_t)source->sa_family;
	crypto_shorthash(digest, input, sizeof(input), key);
	memcpy(&hash, digest, sizeof(hash));
	return hash;
}

#endif
