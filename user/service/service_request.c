/* SPDX-License-Identifier: Apache-2.0 */
#include "service/service_request.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "device/wg/wg_socket.h"
#include "device/wg/wg_values.h"
#include "netlink/link.h"
#include "podveil/counters.h"

#define BIT(verb) (1u << (verb))

static const char *const verbs[SERVICE_VERBS] = {
	[SERVICE_HELLO] = "hello",
	[SERVICE_EVENTS] = "events",
	[SERVICE_LOG] = "log",
	[SERVICE_QUIT] = "quit",
	[SERVICE_KEY] = "key",
	[SERVICE_TAKE_KEY] = "take_key",
	[SERVICE_FORGET_KEY] = "forget_key",
	[SERVICE_MAKE] = "make",
	[SERVICE_DROP] = "drop",
	[SERVICE_SET] = "set",
	[SERVICE_GET] = "get",
	[SERVICE_COUNTERS] = "counters",
	[SERVICE_HANDSHAKE] = "handshake",
	[SERVICE_REPAIR] = "repair",
};

const char *service_verb_name(enum service_verb verb)
{
	return verbs[verb];
}

/* --- values --- */

static bool boolean(const char *value, bool *out)
{
	*out = !strcmp(value, "true");
	return *out || !strcmp(value, "false");
}

static bool link_name(const char *value, char out[IF_NAMESIZE])
{
	if (link_name_problem(value))
		return false;
	memcpy(out, value, strlen(value) + 1);
	return true;
}

static bool take_name(struct service_request *r, const char *value)
{
	return link_name(value, r->name);
}

static bool take_inner_name(struct service_request *r, const char *value)
{
	return link_name(value, r->inner_name);
}

static bool take_from(struct service_request *r, const char *value)
{
	return link_name(value, r->from);
}

static bool take_workers(struct service_request *r, const char *value)
{
	uint64_t n;

	if (!wg_parse_number(value, PV_MAX_WORKERS, &n))
		return false;
	r->workers = (unsigned int)n;
	return true;
}

static bool take_mtu(struct service_request *r, const char *value)
{
	uint64_t n;

	if (!wg_parse_number(value, UINT16_MAX, &n))
		return false;
	r->mtu = (uint32_t)n;
	return true;
}

static bool take_wire(struct service_request *r, const char *value)
{
	return !wire_mode_parse(value, &r->wire);
}

static bool take_uplink(struct service_request *r, const char *value)
{
	uint64_t n;

	if (!wg_parse_number(value, INT_MAX, &n))
		return false;
	r->uplink = (int)n;
	return true;
}

static bool take_low_latency(struct service_request *r, const char *value)
{
	return boolean(value, &r->low_latency);
}

static bool take_own_key(struct service_request *r, const char *value)
{
	return boolean(value, &r->own_key) && r->own_key;
}

static bool take_anyway(struct service_request *r, const char *value)
{
	return boolean(value, &r->anyway);
}

static bool take_level(struct service_request *r, const char *value)
{
	return !log_level_parse(value, &r->level);
}

static bool take_format(struct service_request *r, const char *value)
{
	return !log_format_parse(value, &r->format);
}

/* --- lines --- */

static const struct own_line {
	const char *key;
	enum service_line bit;
	unsigned int verbs; /* that may have it */
	bool (*take)(struct service_request *r, const char *value);
	const char *problem;
} own_lines[] = {
	{"name", LINE_NAME, BIT(SERVICE_MAKE), take_name, "name must be that of a device"},
	{"inner_name", LINE_INNER_NAME, BIT(SERVICE_MAKE), take_inner_name,
	 "inner_name must be that of a device"},
	{"workers", LINE_WORKERS, BIT(SERVICE_MAKE) | BIT(SERVICE_SET), take_workers,
	 "workers must be 0 to 8"},
	{"mtu", LINE_MTU, BIT(SERVICE_MAKE), take_mtu, "mtu must be 0 to 65535"},
	{"wire", LINE_WIRE, BIT(SERVICE_SET), take_wire, "wire must be auto, socket or xdp"},
	{"uplink", LINE_UPLINK, BIT(SERVICE_SET), take_uplink, "uplink must be an ifindex"},
	{"low_latency", LINE_LOW_LATENCY, BIT(SERVICE_SET), take_low_latency,
	 "low_latency must be true or false"},
	{"own_key", LINE_OWN_KEY, BIT(SERVICE_SET), take_own_key, "own_key must be true"},
	{"from", LINE_FROM, BIT(SERVICE_TAKE_KEY), take_from, "from must be the name of a device"},
	{"anyway", LINE_ANYWAY, BIT(SERVICE_HANDSHAKE), take_anyway,
	 "anyway must be true or false"},
	{"level", LINE_LEVEL, BIT(SERVICE_LOG), take_level,
	 "level must be error, warn, info or debug"},
	{"format", LINE_FORMAT, BIT(SERVICE_LOG), take_format, "format must be text or json"},
};

