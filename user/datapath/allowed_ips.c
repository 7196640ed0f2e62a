/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compressed binary trie for each IP version. A node is either a prefix that a remote has, or the
 * fork between two such prefixes. Each change becomes visible to readers with one pointer write.
 */
#include "datapath/allowed_ips.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <urcu-qsbr.h>

#include "datapath/remote.h"

/* An address as a number of 128 bits; IPv4 in the uppermost 32. */
struct bits {
	uint64_t high, low;
};

struct allowed_node {
	struct bits prefix;
	uint8_t length;
	struct remote *owner;	       /* (rcu) NULL: the node only joins its children */
	struct allowed_node *child[2]; /* (rcu) */
	struct rcu_head rcu;
	/* Only the control thread uses these; they are valid if there is an owner. */
	uint8_t family;
	uint64_t number;
	TAILQ_ENTRY(allowed_node) list;
};

struct allowed_ips {
	struct allowed_node *root4, *root6; /* (rcu) */
	uint64_t inserted;
};

static struct bits bits_of(int family, const uint8_t *address)
{
	struct bits b = {0, 0};

	if (family == AF_INET) {
		uint32_t v4;

		memcpy(&v4, address, sizeof(v4));
		b.high = (uint64_t)be32toh(v4) << 32;
	} else {
		memcpy(&b.high, address, sizeof(b.high));
		memcpy(&b.low, address + sizeof(b.high), sizeof(b.low));
		b.high = be64toh(b.high);
		b.low = be64toh(b.low);
	}
	return b;
}

/* How many leading bits two addresses share. */
static unsigned int common(struct bits a, struct bits b)
{
	if (a.high != b.high)
		return (unsigned int)__builtin_clzll(a.high ^ b.high);
	if (a.low != b.low)
		return 64 + (unsigned int)__builtin_clzll(a.low ^ b.low);
	return 128;
}

static unsigned int bit_at(struct bits b, unsigned int i)
{
	return (unsigned int)((i < 64 ? b.high >> (63 - i) : b.low >> (127 - i)) & 1);
}

static struct bits mask(struct bits b, unsigned int length)
{
	if (length == 0)
		b.high = 0;
	else if (length < 64)
		b.high &= ~0ull << (64 - length);
	if (length <= 64)
		b.low = 0;
	else if (length < 128)
		b.low &= ~0ull << (128 - length);
	return b;
}

struct allowed_ips *allowed_ips_new(void)
{
	return calloc(1, sizeof(struct allowed_ips));
}

static void free_tree(struct allowed_node *n)
{
	if (!n)
		return;
	free_tree(n->child[0]);
	free_tree(n->child[1]);
	free(n);
}

void allowed_ips_free(struct allowed_ips *a)
{
	if (!a)
		return;
	free_tree(a->root4);
	free_tree(a->root6);
	free(a);
}

static int check(const struct cidr *c)
{
	if (c->family == AF_INET)
		return c->prefix_len <= 32 ? 0 : -EINVAL;
	if (c->family == AF_INET6)
		return c->prefix_len <= 128 ? 0 : -EINVAL;
	return -EINVAL;
}

static struct allowed_node **root_of(struct allowed_ips *a, int family)
{
	return family == AF_INET ? &a->root4 : &a->root6;
}

static struct allowed_node *node_new(struct bits prefix, unsigned int length)
{
	struct allowed_node *n = calloc(1, sizeof(*n));

	if (n) {
		n->prefix = prefix;
		n->length = (uint8_t)length;
	}
	return n;
}

/* Takes the node off its owner's list. Readers still see the owner. */
static void unlist(struct allowed_node *n)
{
	if (!n->owner)
		return;
	TAILQ_REMOVE(&n->owner->allowed, n, list);
	n->owner->n_allowed--;
}

static void give(struct allowed_ips *a, struct allowed_node *n, int family, struct remote *owner)
{
	unlist(n);
	n->family = (uint8_t)family;
	n->number = a->inserted++;
	TAILQ_INSERT_TAIL(&owner->allowed, n, list);
	owner->n_allowed++;
	rcu_assign_pointer(n->owner, owner);
}

int allowed_ips_insert(struct allowed_ips *a, const struct cidr *cidr, struct remote *owner,
		       struct remote **previous)
{
	const unsigned int length = cidr->prefix_len;
	struct allowed_node **link, *there, *fresh, *fork;
	struct bits prefix;
	unsigned int shared;

