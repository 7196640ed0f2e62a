/* SPDX-License-Identifier: Apache-2.0 */
/* What batches (nftables.c) and queries (nft_query.c) share: a message of nfnetlink and the socket
 * for it. */
#ifndef NETLINK_NFT_MESSAGE_H
#define NETLINK_NFT_MESSAGE_H

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdint.h>
#include <sys/socket.h>

/* Room for one message. An attribute's length has 16 bits, so no message is longer. */
#define NFT_MESSAGE 65536

static inline struct nlmsghdr *nft_put_header(void *buffer, uint16_t type, uint16_t flags,
					      int family, uint32_t sequence)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header;

	m->nlmsg_type = type;
	m->nlmsg_flags = NLM_F_REQUEST | flags;
	m->nlmsg_seq = sequence;
	header = mnl_nlmsg_put_extra_header(m, sizeof(*header));
	header->nfgen_family = (uint8_t)family;
	header->version = NFNETLINK_V0;
	return m;
}

static inline uint16_t nft_type(uint16_t message)
{
	return (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | message);
}

/* 0 or -errno. `*out` is NULL or must be closed by the caller, also after an error. */
static inline int nft_open(struct mnl_socket **out)
{
	*out = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!*out)
		return -errno;
	return mnl_socket_bind(*out, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
}

#endif
