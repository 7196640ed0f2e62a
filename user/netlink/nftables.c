/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/nftables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cidr.h"
#include "netlink/nft_message.h"

/* Of 40 bytes at most each: two for an interval. */
#define INTERVALS_A_MESSAGE 512

_Static_assert((int)NFT_HOOK_PREROUTING == (int)NF_INET_PRE_ROUTING &&
		       (int)NFT_HOOK_FORWARD == (int)NF_INET_FORWARD &&
		       (int)NFT_HOOK_POSTROUTING == (int)NF_INET_POST_ROUTING,
	       "the kernel's numbers");

struct nft_batch {
	const char *table;
	uint8_t *buffer;
	size_t used, room;
	uint32_t sequence;
	bool failed;
	struct nlmsghdr *message; /* the one that is being written, in buffer */
	struct nlattr *expressions;
};

/* --- messages --- */

static bool reserve(struct nft_batch *b)
{
	uint8_t *more;

	if (b->room - b->used >= NFT_MESSAGE)
		return true;
	more = realloc(b->buffer, b->room * 2 + NFT_MESSAGE);
	if (!more) {
		b->failed = true;
		return false;
	}
	b->buffer = more;
	b->room = b->room * 2 + NFT_MESSAGE;
	return true;
}

/* False: no memory. Then nothing more is written. */
static bool begin(struct nft_batch *b, uint16_t message, uint16_t flags)
{
	if (b->failed || !reserve(b))
		return false;
	b->message = nft_put_header(b->buffer + b->used, nft_type(message), flags, NFPROTO_INET,
				    ++b->sequence);
	return true;
}

static void end(struct nft_batch *b)
{
	b->used += MNL_ALIGN(b->message->nlmsg_len);
}

static void put_u32(struct nft_batch *b, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(b->message, type, htonl(value));
}

static void put_value(struct nft_batch *b, uint16_t type, const void *value, size_t size)
{
	struct nlattr *nest = mnl_attr_nest_start(b->message, type);

	mnl_attr_put(b->message, NFTA_DATA_VALUE, size, value);
	mnl_attr_nest_end(b->message, nest);
}

static void put_boundary(struct nft_batch *b, uint16_t type)
{
	struct nfgenmsg *header;
	struct nlmsghdr *m;

	if (b->failed || !reserve(b))
		return;
	m = nft_put_header(b->buffer + b->used, type, 0, AF_UNSPEC, ++b->sequence);
	header = mnl_nlmsg_get_payload(m);
	header->res_id = htons(NFNL_SUBSYS_NFTABLES);
	b->used += MNL_ALIGN(m->nlmsg_len);
}

struct nft_batch *nft_begin(const char *table)
{
	struct nft_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->table = table;
	put_boundary(b, NFNL_MSG_BATCH_BEGIN);
	return b;
}

/* --- table, sets, chains --- */

static void table(struct nft_batch *b, uint16_t message, uint16_t flags)
{
	if (!begin(b, message, flags))
		return;
	mnl_attr_put_strz(b->message, NFTA_TABLE_NAME, b->table);
	end(b);
}

void nft_add_table(struct nft_batch *b)
{
	table(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);
}

void nft_delete_table(struct nft_batch *b)
{
	table(b, NFT_MSG_DELTABLE, 0);
}

