/* SPDX-License-Identifier: Apache-2.0 */
#include "service/report.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/counters.h"
#include "device/wg/wg_values.h"

/* Calls `take` for each line, whose value may not be changed. Stops at the first error. */
static int each_line(const char *text,
		     int (*take)(void *context, const char *key, const char *value), void *context)
{
	char line[WG_LINE_MAX];
	int err = 0;

	while (*text && *text != '\n' && !err) {
		const size_t n = strcspn(text, "\n");
		char *equals;

		if (n >= sizeof(line))
			return -EPROTO;
		memcpy(line, text, n);
		line[n] = 0;
		equals = strchr(line, '=');
		if (!equals)
			return -EPROTO;
		*equals = 0;
		err = take(context, line, equals + 1);
		text += n + (text[n] == '\n');
	}
	return err;
}

bool report_value(const char *text, const char *key, char *out, size_t room)
{
	const size_t n = strlen(key);

	while (*text && *text != '\n') {
		const size_t len = strcspn(text, "\n");

		if (len > n && !memcmp(text, key, n) && text[n] == '=') {
			if (len - n > room)
				return false;
			memcpy(out, text + n + 1, len - n - 1);
			out[len - n - 1] = 0;
			return true;
		}
		text += len + (text[len] == '\n');
	}
	return false;
}

bool report_has(const char *text, const char *key, const char *value)
{
	const size_t n = strlen(key), m = strlen(value);

	while (*text && *text != '\n') {
		const size_t len = strcspn(text, "\n");

		if (len == n + 1 + m && !memcmp(text, key, n) && text[n] == '=' &&
		    !memcmp(text + n + 1, value, m))
			return true;
		text += len + (text[len] == '\n');
	}
	return false;
}

/* --- devices and peers --- */

struct reader {
	struct report *out;
	size_t room; /* of out->peers */
};

static int copy(char *to, size_t room, const char *value)
{
	if (strlen(value) >= room)
		return -EPROTO;
	memcpy(to, value, strlen(value) + 1);
	return 0;
}

static int number(const char *value, uint64_t max, uint64_t *out)
{
	return wg_parse_number(value, max, out) ? 0 : -EPROTO;
}

static int handshakes(struct report *r, const char *kind, const char *value)
{
	static const char *const kinds[] = {
#define KIND(id, result, cause, help) [HANDSHAKE_##id] = result "." cause,
		HANDSHAKE_COUNTERS(KIND)
#undef KIND
	};

	for (size_t i = 0; i < HANDSHAKE_COUNTS; i++)
		if (!strcmp(kind, kinds[i]))
			return number(value, UINT64_MAX, &r->device.handshakes[i]);
	return 0;
}

static int device_text(struct report *r, const char *key, const char *value, bool *known)
{
	struct device_view *v = &r->device;

	*known = true;
	if (!strcmp(key, "name"))
		return copy(r->name, sizeof(r->name), value);
	if (!strcmp(key, "own_public_key")) {
		v->has_key = wg_parse_key(value, v->public_key);
		return v->has_key ? 0 : -EPROTO;
	}
	if (!strcmp(key, "aead"))
		return copy(r->aead, sizeof(r->aead), value);
	if (!strcmp(key, "wire"))
		return copy(r->wire, sizeof(r->wire), value);
	if (!strcmp(key, "wire_reason"))
		return copy(v->wire_reason, sizeof(v->wire_reason), value);
	if (!strcmp(key, "latency_missing"))
		return copy(v->latency_missing, sizeof(v->latency_missing), value);
	if (!strncmp(key, "handshakes.", strlen("handshakes.")))
		return handshakes(r, key + strlen("handshakes."), value);
	*known = false;
	return 0;
}