	*previous = NULL;
	if (check(cidr))
		return -EINVAL;
	prefix = mask(bits_of(cidr->family, cidr->address), length);
	link = root_of(a, cidr->family);
	/* Go down past all nodes that cover the prefix. */
	while ((there = *link) && there->length < length &&
	       common(there->prefix, prefix) >= there->length)
		link = &there->child[bit_at(prefix, there->length)];
	if (there && there->length == length && common(there->prefix, prefix) >= length) {
		*previous = there->owner;
		give(a, there, cidr->family, owner);
		return 0;
	}
	fresh = node_new(prefix, length);
	if (!fresh)
		return -ENOMEM;
	if (!there) {
		give(a, fresh, cidr->family, owner);
		rcu_assign_pointer(*link, fresh);
		return 0;
	}
	shared = common(there->prefix, prefix);
	if (shared >= length) { /* the new prefix covers the present one */
		give(a, fresh, cidr->family, owner);
		fresh->child[bit_at(there->prefix, length)] = there;
		rcu_assign_pointer(*link, fresh);
		return 0;
	}
	fork = node_new(mask(prefix, shared), shared);
	if (!fork) {
		free(fresh);
		return -ENOMEM;
	}
	give(a, fresh, cidr->family, owner);
	fork->child[bit_at(prefix, shared)] = fresh;
	fork->child[bit_at(there->prefix, shared)] = there;
	rcu_assign_pointer(*link, fork);
	return 0;
}

static void release(struct rcu_head *head)
{
	free(caa_container_of(head, struct allowed_node, rcu));
}

/* Removes the node if it has no owner and fewer than two children. */
static bool splice(struct allowed_node **link)
{
	struct allowed_node *n = *link;

	if (n->owner || (n->child[0] && n->child[1]))
		return false;
	rcu_assign_pointer(*link, n->child[0] ? n->child[0] : n->child[1]);
	call_rcu(&n->rcu, release);
	return true;
}

int allowed_ips_remove(struct allowed_ips *a, const struct cidr *cidr, const struct remote *owner)
{
	const unsigned int length = cidr->prefix_len;
	struct allowed_node **link, **above = NULL, *there;
	struct bits prefix;

	if (check(cidr))
		return -EINVAL;
	prefix = mask(bits_of(cidr->family, cidr->address), length);
	link = root_of(a, cidr->family);
	while ((there = *link) && there->length < length &&
	       common(there->prefix, prefix) >= there->length) {
		above = link;
		link = &there->child[bit_at(prefix, there->length)];
	}
	if (!there || there->length != length || common(there->prefix, prefix) < length ||
	    there->owner != owner || !owner)
		return -ENOENT;
	unlist(there);
	rcu_assign_pointer(there->owner, NULL);
	if (splice(link) && above)
		splice(above);
	return 0;
}

static struct cidr cidr_of(const struct allowed_node *n)
{
	struct cidr c = {.family = n->family, .prefix_len = n->length};
	uint64_t high = htobe64(n->prefix.high), low = htobe64(n->prefix.low);

	memcpy(c.address, &high, sizeof(high));
	memcpy(c.address + sizeof(high), &low, sizeof(low));
	return c;
}

void allowed_ips_each(const struct remote *owner,
		      void (*visit)(const struct cidr *cidr, void *context), void *context)
{
	const struct allowed_node *n;

	TAILQ_FOREACH (n, &owner->allowed, list) {
		const struct cidr c = cidr_of(n);

		visit(&c, context);
	}
}

uint64_t allowed_ips_inserted(const struct allowed_ips *a)
{
	return a->inserted;
}

bool allowed_ips_oldest(const struct remote *owner, struct cidr *out, uint64_t *number)
{
	const struct allowed_node *n = TAILQ_FIRST(&owner->allowed);

	if (!n)
		return false;
	*out = cidr_of(n);
	*number = n->number;
	return true;
}

struct remote *allowed_ips_lookup(const struct allowed_ips *a, int family, const uint8_t *address)
{
	const struct bits bits = bits_of(family, address);
	const unsigned int width = family == AF_INET ? 32 : 128;
	const struct allowed_node *n =
		rcu_dereference(*(family == AF_INET ? &a->root4 : &a->root6));
	struct remote *best = NULL;

	while (n && common(n->prefix, bits) >= n->length) {
		struct remote *owner = rcu_dereference(n->owner);

		if (owner)
			best = owner;
		if (n->length == width)
			break;
		n = rcu_dereference(n->child[bit_at(bits, n->length)]);
	}
	return best;
}
