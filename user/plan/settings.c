/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "netlink/link.h"

enum kind {
	BOOLEAN,
	NAME,
	PORT,
	MTU,
	MTU_V6,
	PRIORITY,
	KEEPALIVE,
	RANGES,
	WIRE,
	WORKERS,
	TABLE,
	LEVEL,
	FORMAT
};

#define FIELDS(X)                                                                                  \
	X(wireguardEnabled, BOOLEAN, enabled4, "true or false", "false",                           \
	  "encrypt traffic between IPv4 pods of different nodes")                                  \
	X(wireguardEnabledV6, BOOLEAN, enabled6, "true or false", "false",                         \
	  "encrypt traffic between IPv6 pods of different nodes")                                  \
	X(wireguardInterfaceName, NAME, interface4, "a device name of 1 to 15 characters",         \
	  "wireguard.cali", "tunnel device for IPv4 pods")                                         \
	X(wireguardInterfaceNameV6, NAME, interface6, "a device name of 1 to 15 characters",       \
	  "wg-v6.cali", "tunnel device for IPv6 pods")                                             \
	X(wireguardListeningPort, PORT, port4, "1 to 65535", "51820", "UDP port for IPv4 pods")    \
	X(wireguardListeningPortV6, PORT, port6, "1 to 65535", "51821", "UDP port for IPv6 pods")  \
	X(wireguardMTU, MTU, mtu4, "0 or 576 to 65535", "0", "of the tunnel; 0: uplink - 60")      \
	X(wireguardMTUV6, MTU_V6, mtu6, "0 or 1280 to 65535", "0",                                 \
	  "of the tunnel; 0: uplink - 80")                                                         \
	X(wireguardRoutingRulePriority, PRIORITY, rule_priority, "1 to 32764", "99",               \
	  "of the rule that leads into the tunnel's table")                                        \
	X(wireguardHostEncryptionEnabled, BOOLEAN, host_encryption, "true or false", "false",      \
	  "encrypt what nodes send to each other, too")                                            \
	X(wireguardKeepAlive, KEEPALIVE, keepalive, "a duration from 0s to 65535s", "0s",          \
	  "persistent keepalive to each peer; 0s: none")                                           \
	X(wireguardThreadingEnabled, BOOLEAN, threading, "true or false", "false",                 \
	  "accepted; the workers are threads anyway")                                              \
	X(prometheusWireGuardMetricsEnabled, BOOLEAN, metrics, "true or false", "true",            \
	  "serve WireGuard metrics")                                                               \
	X(podveilStrictMode, BOOLEAN, strict, "true or false", "false",                            \
	  "no plaintext leaves for a remote pod, ever")                                            \
	X(podveilStrictCIDRs, RANGES, strict_cidrs, "up to 64 address ranges, comma between", "",  \
	  "where pods are: unpublished addresses in them count as remote")                         \
	X(podveilWire, WIRE, wire, "auto, socket or xdp", "socket",                                \
	  "how messages get to the wire")                                                          \
	X(podveilLowLatency, BOOLEAN, low_latency, "true or false", "false",                       \
	  "packets go soon rather than cheaply: workers go first, no processor sleeps")            \
	X(podveilWorkers, WORKERS, workers, "0 to 8", "0", "threads; 0: cores - 1")                \
	X(podveilRouteTable, TABLE, route_table, "1 to 252 or 256 to 4294967295", "1",             \
	  "routing table of the tunnel's routes")                                                  \
	X(podveilLogLevel, LEVEL, log_level, "error, warn, info or debug", "info",                 \
	  "what is logged")                                                                        \
	X(podveilLogFormat, FORMAT, log_format, "text or json", "text", "how it is logged")

static const struct settings_field fields[] = {
#define FIELD(name, kind, member, range, fallback, meaning) {#name, range, fallback, meaning},
	FIELDS(FIELD)
#undef FIELD
};

static const struct {
	enum kind kind;
	size_t offset, size;
} places[] = {
#define PLACE(name, kind, member, range, fallback, meaning)                                        \
	{kind, offsetof(struct settings, member), sizeof(((struct settings *)0)->member)},
	FIELDS(PLACE)
#undef PLACE
};