static int device_line(struct report *r, const char *key, const char *value)
{
	struct device_view *v = &r->device;
	bool known;
	uint64_t n;
	int err = device_text(r, key, value, &known);

	if (known || err)
		return err;
	if (!wg_parse_number(value, UINT64_MAX, &n))
		return 0; /* of a newer process */
	if (!strcmp(key, "ifindex"))
		r->ifindex = (int)n;
	else if (!strcmp(key, "version"))
		r->version = n;
	else if (!strcmp(key, "listen_port"))
		v->listen_port = (uint16_t)n;
	else if (!strcmp(key, "fwmark"))
		v->fwmark = (uint32_t)n;
	else if (!strcmp(key, "peers"))
		v->n_peers = n;
	else if (!strcmp(key, "superpackets"))
		v->superpackets = n;
	else if (!strcmp(key, "workers"))
		v->workers = n < PV_MAX_WORKERS ? (unsigned int)n : PV_MAX_WORKERS;
	else if (!strcmp(key, "mtu"))
		v->mtu = (uint32_t)n;
	else if (!strcmp(key, "wire_refused"))
		v->wire_refused = n;
	else if (!strcmp(key, "low_latency"))
		v->low_latency = n;
	return 0;
}

static int begin_peer(struct reader *s, const char *value)
{
	struct report *r = s->out;
	struct peer_view *p;

	if (ARRAY_GROW(r->peers, r->n_peers, s->room))
		return -ENOMEM;
	p = &r->peers[r->n_peers];
	*p = (struct peer_view){.session_age_ns = UINT64_MAX};
	if (!wg_parse_key(value, p->public_key))
		return -EPROTO;
	r->n_peers++;
	return 0;
}

static int peer_line(struct peer_view *p, const char *key, const char *value)
{
	uint64_t n;

	if (!strcmp(key, "endpoint"))
		return wg_parse_endpoint(value, &p->endpoint) ? 0 : -EPROTO;
	if (!wg_parse_number(value, UINT64_MAX, &n))
		return 0; /* of a newer process */
	if (!strcmp(key, "last_handshake_time_sec"))
		p->last_handshake.tv_sec = (time_t)n;
	else if (!strcmp(key, "last_handshake_time_nsec"))
		p->last_handshake.tv_nsec = (long)n;
	else if (!strcmp(key, "tx_bytes"))
		p->tx_bytes = n;
	else if (!strcmp(key, "rx_bytes"))
		p->rx_bytes = n;
	else if (!strcmp(key, "tx_packets"))
		p->tx_packets = n;
	else if (!strcmp(key, "rx_packets"))
		p->rx_packets = n;
	else if (!strcmp(key, "persistent_keepalive_interval"))
		p->keepalive = (uint16_t)n;
	else if (!strcmp(key, "sessions"))
		p->sessions = n;
	else if (!strcmp(key, "session_age_ns"))
		p->session_age_ns = n;
	else if (!strcmp(key, "staged"))
		p->staged = (uint32_t)n;
	else if (!strcmp(key, "attempts"))
		p->attempts = (unsigned int)n;
	return 0;
}

static int take_line(void *context, const char *key, const char *value)
{
	struct reader *s = context;
	struct report *r = s->out;

	if (!strcmp(key, "public_key"))
		return begin_peer(s, value);
	return r->n_peers ? peer_line(&r->peers[r->n_peers - 1], key, value)
			  : device_line(r, key, value);
}

int report_parse(const char *text, struct report *out)
{
	struct reader s = {.out = out};
	int err;

	memset(out, 0, sizeof(*out));
	err = each_line(text, take_line, &s);
	if (!err && (!*out->name || !out->ifindex))
		err = -EPROTO;
	if (err)
		report_fini(out);
	return err;
}

void report_fini(struct report *r)
{
	free(r->peers);
	memset(r, 0, sizeof(*r));
}

/* --- counters --- */

struct counters_reader {
	struct pv_counters *slots;
	uint64_t slot;
};

static int take_counter(void *context, const char *key, const char *value)
{
	struct counters_reader *s = context;
	size_t k;
	uint64_t n;

	if (!strcmp(key, "slot"))
		return number(value, PV_COUNTER_SLOTS - 1, &s->slot);
	k = counters_find(key);
	if (k == COUNTERS_NUMBERS)
		return 0;
	if (number(value, UINT64_MAX, &n))
		return -EPROTO;
	((uint64_t *)&s->slots[s->slot])[k] = n;
	return 0;
}

int report_parse_counters(const char *text, struct pv_counters slots[PV_COUNTER_SLOTS])
{
	struct counters_reader s = {.slots = slots};

	memset(slots, 0, PV_COUNTER_SLOTS * sizeof(*slots));
	return each_line(text, take_counter, &s);
}
