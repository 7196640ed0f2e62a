/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/nft_query.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <sodium.h>
#include <stdlib.h>

#include "netlink/nft_message.h"

static int ask(struct nlmsghdr *m, mnl_cb_t each, void *context)
{
	static const size_t size = NFT_MESSAGE;
	uint8_t *buffer = malloc(size);
	struct mnl_socket *s = NULL;
	int err = buffer ? nft_open(&s) : -ENOMEM, status = MNL_CB_OK;

	m->nlmsg_flags |= m->nlmsg_flags & NLM_F_DUMP ? 0 : NLM_F_ACK;
	if (!err && mnl_socket_sendto(s, m, m->nlmsg_len) < 0)
		err = -errno;
	while (!err && status == MNL_CB_OK) {
		const ssize_t n = mnl_socket_recvfrom(s, buffer, size);

		if (n < 0) {
			err = errno == EINTR ? 0 : -errno;
			continue;
		}
		status = mnl_cb_run(buffer, (size_t)n, m->nlmsg_seq, mnl_socket_get_portid(s), each,
				    context);
		if (status == MNL_CB_ERROR)
			err = -errno;
	}
	if (s)
		mnl_socket_close(s);
	free(buffer);
	return err;
}

static int on_generation(const struct nlmsghdr *m, void *context)
{
	const struct nlattr *a;

	mnl_attr_for_each (a, m, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(a) == NFTA_GEN_ID)
			*(uint32_t *)context = ntohl(mnl_attr_get_u32(a));
	return MNL_CB_OK;
}

int nft_generation(uint32_t *out)
{
	uint8_t buffer[256];

	*out = 0;
	return ask(nft_put_header(buffer, nft_type(NFT_MSG_GETGEN), 0, AF_UNSPEC, 1), on_generation,
		   out);
}

/* Hashes each answer without its header, because the header contains the generation. */
static int on_part(const struct nlmsghdr *m, void *context)
{
	crypto_generichash_update(context, mnl_nlmsg_get_payload_offset(m, sizeof(struct nfgenmsg)),
				  m->nlmsg_len - NLMSG_HDRLEN -
					  NLMSG_ALIGN(sizeof(struct nfgenmsg)));
	return MNL_CB_OK;
}

static int add_part(crypto_generichash_state *digest, uint16_t message, uint16_t flags,
		    uint16_t table_attribute, const char *table_name, uint16_t attribute,
		    const char *name)
{
	uint8_t buffer[1024];
	struct nlmsghdr *m = nft_put_header(buffer, nft_type(message), flags, NFPROTO_INET, 1);

	mnl_attr_put_strz(m, table_attribute, table_name);
	if (name)
		mnl_attr_put_strz(m, attribute, name);
	return ask(m, on_part, digest);
}

int nft_digest(const char *in_table, const char *const *chains, size_t n_chains,
	       const char *const *sets, size_t n_sets, uint8_t out[NFT_DIGEST])
{
	crypto_generichash_state digest;
	int err;

	crypto_generichash_init(&digest, NULL, 0, NFT_DIGEST);
	err = add_part(&digest, NFT_MSG_GETTABLE, 0, NFTA_TABLE_NAME, in_table, 0, NULL);
	for (size_t i = 0; i < n_chains && !err; i++)
		err = add_part(&digest, NFT_MSG_GETCHAIN, 0, NFTA_CHAIN_TABLE, in_table,
			       NFTA_CHAIN_NAME, chains[i]);
	if (!err)
		err = add_part(&digest, NFT_MSG_GETRULE, NLM_F_DUMP, NFTA_RULE_TABLE, in_table, 0,
			       NULL);
	for (size_t i = 0; i < n_sets && !err; i++)
		err = add_part(&digest, NFT_MSG_GETSETELEM, NLM_F_DUMP, NFTA_SET_ELEM_LIST_TABLE,
			       in_table, NFTA_SET_ELEM_LIST_SET, sets[i]);
	crypto_generichash_final(&digest, out, NFT_DIGEST);
	return err;
}

static int on_counter(const struct nlmsghdr *m, void *context)
{
	const struct nlattr *a, *inner;

	mnl_attr_for_each (a, m, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) != NFTA_OBJ_DATA)
			continue;
		mnl_attr_for_each_nested (inner, a)
			if (mnl_attr_get_type(inner) == NFTA_COUNTER_PACKETS)
				*(uint64_t *)context = be64toh(mnl_attr_get_u64(inner));
	}
	return MNL_CB_OK;
}

int nft_counter(const char *in_table, const char *counter, uint64_t *packets)
{
	uint8_t buffer[1024];
	struct nlmsghdr *m = nft_put_header(buffer, nft_type(NFT_MSG_GETOBJ), 0, NFPROTO_INET, 1);

	*packets = 0;
	mnl_attr_put_strz(m, NFTA_OBJ_TABLE, in_table);
	mnl_attr_put_strz(m, NFTA_OBJ_NAME, counter);
	mnl_attr_put_u32(m, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	return ask(m, on_counter, packets);
}