#define N_FIELDS (sizeof(fields) / sizeof(*fields))
_Static_assert(N_FIELDS <= SETTINGS_MAX, "SETTINGS_MAX");

/* What one layer says: values as text that were found good. */
struct layer {
	char *values[N_FIELDS]; /* NULL: it says nothing */
	char *fresh[N_FIELDS];	/* between begin and end */
	bool given[N_FIELDS], refused[N_FIELDS];
	char source[256];
	char *problem; /* the first refusal; NULL: none */
};

struct settings_stack {
	struct layer layers[SETTINGS_LAYERS];
	enum settings_layer open;
	struct settings now;
};

/* --- values --- */

static int parse_boolean(const char *text, bool *out)
{
	static const char *const words[][2] = {
		{"true", "false"}, {"1", "0"}, {"yes", "no"}, {"on", "off"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		for (int k = 0; k < 2; k++)
			if (!strcmp(text, words[i][k])) {
				*out = !k;
				return 0;
			}
	return -EINVAL;
}

static int parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	return !isdigit((unsigned char)*text) || *end || errno || *out < min || *out > max ? -EINVAL
											   : 0;
}

/* "25s", "1m30s", "1h", "1500ms" rounded up, or seconds without a unit. */
static int parse_duration(const char *text, uint16_t *out)
{
	static const struct {
		const char *unit;
		unsigned long ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	unsigned long total = 0;

	if (!*text)
		return -EINVAL;
	while (*text) {
		char *end;
		unsigned long n;
		size_t u = 0;

		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		errno = 0;
		n = strtoul(text, &end, 10);
		if (errno || n > 65535000)
			return -EINVAL;
		if (!*end && !total) {
			total = n * 1000;
			break;
		}
		while (u < 4 && (strncmp(end, units[u].unit, strlen(units[u].unit)) ||
				 isalpha((unsigned char)end[strlen(units[u].unit)])))
			u++;
		if (u == 4)
			return -EINVAL;
		total += n * units[u].ms;
		text = end + strlen(units[u].unit);
	}
	total = (total + 999) / 1000;
	if (total > UINT16_MAX)
		return -EINVAL;
	*out = (uint16_t)total;
	return 0;
}

/* Commas between, white space around. */
static int parse_list(const char *text, size_t max, int (*parse_one)(const char *text, void *to),
		      void *to, size_t size, size_t *n)
{
	char *copy = strdup(text), *at = copy, *one;
	int err = copy ? 0 : -ENOMEM;

	*n = 0;
	while (!err && (one = strsep(&at, ","))) {
		while (isspace((unsigned char)*one))
			one++;
		for (size_t len = strlen(one); len && isspace((unsigned char)one[len - 1]);)
			one[--len] = 0;
		if (!*one && !at && !*n)
			break; /* none at all */
		if (*n == max)
			err = -EINVAL;
		else
			err = parse_one(one, (char *)to + size * (*n)++);
	}
	free(copy);
	return err;
}

static int parse_range(const char *text, void *to)
{
	return cidr_parse(text, to);
}

/* Into its place of `out`, unless -EINVAL. */
static int parse(size_t i, const char *text, struct settings *out)
{
	void *to = (char *)out + places[i].offset;
	unsigned long n;

	switch (places[i].kind) {
	case BOOLEAN:
		return parse_boolean(text, to);
	case NAME:
		if (link_name_problem(text))
			return -EINVAL;
		memset(to, 0, IF_NAMESIZE);
		strcpy(to, text);
		return 0;
	case PORT:
		if (parse_number(text, 1, 65535, &n))
			return -EINVAL;
		*(uint16_t *)to = (uint16_t)n;
		return 0;
	case MTU:
	case MTU_V6:
		if (parse_number(text, 0, 65535, &n) ||
		    (n && n < (places[i].kind == MTU ? 576 : 1280)))
			return -EINVAL;
		*(uint32_t *)to = (uint32_t)n;
		return 0;
	case PRIORITY:
		if (parse_number(text, 1, 32764, &n))
			return -EINVAL;
		*(uint32_t *)to = (uint32_t)n;
		return 0;
	case KEEPALIVE:
		return parse_duration(text, to);
	case RANGES:
		return parse_list(text, SETTINGS_MAX_STRICT_CIDRS, parse_range, to,
				  sizeof(*out->strict_cidrs), &out->n_strict_cidrs);
	case WIRE:
		return wire_choice_parse(text, to);
	case WORKERS:
		if (parse_number(text, 0, 8, &n))
			return -EINVAL;
		*(uint8_t *)to = (uint8_t)n;
		return 0;
	case TABLE:
		/* 253 to 255 are the kernel's own. */
		if (parse_number(text, 1, UINT32_MAX, &n) || (n >= 253 && n <= 255))
			return -EINVAL;
		*(uint32_t *)to = (uint32_t)n;
		return 0;
	case LEVEL:
		return log_level_parse(text, to);
	case FORMAT:
		return log_format_parse(text, to);
	}
	return -EINVAL;
}

static int find(const char *name)
{
	for (size_t i = 0; i < N_FIELDS; i++)
		if (!strcmp(fields[i].name, name))
			return (int)i;
	return -1;
}

/* --- layers --- */

/* All layers put together. What is in a layer was found good alone. */
static struct settings merge(const struct settings_stack *s)
{
	struct settings out;

	memset(&out, 0, sizeof(out));
	for (size_t i = 0; i < N_FIELDS; i++)
		for (int layer = SETTINGS_LAYERS - 1; layer >= 0; layer--)
			if (s->layers[layer].values[i]) {
				parse(i, s->layers[layer].values[i], &out);
				break;
			}
	return out;
}

static const char *contradiction(const struct settings *s)
{
	if (!strcmp(s->interface4, s->interface6))
		return "wireguardInterfaceName and wireguardInterfaceNameV6 are the same";
	if (s->port4 == s->port6)
		return "wireguardListeningPort and wireguardListeningPortV6 are the same";
	return NULL;
}

struct settings_stack *settings_new(void)
{
	struct settings_stack *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	for (size_t i = 0; i < N_FIELDS; i++) {
		s->layers[SETTINGS_DEFAULT].values[i] = strdup(fields[i].fallback);
		if (!s->layers[SETTINGS_DEFAULT].values[i]) {
			settings_free(s);
			return NULL;
		}
	}
	s->now = merge(s);
	return s;
}

void settings_free(struct settings_stack *s)
{
	if (!s)
		return;
	for (size_t l = 0; l < SETTINGS_LAYERS; l++) {
		for (size_t i = 0; i < N_FIELDS; i++) {
			free(s->layers[l].values[i]);
			free(s->layers[l].fresh[i]);
		}
		free(s->layers[l].problem);
	}
	free(s);
}

static void refuse(struct layer *l, const char *field, const char *value, const char *needs,
		   const char *kept)
{
	log_error("setting refused", "source=%s field=%s value=\"%.100s\" needs=\"%s\" kept=\"%s\"",
		  l->source, field, value, needs, kept);
	if (l->problem)
		return;
	if (asprintf(&l->problem, "%s: %s: \"%.100s\" is not %s", l->source, field, value, needs) <
	    0)
		l->problem = NULL;
}

void settings_layer_begin(struct settings_stack *s, enum settings_layer layer, const char *source)
{
	struct layer *l = &s->layers[layer];

	s->open = layer;
	snprintf(l->source, sizeof(l->source), "%s", source);
	free(l->problem);
	l->problem = NULL;
	for (size_t i = 0; i < N_FIELDS; i++) {
		free(l->fresh[i]);
		l->fresh[i] = NULL;
		l->refused[i] = false;
	}
}

int settings_layer_set(struct settings_stack *s, const char *name, const char *value)
{
	struct layer *l = &s->layers[s->open];
	const int i = find(name);
	struct settings scratch;
	char kept[1024];

	if (i < 0)
		return -ENOENT;
	if (parse((size_t)i, value, &scratch)) {
		l->refused[i] = true;
		refuse(l, name, value, fields[i].range,
		       l->values[i] ? l->values[i]
				    : settings_text(s, name, kept, sizeof(kept), NULL));
		return -EINVAL;
	}
	free(l->fresh[i]);
	l->fresh[i] = strdup(value);
	return l->fresh[i] ? 0 : -ENOMEM;
}

bool settings_layer_end(struct settings_stack *s)
{
	struct layer *l = &s->layers[s->open];
	const struct settings before = s->now;
	const char *problem;

	for (size_t i = 0; i < N_FIELDS; i++) {
		char *old = l->values[i];

		if (l->refused[i] && !l->fresh[i])
			l->fresh[i] = old ? strdup(old) : NULL;
		l->values[i] = l->fresh[i];
		l->fresh[i] = old;
	}
	s->now = merge(s);
	problem = contradiction(&s->now);
	if (problem) {
		refuse(l, "(several)", problem, "two different ones", "what was in force");
		for (size_t i = 0; i < N_FIELDS; i++) {
			char *new = l->values[i];

			l->values[i] = l->fresh[i];
			l->fresh[i] = new;
		}
		s->now = merge(s);
	}
	for (size_t i = 0; i < N_FIELDS; i++) {
		free(l->fresh[i]);
		l->fresh[i] = NULL;
	}
	return memcmp(&before, &s->now, sizeof(before)) != 0;
}

void settings_layer_each(const struct settings_stack *s, enum settings_layer layer,
			 void (*value)(void *context, const char *name, const char *value),
			 void *context)
{
	for (size_t i = 0; i < N_FIELDS; i++)
		if (s->layers[layer].values[i])
			value(context, fields[i].name, s->layers[layer].values[i]);
}

bool settings_layer_refused(const struct settings_stack *s, enum settings_layer layer)
{
	return s->layers[layer].problem != NULL;
}

/* PODVEIL_WIREGUARDENABLED; what is Podveil's own does not say so twice. */
static bool is_variable(const char *variable, size_t len, const char *name)
{
	static const char prefix[] = "PODVEIL_";

	if (len <= strlen(prefix) || strncmp(variable, prefix, strlen(prefix)))
		return false;
	variable += strlen(prefix);
	len -= strlen(prefix);
	if (strlen(name) == len && !strncasecmp(variable, name, len))
		return true;
	return !strncmp(name, "podveil", 7) && strlen(name + 7) == len &&
	       !strncasecmp(variable, name + 7, len);
}

bool settings_environment(struct settings_stack *s, char **environment)
{
	settings_layer_begin(s, SETTINGS_ENVIRONMENT, "environment");
	for (; *environment; environment++) {
		const char *equals = strchr(*environment, '=');

		for (size_t i = 0; equals && i < N_FIELDS; i++)
			if (is_variable(*environment, (size_t)(equals - *environment),
					fields[i].name))
				settings_layer_set(s, fields[i].name, equals + 1);
	}
	return settings_layer_end(s);
}

const struct settings *settings_get(const struct settings_stack *s)
{
	return &s->now;
}

const char *settings_refused(const struct settings_stack *s)
{
	for (size_t l = 0; l < SETTINGS_LAYERS; l++)
		if (s->layers[l].problem)
			return s->layers[l].problem;
	return NULL;
}

const struct settings_field *settings_fields(size_t *n)
{
	*n = N_FIELDS;
	return fields;
}

const char *settings_text(const struct settings_stack *s, const char *name, char *out, size_t room,
			  enum settings_layer *from)
{
	const int i = find(name);

	for (int layer = SETTINGS_LAYERS - 1; i >= 0 && layer >= 0; layer--)
		if (s->layers[layer].values[i]) {
			snprintf(out, room, "%s", s->layers[layer].values[i]);
			if (from)
				*from = (enum settings_layer)layer;
			return out;
		}
	snprintf(out, room, "(none)");
	return out;
}
