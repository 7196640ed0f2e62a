/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nftables over nfnetlink (libmnl): a table of one's own in the family inet, made in one transaction
 * that the kernel does as a whole or not at all. Encoded here, because libnftables and libnftnl are
 * under the GPL, which this program is not. Only what is needed: interval sets of addresses, base
 * chains, rules out of a few expressions, named counters.
 *
 * A batch grows message by message; what there was no memory for makes nft_send() fail. Names are C
 * strings. Functions return 0 or -errno and log nothing. One thread at a time.
 */
#ifndef NETLINK_NFTABLES_H
#define NETLINK_NFTABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nft_batch;

struct nft_batch *nft_begin(const char *table); /* all that follows is in it; NULL: no memory */
/* Sends the batch and frees it. `b` may be NULL: -ENOMEM. */
int nft_send(struct nft_batch *b);

void nft_add_table(struct nft_batch *b);
void nft_delete_table(struct nft_batch *b); /* with all that is in it; it must be there */
void nft_add_counter(struct nft_batch *b, const char *name);

/* Set of address ranges; family AF_INET or AF_INET6. */
void nft_add_set(struct nft_batch *b, const char *name, int family);
/* An interval from `first` to `last`, both in it; network byte order, sorted, not overlapping. */
struct nft_interval {
	uint8_t first[16], last[16];
};
void nft_add_intervals(struct nft_batch *b, const char *set, int family,
		       const struct nft_interval *all, size_t n);

/* Where packets of the IP layer pass: those that came in, those that are forwarded, those that go
 * out. Policy accept; lower priorities come first. */
enum nft_hook { NFT_HOOK_PREROUTING = 0, NFT_HOOK_FORWARD = 2, NFT_HOOK_POSTROUTING = 4 };
void nft_add_chain(struct nft_batch *b, const char *name, enum nft_hook hook, int priority);

/* A rule is appended to its chain: begin, what has to match, what is done then, end. */
void nft_begin_rule(struct nft_batch *b, const char *chain);
void nft_match_family(struct nft_batch *b, int family);
void nft_match_device(struct nft_batch *b, bool in,
		      const char *name);		 /* came by it, leaves by it */
void nft_match_mark(struct nft_batch *b, uint32_t mark); /* has these bits, or some */
/* After nft_match_family(). */
void nft_match_address(struct nft_batch *b, bool source, int family, const char *set);
void nft_count(struct nft_batch *b, const char *counter);
void nft_accept(struct nft_batch *b);
void nft_drop(struct nft_batch *b);
void nft_end_rule(struct nft_batch *b);

/* Changes with each transaction of anybody. */
int nft_generation(uint32_t *out);
/* A digest of table, chains, rules and elements of these sets as the kernel has them: it stays the
 * same as long as nobody changes them. -ENOENT: something is not there. */
#define NFT_DIGEST 32
int nft_digest(const char *in_table, const char *const *chains, size_t n_chains,
	       const char *const *sets, size_t n_sets, uint8_t out[NFT_DIGEST]);
/* Of a named counter. */
int nft_counter(const char *in_table, const char *counter, uint64_t *packets);

#endif
