/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record_endpoint.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "store/record.h"

/* Takes the port behind the last colon. 0: it is no port. */
static uint16_t port_of(const char *text)
{
	unsigned int port = 0;
	size_t n = 0;

	for (; text[n]; n++) {
		if (n == 5 || !isdigit((unsigned char)text[n]))
			return 0;
		port = port * 10 + (unsigned int)(text[n] - '0');
	}
	return port <= 65535 ? (uint16_t)port : 0;
}

/* "[2001:db8::1]" and "192.0.2.1" are addresses; all else is a name. */
static const char *take_host(const char *text, size_t len, struct record_endpoint *out)
{
	const bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
	struct cidr address;

	if (len > ENDPOINT_HOST_MAX)
		return "the name is longer than 253 characters";
	for (size_t i = 0; i < len - 2 * brackets; i++)
		out->host[i] = (char)tolower((unsigned char)text[i + brackets]);
	if (!cidr_parse_address(out->host, &address))
		return brackets == (address.family == AF_INET6)
			       ? NULL
			       : "an IPv6 address needs [brackets], others have none";
	if (brackets)
		return "what is in brackets is no IPv6 address";
	if (strspn(out->host, "0123456789.") == strlen(out->host))
		return "neither an address nor a name";
	return node_name_problem(out->host) ? "neither an address nor a name" : NULL;
}

const char *record_endpoint_parse(const char *text, struct record_endpoint *out)
{
	const char *colon = strrchr(text, ':');
	struct record_endpoint e = {.port = colon ? port_of(colon + 1) : 0};
	const char *problem = "it needs a port from 1 to 65535, as in vpn.example.com:51820";

	memset(out, 0, sizeof(*out));
	if (!e.port)
		return problem;
	problem = take_host(text, (size_t)(colon - text), &e);
	if (!problem)
		*out = e;
	return problem;
}

const char *record_endpoint_format(const struct record_endpoint *e, char out[ENDPOINT_TEXT_MAX])
{
	const bool brackets = strchr(e->host, ':') != NULL;

	*out = 0;
	if (*e->host)
		snprintf(out, ENDPOINT_TEXT_MAX, "%s%s%s:%u", brackets ? "[" : "", e->host,
			 brackets ? "]" : "", e->port);
	return out;
}

bool record_endpoint_equal(const struct record_endpoint *a, const struct record_endpoint *b)
{
	return a->port == b->port && !strcmp(a->host, b->host);
}
