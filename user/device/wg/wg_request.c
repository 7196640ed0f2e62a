/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of wg(8) set requests: lines of key=value. Pure. */
#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "device/wg/wg_socket.h"
#include "device/wg/wg_values.h"

struct parser {
	struct device_config *out;
	struct peer_config *peer; /* the peer that the next lines are about; NULL: the device */
	size_t room;		  /* of out->peers */
	size_t allowed_room;	  /* of peer->allowed */
	const char *problem;
};

static bool is_true(const char *value)
{
	return !strcmp(value, "true");
}

/* [+|-]address/length */
static bool allowed_ip(const char *value, struct allowed_change *out)
{
	char address[WG_LINE_MAX];
	const char *slash;
	uint64_t length;

	memset(out, 0, sizeof(*out));
	if (*value == '-' || *value == '+')
		out->remove = *value++ == '-';
	slash = strchr(value, '/');
	if (!slash || (size_t)(slash - value) >= sizeof(address))
		return false;
	memcpy(address, value, (size_t)(slash - value));
	address[slash - value] = 0;
	out->cidr.family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (!wg_parse_number(slash + 1, out->cidr.family == AF_INET ? 32 : 128, &length))
		return false;
	out->cidr.prefix_len = (uint8_t)length;
	return inet_pton(out->cidr.family, address, out->cidr.address) == 1;
}

/* Grows an array that may hold keys: the old memory is wiped. */
static int grow(void **array, size_t *room, size_t used, size_t size)
{
	size_t more = *room ? *room * 2 : 4;
	void *fresh;

	if (used < *room)
		return 0;
	fresh = calloc(more, size);
	if (!fresh)
		return -ENOMEM;
	if (*array) {
		memcpy(fresh, *array, used * size);
		sodium_memzero(*array, used * size);
		free(*array);
	}
	*array = fresh;
	*room = more;
	return 0;
}

static int fail(struct parser *p, const char *problem)
{
	p->problem = problem;
	return -EINVAL;
}

static int begin_peer(struct parser *p, const char *value)
{
	struct device_config *c = p->out;
	void *peers = c->peers;
	int err = grow(&peers, &p->room, c->n_peers, sizeof(*c->peers));

	c->peers = peers;
	if (err)
		return err;
	p->peer = &c->peers[c->n_peers];
	memset(p->peer, 0, sizeof(*p->peer));
	p->allowed_room = 0;
	if (!wg_parse_key(value, p->peer->public_key))
		return fail(p, "public_key must be 64 hexadecimal digits");
	c->n_peers++;
	return 0;
}

static int device_line(struct parser *p, const char *key, const char *value)
{
	struct device_config *c = p->out;
	uint64_t n;

	if (!strcmp(key, "private_key")) {
		if (!wg_parse_key(value, c->private_key))
			return fail(p, "private_key must be 64 hexadecimal digits");
		c->set |= DEVICE_SET_PRIVATE_KEY;
	} else if (!strcmp(key, "listen_port")) {
		if (!wg_parse_number(value, UINT16_MAX, &n))
			return fail(p, "listen_port must be 0 to 65535");
		c->listen_port = (uint16_t)n;
		c->set |= DEVICE_SET_LISTEN_PORT;
	} else if (!strcmp(key, "fwmark")) {
		if (!wg_parse_number(*value ? value : "0", UINT32_MAX, &n))
			return fail(p, "fwmark must be 0 to 4294967295");
		c->fwmark = (uint32_t)n;
		c->set |= DEVICE_SET_FWMARK;
	} else if (!strcmp(key, "replace_peers")) {
		if (!is_true(value))
			return fail(p, "replace_peers must be true");
		c->set |= DEVICE_REPLACE_PEERS;
	} else {
		return fail(p, "unknown key of a device");
	}
	return 0;
}

static int add_allowed(struct parser *p, const char *value)
{
	struct peer_config *peer = p->peer;
	void *allowed = peer->allowed;
	int err = grow(&allowed, &p->allowed_room, peer->n_allowed, sizeof(*peer->allowed));

	peer->allowed = allowed;
	if (err)
		return err;
	if (!allowed_ip(value, &peer->allowed[peer->n_allowed]))
		return fail(p, "allowed_ip must be ADDRESS/LENGTH");
	peer->n_allowed++;
	return 0;
}

static int peer_line(struct parser *p, const char *key, const char *value)
{
	struct peer_config *peer = p->peer;
	uint64_t n;

	if (!strcmp(key, "allowed_ip"))
		return add_allowed(p, value);
	if (!strcmp(key, "endpoint")) {
		if (!wg_parse_endpoint(value, &peer->endpoint))
			return fail(p, "endpoint must be IPV4:PORT or [IPV6]:PORT");
		peer->set |= PEER_SET_ENDPOINT;
	} else if (!strcmp(key, "preshared_key")) {
		if (!wg_parse_key(value, peer->preshared_key))
			return fail(p, "preshared_key must be 64 hexadecimal digits");
		peer->set |= PEER_SET_PRESHARED_KEY;
	} else if (!strcmp(key, "persistent_keepalive_interval")) {
		if (!wg_parse_number(value, UINT16_MAX, &n))
			return fail(p, "persistent_keepalive_interval must be 0 to 65535");
		peer->keepalive = (uint16_t)n;
		peer->set |= PEER_SET_KEEPALIVE;
	} else if (!strcmp(key, "remove")) {
		if (!is_true(value))
			return fail(p, "remove must be true");
		peer->set |= PEER_REMOVE;
	} else if (!strcmp(key, "update_only")) {
		if (!is_true(value))
			return fail(p, "update_only must be true");
		peer->set |= PEER_UPDATE_ONLY;
	} else if (!strcmp(key, "replace_allowed_ips")) {
		if (!is_true(value))
			return fail(p, "replace_allowed_ips must be true");
		/* Allowed IPs that the request named before this line are replaced, too. */
		peer->n_allowed = 0;
		peer->set |= PEER_REPLACE_ALLOWED_IPS;
	} else if (!strcmp(key, "protocol_version")) {
		if (strcmp(value, "1"))
			return fail(p, "protocol_version must be 1");
	} else {
		return fail(p, "unknown key of a peer");
	}
	return 0;
}

static int one_line(struct parser *p, char *line)
{
	char *equals = strchr(line, '=');

	if (!equals)
		return fail(p, "the line is not KEY=VALUE");
	*equals = 0;
	if (!strcmp(line, "public_key"))
		return begin_peer(p, equals + 1);
	return p->peer ? peer_line(p, line, equals + 1) : device_line(p, line, equals + 1);
}

int wg_request_parse(const char *text, size_t len, struct device_config *out, const char **problem,
		     size_t *line)
{
	struct parser p = {.out = out};
	char buffer[WG_LINE_MAX];
	int err = 0;

	memset(out, 0, sizeof(*out));
	*line = 0;
	while (len && !err) {
		const char *end = memchr(text, '\n', len);
		const size_t n = end ? (size_t)(end - text) : len;

		++*line;
		if (n >= sizeof(buffer)) {
			err = fail(&p, "the line is too long");
		} else if (memchr(text, 0, n)) {
			err = fail(&p, "the line contains a zero byte");
		} else if (n) {
			memcpy(buffer, text, n);
			buffer[n] = 0;
			err = one_line(&p, buffer);
		}
		text += end ? n + 1 : n;
		len -= end ? n + 1 : n;
	}
	sodium_memzero(buffer, sizeof(buffer));
	if (err) {
		device_config_fini(out);
		*problem = p.problem ? p.problem : "no memory";
	}
	return err;
}
