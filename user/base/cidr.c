/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t bits_of(const struct cidr *c)
{
	return c->family == AF_INET6 ? 128 : 32;
}

int cidr_parse_address(const char *text, struct cidr *out)
{
	struct cidr c = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(c.family, text, c.address) != 1)
		return -EINVAL;
	c.prefix_len = bits_of(&c);
	*out = c;
	return 0;
}

int cidr_parse(const char *text, struct cidr *out)
{
	const char *slash = strchr(text, '/');
	char address[CIDR_TEXT];
	struct cidr c;
	char *end;
	unsigned long length;

	if (!slash)
		return cidr_parse_address(text, out);
	if ((size_t)(slash - text) >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = 0;
	if (cidr_parse_address(address, &c))
		return -EINVAL;
	length = strtoul(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end || length > bits_of(&c))
		return -EINVAL;
	c.prefix_len = (uint8_t)length;
	*out = cidr_masked(&c);
	return 0;
}

const char *cidr_format(const struct cidr *c, bool host, char out[CIDR_TEXT])
{
	size_t at;

	if (!inet_ntop(c->family, c->address, out, CIDR_TEXT)) {
		snprintf(out, CIDR_TEXT, "(none)");
		return out;
	}
	at = strlen(out);
	if (!host || c->prefix_len != bits_of(c))
		snprintf(out + at, CIDR_TEXT - at, "/%u", c->prefix_len);
	return out;
}

struct cidr cidr_masked(const struct cidr *c)
{
	struct cidr m = *c;
	const unsigned int bytes = bits_of(&m) / 8;

	for (unsigned int i = 0; i < sizeof(m.address); i++) {
		unsigned int bits = m.prefix_len > 8 * i ? m.prefix_len - 8 * i : 0;

		if (i >= bytes || !bits)
			m.address[i] = 0;
		else if (bits < 8)
			m.address[i] &= (uint8_t)(0xff << (8 - bits));
	}
	return m;
}

/* The address as two numbers, the more significant one first: fleets of nodes and pods are sorted by
 * it again and again. */
static void numbers_of(const struct cidr *c, uint64_t out[2])
{
	memcpy(out, c->address, sizeof(c->address));
	out[0] = be64toh(out[0]);
	out[1] = be64toh(out[1]);
}

int cidr_compare(const struct cidr *a, const struct cidr *b)
{
	uint64_t x[2], y[2];

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	numbers_of(a, x);
	numbers_of(b, y);
	if (x[0] != y[0])
		return x[0] < y[0] ? -1 : 1;
	if (x[1] != y[1])
		return x[1] < y[1] ? -1 : 1;
	return (int)a->prefix_len - (int)b->prefix_len;
}

bool cidr_contains(const struct cidr *outer, const struct cidr *inner)
{
	const unsigned int length = outer->prefix_len;
	uint64_t x[2], y[2];

	if (outer->family != inner->family || length > inner->prefix_len)
		return false;
	numbers_of(outer, x);
	numbers_of(inner, y);
	if (length <= 64)
		return !length || !((x[0] ^ y[0]) >> (64 - length));
	return x[0] == y[0] && !((x[1] ^ y[1]) >> (128 - length));
}