/* What a verb cannot do without. */
static unsigned int needed(enum service_verb verb)
{
	return verb == SERVICE_MAKE	  ? LINE_NAME | LINE_INNER_NAME
	       : verb == SERVICE_TAKE_KEY ? LINE_FROM
					  : 0;
}

static const struct own_line *find_line(const char *key, size_t len)
{
	for (size_t i = 0; i < sizeof(own_lines) / sizeof(*own_lines); i++)
		if (strlen(own_lines[i].key) == len && !memcmp(own_lines[i].key, key, len))
			return &own_lines[i];
	return NULL;
}

static bool is_word(const char *value)
{
	return *value && strlen(value) <= SERVICE_ID_MAX &&
	       strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(value);
}

/* The value after the verb: a protocol, 1, or a device's ID. */
static const char *take_subject(struct service_request *r, const char *value)
{
	uint64_t n;

	if (r->verb == SERVICE_HELLO) {
		if (!wg_parse_number(value, UINT32_MAX, &n))
			return "hello must be the number of a protocol";
		r->protocol = (uint32_t)n;
		return NULL;
	}
	if (r->verb <= SERVICE_QUIT)
		return strcmp(value, "1") ? "value must be 1" : NULL;
	if (!is_word(value))
		return "device must be a word of a-z, 0-9 and -, of at most 31 characters";
	memcpy(r->id, value, strlen(value) + 1);
	return NULL;
}

static const char *take_verb(struct service_request *r, char *line, char *equals)
{
	*equals = 0;
	for (r->verb = 0; r->verb < SERVICE_VERBS; r->verb++)
		if (!strcmp(line, verbs[r->verb]))
			return take_subject(r, equals + 1);
	return "unknown request";
}

/* Takes one of our lines. *rest: it is none of ours. */
static const char *take_line(struct service_request *r, char *line, char *equals, bool *rest)
{
	const struct own_line *l = find_line(line, (size_t)(equals - line));

	*rest = !l;
	if (!l)
		return NULL;
	if (!(l->verbs & BIT(r->verb)))
		return "the line does not belong to this request";
	if (r->has & l->bit)
		return "the line is there twice";
	r->has |= l->bit;
	return l->take(r, equals + 1) ? NULL : l->problem;
}

/* The next line of the text as a string. */
static const char *copy_line(const char *text, size_t n, char out[WG_LINE_MAX], char **equals)
{
	if (n >= WG_LINE_MAX)
		return "the line is longer than any key and value";
	if (memchr(text, 0, n))
		return "the line contains a zero byte";
	memcpy(out, text, n);
	out[n] = 0;
	*equals = strchr(out, '=');
	return *equals ? NULL : "the line is not KEY=VALUE";
}

/* The lines of wg's protocol, which come last. */
static int take_rest(struct service_request *r, const char *text, size_t len, const char **problem,
		     size_t *line)
{
	size_t in_rest;
	int err;

	if (r->verb != SERVICE_SET && r->verb != SERVICE_HANDSHAKE) {
		*problem = "the request has no such line";
		return -EINVAL;
	}
	err = wg_request_parse(text, len, &r->config, problem, &in_rest);
	if (err)
		*line += in_rest - 1;
	if (!err && r->config.set & DEVICE_SET_PRIVATE_KEY) {
		*problem = "private_key is made here, and nowhere else";
		err = -EPERM;
	}
	for (size_t i = 0; i < r->config.n_peers && !err && r->verb == SERVICE_HANDSHAKE; i++)
		if (r->config.peers[i].set || r->config.peers[i].n_allowed)
			err = -EINVAL;
	if (!err && r->verb == SERVICE_HANDSHAKE && r->config.set)
		err = -EINVAL;
	if (err && !*problem)
		*problem = "handshake takes nothing but keys";
	return err;
}

int service_request_parse(const char *text, size_t len, struct service_request *out,
			  const char **problem, size_t *line)
{
	char buffer[WG_LINE_MAX], *equals;
	bool rest = false, first = true;
	int err;

	memset(out, 0, sizeof(*out));
	*problem = NULL;
	for (*line = 1; len && *text != '\n' && !rest && !*problem; first = false) {
		const char *end = memchr(text, '\n', len);
		const size_t n = end ? (size_t)(end - text) : len;

		*problem = copy_line(text, n, buffer, &equals);
		if (!*problem)
			*problem = first ? take_verb(out, buffer, equals)
					 : take_line(out, buffer, equals, &rest);
		if (rest || *problem)
			break;
		text += end ? n + 1 : n;
		len -= end ? n + 1 : n;
		++*line;
	}
	if (!*problem && first)
		*problem = "unknown request";
	if (!*problem && (out->has & needed(out->verb)) != needed(out->verb))
		*problem = "a line that this request needs is missing";
	err = *problem ? -EINVAL : rest ? take_rest(out, text, len, problem, line) : 0;
	if (err)
		service_request_fini(out);
	return err;
}

void service_request_fini(struct service_request *r)
{
	device_config_fini(&r->config);
}
