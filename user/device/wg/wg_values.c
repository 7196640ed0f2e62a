/* SPDX-License-Identifier: Apache-2.0 */
#include "device/wg/wg_values.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <net/if.h>
#include <sodium.h>
#include <string.h>

bool wg_parse_key(const char *value, uint8_t out[KEY_SIZE])
{
	size_t len;

	return strlen(value) == 2 * KEY_SIZE &&
	       !sodium_hex2bin(out, KEY_SIZE, value, 2 * KEY_SIZE, NULL, &len, NULL) &&
	       len == KEY_SIZE;
}

bool wg_parse_number(const char *value, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (!*value || strlen(value) > 20)
		return false;
	for (; *value; value++) {
		if (*value < '0' || *value > '9')
			return false;
		n = n * 10 + (uint64_t)(*value - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

bool wg_parse_endpoint(const char *value, struct endpoint *out)
{
	char address[WG_LINE_MAX];
	const char *colon = strrchr(value, ':');
	uint64_t port;
	size_t len;

	if (!colon || !wg_parse_number(colon + 1, UINT16_MAX, &port) || !port)
		return false;
	len = (size_t)(colon - value);
	if (len >= sizeof(address))
		return false;
	memcpy(address, value, len);
	address[len] = 0;
	memset(out, 0, sizeof(*out));
	if (address[0] != '[') {
		out->to.v4.sin_family = AF_INET;
		out->to.v4.sin_port = htons((uint16_t)port);
		return inet_pton(AF_INET, address, &out->to.v4.sin_addr) == 1;
	}
	if (len < 2 || address[len - 1] != ']')
		return false;
	address[len - 1] = 0;

	char *scope = strchr(address, '%');
	uint64_t index;

	if (scope) {
		*scope++ = 0;
		if (wg_parse_number(scope, UINT32_MAX, &index))
			out->to.v6.sin6_scope_id = (uint32_t)index;
		else
			out->to.v6.sin6_scope_id = if_nametoindex(scope);
		if (!out->to.v6.sin6_scope_id)
			return false;
	}
	out->to.v6.sin6_family = AF_INET6;
	out->to.v6.sin6_port = htons((uint16_t)port);
	return inet_pton(AF_INET6, address + 1, &out->to.v6.sin6_addr) == 1;
}

void wg_put_key(struct evbuffer *out, const char *name, const uint8_t key[KEY_SIZE])
{
	char hex[2 * KEY_SIZE + 1];

	sodium_bin2hex(hex, sizeof(hex), key, KEY_SIZE);
	evbuffer_add_printf(out, "%s=%s\n", name, hex);
	sodium_memzero(hex, sizeof(hex));
}

void wg_put_endpoint(struct evbuffer *out, const struct endpoint *e)
{
	char address[INET6_ADDRSTRLEN];

	if (e->to.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &e->to.v4.sin_addr, address, sizeof(address));
		evbuffer_add_printf(out, "endpoint=%s:%u\n", address, ntohs(e->to.v4.sin_port));
	} else if (e->to.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &e->to.v6.sin6_addr, address, sizeof(address));
		if (e->to.v6.sin6_scope_id)
			evbuffer_add_printf(out, "endpoint=[%s%%%" PRIu32 "]:%u\n", address,
					    e->to.v6.sin6_scope_id, ntohs(e->to.v6.sin6_port));
		else
			evbuffer_add_printf(out, "endpoint=[%s]:%u\n", address,
					    ntohs(e->to.v6.sin6_port));
	}
}
