/* SPDX-License-Identifier: Apache-2.0 */
/* Reads from nftables (netlink/nftables.h writes): the generation, a digest of a table, and counters.
 * Tables are in the family inet. Functions return 0 or -errno and log nothing. Any thread. */
#ifndef NETLINK_NFT_QUERY_H
#define NETLINK_NFT_QUERY_H

#include <stddef.h>
#include <stdint.h>

/* A number that changes with each transaction of any program. */
int nft_generation(uint32_t *out);
/* A digest of the table, these chains, all rules, and the elements of these sets as the kernel has
 * them. It stays the same until one of them changes. -ENOENT: one of them does not exist. */
#define NFT_DIGEST 32
int nft_digest(const char *in_table, const char *const *chains, size_t n_chains,
	       const char *const *sets, size_t n_sets, uint8_t out[NFT_DIGEST]);
/* The packets that a named counter has counted. */
int nft_counter(const char *in_table, const char *counter, uint64_t *packets);

#endif
