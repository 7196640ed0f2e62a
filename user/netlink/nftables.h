/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to nftables over nfnetlink (libmnl): a table in the family inet, set in one transaction. The
 * kernel does all of it or nothing. We encode the messages here, because libnftables and libnftnl are
 * under the GPL, which this program is not. Only what is needed: interval sets of addresses, base
 * chains, rules of a few expressions, named counters. nft_query.h reads.
 *
 * A batch grows message by message. If memory runs out, nft_send() fails. Names are C strings.
 * Functions return 0 or -errno and log nothing. One thread at a time.
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
void nft_match_mark(struct nft_batch *b, uint32_t mark); /* has at least one of these bits */
/* After nft_match_family(). */
void nft_match_address(struct nft_batch *b, bool source, int family, const char *set);
void nft_count(struct nft_batch *b, const char *counter);
void nft_accept(struct nft_batch *b);
void nft_drop(struct nft_batch *b);
void nft_end_rule(struct nft_batch *b);

#endif
