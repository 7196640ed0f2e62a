/* SPDX-License-Identifier: Apache-2.0 */
#include "http/address.h"

#include <stdlib.h>
#include <string.h>

#define FULL ",full"

bool http_address_full(const char *text)
{
	const size_t len = strlen(text);

	return len >= strlen(FULL) && !strcmp(text + len - strlen(FULL), FULL);
}

bool http_address_split(const char *text, char address[HTTP_ADDRESS], unsigned short *port)
{
	const char *colon = strrchr(text, ':');
	unsigned long n;
	char *end;

	if (!colon || (size_t)(colon - text) >= HTTP_ADDRESS)
		return false;
	n = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || (*end && strcmp(end, FULL)) || !n || n > 65535)
		return false;
	*port = (unsigned short)n;
	memcpy(address, text, (size_t)(colon - text));
	address[colon - text] = 0;
	if (*address == '[') {
		const size_t len = strlen(address);

		if (len < 3 || address[len - 1] != ']')
			return false;
		memmove(address, address + 1, len);
		address[len - 2] = 0;
	}
	return true;
}

bool http_address_valid(const char *text)
{
	unsigned short port;
	char address[HTTP_ADDRESS];

	return http_address_split(text, address, &port);
}