void nft_add_counter(struct nft_batch *b, const char *name)
{
	if (!begin(b, NFT_MSG_NEWOBJ, NLM_F_CREATE))
		return;
	mnl_attr_put_strz(b->message, NFTA_OBJ_TABLE, b->table);
	mnl_attr_put_strz(b->message, NFTA_OBJ_NAME, name);
	put_u32(b, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
	mnl_attr_nest_end(b->message, mnl_attr_nest_start(b->message, NFTA_OBJ_DATA));
	end(b);
}

/* What nft(8) calls the types of addresses: so it prints them as such. */
enum { TYPE_IPADDR = 7, TYPE_IP6ADDR = 8 };

void nft_add_set(struct nft_batch *b, const char *name, int family)
{
	if (!begin(b, NFT_MSG_NEWSET, NLM_F_CREATE))
		return;
	mnl_attr_put_strz(b->message, NFTA_SET_TABLE, b->table);
	mnl_attr_put_strz(b->message, NFTA_SET_NAME, name);
	put_u32(b, NFTA_SET_ID, b->sequence);
	put_u32(b, NFTA_SET_FLAGS, NFT_SET_INTERVAL);
	put_u32(b, NFTA_SET_KEY_TYPE, family == AF_INET ? TYPE_IPADDR : TYPE_IP6ADDR);
	put_u32(b, NFTA_SET_KEY_LEN, (uint32_t)cidr_address_size(family));
	end(b);
}

static void element(struct nft_batch *b, const uint8_t *key, size_t size, uint32_t flags)
{
	struct nlattr *nest = mnl_attr_nest_start(b->message, NFTA_LIST_ELEM);

	put_value(b, NFTA_SET_ELEM_KEY, key, size);
	if (flags)
		put_u32(b, NFTA_SET_ELEM_FLAGS, flags);
	mnl_attr_nest_end(b->message, nest);
}

/* The address that follows this one; false: this is the last one. */
static bool next_address(const uint8_t *address, size_t size, uint8_t *out)
{
	memcpy(out, address, size);
	for (size_t i = size; i--;)
		if (++out[i])
			return true;
	return false;
}

void nft_add_intervals(struct nft_batch *b, const char *set, int family,
		       const struct nft_interval *all, size_t n)
{
	const size_t size = cidr_address_size(family);

	for (size_t i = 0; i < n;) {
		const size_t stop = n - i > INTERVALS_A_MESSAGE ? i + INTERVALS_A_MESSAGE : n;
		struct nlattr *list;

		if (!begin(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE))
			return;
		mnl_attr_put_strz(b->message, NFTA_SET_ELEM_LIST_TABLE, b->table);
		mnl_attr_put_strz(b->message, NFTA_SET_ELEM_LIST_SET, set);
		list = mnl_attr_nest_start(b->message, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (; i < stop; i++) {
			uint8_t behind[16];

			element(b, all[i].first, size, 0);
			if (next_address(all[i].last, size, behind))
				element(b, behind, size, NFT_SET_ELEM_INTERVAL_END);
		}
		mnl_attr_nest_end(b->message, list);
		end(b);
	}
}

void nft_add_chain(struct nft_batch *b, const char *name, enum nft_hook hook, int priority)
{
	struct nlattr *nest;

	if (!begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE))
		return;
	mnl_attr_put_strz(b->message, NFTA_CHAIN_TABLE, b->table);
	mnl_attr_put_strz(b->message, NFTA_CHAIN_NAME, name);
	nest = mnl_attr_nest_start(b->message, NFTA_CHAIN_HOOK);
	put_u32(b, NFTA_HOOK_HOOKNUM, (uint32_t)hook);
	put_u32(b, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	mnl_attr_nest_end(b->message, nest);
	put_u32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
	mnl_attr_put_strz(b->message, NFTA_CHAIN_TYPE, "filter");
	end(b);
}

/* --- rules --- */

void nft_begin_rule(struct nft_batch *b, const char *chain)
{
	if (!begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND))
		return;
	mnl_attr_put_strz(b->message, NFTA_RULE_TABLE, b->table);
	mnl_attr_put_strz(b->message, NFTA_RULE_CHAIN, chain);
	b->expressions = mnl_attr_nest_start(b->message, NFTA_RULE_EXPRESSIONS);
}

void nft_end_rule(struct nft_batch *b)
{
	if (b->failed)
		return;
	mnl_attr_nest_end(b->message, b->expressions);
	end(b);
}

struct expression {
	struct nlattr *element, *data;
};

static struct expression open_expression(struct nft_batch *b, const char *name)
{
	struct expression e = {.element = mnl_attr_nest_start(b->message, NFTA_LIST_ELEM)};

	mnl_attr_put_strz(b->message, NFTA_EXPR_NAME, name);
	e.data = mnl_attr_nest_start(b->message, NFTA_EXPR_DATA);
	return e;
}

static void close_expression(struct nft_batch *b, struct expression e)
{
	mnl_attr_nest_end(b->message, e.data);
	mnl_attr_nest_end(b->message, e.element);
}

static void load_meta(struct nft_batch *b, uint32_t key)
{
	struct expression e = open_expression(b, "meta");

	put_u32(b, NFTA_META_KEY, key);
	put_u32(b, NFTA_META_DREG, NFT_REG_1);
	close_expression(b, e);
}

static void compare(struct nft_batch *b, uint32_t op, const void *value, size_t size)
{
	struct expression e = open_expression(b, "cmp");

	put_u32(b, NFTA_CMP_SREG, NFT_REG_1);
	put_u32(b, NFTA_CMP_OP, op);
	put_value(b, NFTA_CMP_DATA, value, size);
	close_expression(b, e);
}

void nft_match_family(struct nft_batch *b, int family)
{
	const uint8_t protocol = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;

	if (b->failed)
		return;
	load_meta(b, NFT_META_NFPROTO);
	compare(b, NFT_CMP_EQ, &protocol, sizeof(protocol));
}

void nft_match_device(struct nft_batch *b, bool in, const char *name)
{
	char padded[IF_NAMESIZE] = "";

	if (b->failed)
		return;
	memcpy(padded, name, strnlen(name, sizeof(padded) - 1));
	load_meta(b, in ? NFT_META_IIFNAME : NFT_META_OIFNAME);
	compare(b, NFT_CMP_EQ, padded, sizeof(padded));
}

void nft_match_mark(struct nft_batch *b, uint32_t mark)
{
	const uint32_t zero = 0;
	struct expression e;

	if (b->failed)
		return;
	load_meta(b, NFT_META_MARK);
	e = open_expression(b, "bitwise");
	put_u32(b, NFTA_BITWISE_SREG, NFT_REG_1);
	put_u32(b, NFTA_BITWISE_DREG, NFT_REG_1);
	put_u32(b, NFTA_BITWISE_LEN, sizeof(mark));
	put_value(b, NFTA_BITWISE_MASK, &mark, sizeof(mark));
	put_value(b, NFTA_BITWISE_XOR, &zero, sizeof(zero));
	close_expression(b, e);
	compare(b, NFT_CMP_NEQ, &zero, sizeof(zero));
}

/* Where IP's header has them. */
static uint32_t address_offset(bool source, int family)
{
	if (family == AF_INET)
		return source ? 12 : 16;
	return source ? 8 : 24;
}

void nft_match_address(struct nft_batch *b, bool source, int family, const char *set)
{
	struct expression e;

	if (b->failed)
		return;
	e = open_expression(b, "payload");
	put_u32(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_u32(b, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	put_u32(b, NFTA_PAYLOAD_OFFSET, address_offset(source, family));
	put_u32(b, NFTA_PAYLOAD_LEN, (uint32_t)cidr_address_size(family));
	close_expression(b, e);
	e = open_expression(b, "lookup");
	mnl_attr_put_strz(b->message, NFTA_LOOKUP_SET, set);
	put_u32(b, NFTA_LOOKUP_SREG, NFT_REG_1);
	close_expression(b, e);
}

void nft_count(struct nft_batch *b, const char *counter)
{
	struct expression e;

	if (b->failed)
		return;
	e = open_expression(b, "objref");
	put_u32(b, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	mnl_attr_put_strz(b->message, NFTA_OBJREF_IMM_NAME, counter);
	close_expression(b, e);
}

static void verdict(struct nft_batch *b, uint32_t code)
{
	struct nlattr *data, *nest;
	struct expression e;

	if (b->failed)
		return;
	e = open_expression(b, "immediate");
	put_u32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(b->message, NFTA_IMMEDIATE_DATA);
	nest = mnl_attr_nest_start(b->message, NFTA_DATA_VERDICT);
	put_u32(b, NFTA_VERDICT_CODE, code);
	mnl_attr_nest_end(b->message, nest);
	mnl_attr_nest_end(b->message, data);
	close_expression(b, e);
}

void nft_accept(struct nft_batch *b)
{
	verdict(b, NF_ACCEPT);
}

void nft_drop(struct nft_batch *b)
{
	verdict(b, NF_DROP);
}

/* --- sending --- */

/* The kernel has answered when sendto() returns: an error for each message that failed, and the
 * acknowledgement that only the last one asked for. */
static int read_answers(const struct mnl_socket *s, uint32_t last)
{
	static const size_t size = NFT_MESSAGE;
	uint8_t *buffer = malloc(size);
	bool acknowledged = false;
	int err = 0;
	ssize_t n;

	if (!buffer)
		return -ENOMEM;
	while (!err && (n = recv(mnl_socket_get_fd(s), buffer, size, MSG_DONTWAIT)) > 0) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)buffer;

		for (int left = (int)n; mnl_nlmsg_ok(m, left) && !err;
		     m = mnl_nlmsg_next(m, &left)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(m);

			if (m->nlmsg_type != NLMSG_ERROR)
				continue;
			err = e->error;
			acknowledged |= m->nlmsg_seq == last;
		}
	}
	free(buffer);
	return err ? err : acknowledged ? 0 : -EIO;
}

int nft_send(struct nft_batch *b)
{
	struct mnl_socket *s = NULL;
	uint32_t last;
	int err = -ENOMEM, size;

	if (!b)
		return err;
	last = b->sequence;
	if (!b->failed && b->message)
		b->message->nlmsg_flags |= NLM_F_ACK;
	put_boundary(b, NFNL_MSG_BATCH_END);
	if (b->failed)
		goto out;
	err = nft_open(&s);
	if (err)
		goto out;
	size = (int)b->used * 2 + NFT_MESSAGE;
	setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (mnl_socket_sendto(s, b->buffer, b->used) < 0)
		err = -errno;
	else
		err = read_answers(s, last);
out:
	if (s)
		mnl_socket_close(s);
	free(b->buffer);
	free(b);
	return err;
}
