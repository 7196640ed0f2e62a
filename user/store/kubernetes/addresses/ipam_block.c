/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/addresses/ipam_block.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "store/record.h"

int ipam_block_range(const json_t *spec, struct cidr *out, char *problem, size_t room)
{
	const char *text = json_string_value(json_object_get(spec, "cidr"));

	if (text && !cidr_parse(text, out))
		return 0;
	snprintf(problem, room, "spec.cidr: \"%.60s\" is not an address range", text ? text : "");
	return -EINVAL;
}

/* The node in "host:NODE". NULL: the block has no owner. */
static const char *owner_of(const json_t *spec)
{
	const char *affinity = json_string_value(json_object_get(spec, "affinity"));

	return affinity && !strncmp(affinity, "host:", 5) && !node_name_problem(affinity + 5)
		       ? affinity + 5
		       : NULL;
}

/* The address with this ordinal in the block. False: it is outside of the block. */
static bool address_at(const struct cidr *block, size_t ordinal, struct cidr *out)
{
	const int len = block->family == AF_INET ? 4 : 16;
	const unsigned int bits = (unsigned int)len * 8 - block->prefix_len;

	if (bits < 32 && ordinal >> bits)
		return false;
	*out = *block;
	out->prefix_len = (uint8_t)(len * 8);
	for (int i = len - 1; i >= 0 && ordinal; i--) {
		ordinal += out->address[i];
		out->address[i] = (uint8_t)ordinal;
		ordinal >>= 8;
	}
	return true;
}

/* The node on which an address of the block is used. NULL: none, or not known. */
static const char *user_of(const json_t *allocation, const json_t *attributes)
{
	const json_t *a, *secondary;

	if (!json_is_integer(allocation) || json_integer_value(allocation) < 0)
		return NULL;
	a = json_array_get(attributes, (size_t)json_integer_value(allocation));
	secondary = json_object_get(a, "secondary");
	return json_string_value(json_object_get(secondary, "node"));
}

void ipam_block_each_share(const json_t *spec, const struct cidr *range,
			   void (*share)(void *context, const char *node, const struct cidr *range,
					 bool whole),
			   void *context)
{
	const json_t *allocations = json_object_get(spec, "allocations"), *v;
	const json_t *attributes = json_object_get(spec, "attributes");
	const char *owner = owner_of(spec);
	size_t i;

	if (owner)
		share(context, owner, range, true);
	json_array_foreach (allocations, i, v) {
		const char *user = user_of(v, attributes);
		struct cidr address;

		if (user && (!owner || strcmp(user, owner) != 0) && !node_name_problem(user) &&
		    address_at(range, i, &address))
			share(context, user, &address, false);
	}
}
