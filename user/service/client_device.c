/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "device/wg/wg_values.h"
#include "service/client_internal.h"

/* A report is as good as new for so long. */
#define FRESH_NS 100000000u

/* --- requests about a device --- */

/* Notes what an answer says about the device itself. */
static int note(struct client_device *d, int err)
{
	if ((err == -ENODEV || err == -ENOTCONN) && !d->ended)
		d->ended = true;
	return err;
}

static int ask(struct client_device *d, struct evbuffer *request, char **answer)
{
	if (answer)
		*answer = NULL;
	return d->ended ? -ENODEV : note(d, client_request(d->client, request, answer));
}

static struct evbuffer *begin(const char *verb, const struct client_device *d)
{
	struct evbuffer *out = evbuffer_new();

	if (out)
		evbuffer_add_printf(out, "%s=%s\n", verb, d->id);
	return out;
}

/* Ends the request, sends it and frees it. The last report is outdated then. */
static int finish(struct client_device *d, struct evbuffer *request, char **answer)
{
	int err;

	evbuffer_add(request, "\n", 1);
	err = ask(d, request, answer);
	evbuffer_free(request);
	d->report_time = 0;
	return err;
}

/* The device has been configured `version` times, the last `ours` of them by us. */
static void note_version(struct client_device *d, uint64_t version, unsigned int ours)
{
	d->by_others |= version != d->version + ours;
	d->version = version;
}

/* --- reports --- */

static bool is_fresh(uint64_t time)
{
	return time && clock_now() - time < FRESH_NS;
}

static int refresh(struct client_device *d)
{
	struct evbuffer *request;
	struct report fresh;
	char *answer;
	int err;

	if (is_fresh(d->report_time))
		return 0;
	request = begin("get", d);
	if (!request)
		return -ENOMEM;
	err = finish(d, request, &answer);
	if (err)
		return err;
	err = report_parse(answer, &fresh);
	free(answer);
	if (err)
		return err;
	report_fini(&d->report);
	d->report = fresh;
	d->report_time = clock_now();
	note_version(d, fresh.version, 0);
	return 0;
}

void client_device_report(struct client_device *d,
			  void (*device)(const struct device_view *, void *context),
			  void (*peer)(const struct peer_view *, void *context), void *context)
{
	refresh(d);
	d->report.device.aead = d->report.aead;
	d->report.device.wire = d->report.wire;
	if (device)
		device(&d->report.device, context);
	for (size_t i = 0; peer && i < d->report.n_peers; i++)
		peer(&d->report.peers[i], context);
}

bool client_device_configured_by_others(struct client_device *d)
{
	refresh(d);
	return d->by_others;
}

void client_device_forgive(struct client_device *d)
{
	d->by_others = false;
}

const char *client_device_name(const struct client_device *d)
{
	return d->report.name;
}

int client_device_ifindex(const struct client_device *d)
{
	return d->report.ifindex;
}

bool client_device_ended(const struct client_device *d)
{
	return d->ended;
}

static void refresh_counters(struct client_device *d)
{
	struct evbuffer *request;
	char *answer;

	if (is_fresh(d->counters_time))
		return;
	request = begin("counters", d);
	if (!request)
		return;
	evbuffer_add(request, "\n", 1);
	if (!ask(d, request, &answer)) {
		if (!report_parse_counters(answer, d->counters))
			d->counters_time = clock_now();
		free(answer);
	}
	evbuffer_free(request);
}

void client_device_counters(struct client_device *d, struct pv_counters *sum)
{
	refresh_counters(d);
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < PV_COUNTER_SLOTS; i++)
		counters_add(sum, &d->counters[i]);
}

void client_device_worker_counters(struct client_device *d, unsigned int worker,
				   struct pv_counters *out)
{
	refresh_counters(d);
	*out = d->counters[worker];
}

/* --- news --- */

void client_device_news(struct client_device *d, const char *event)
{
	const struct client_device_params p = d->params;

	d->report_time = 0;
	if (!strcmp(event, "ended")) {
		d->ended = true;
		p.ended(d, p.context);
	} else if (!strcmp(event, "renamed")) {
		refresh(d);
		p.renamed(d, p.context);
	} else if (!strcmp(event, "sessions")) {
		p.sessions(d, p.context);
	}
}

/* --- making and freeing --- */

int client_device_make(struct client *c, const struct client_device_params *params,
		       struct client_device **out)
{
	struct client_device *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->client = c;
	d->params = *params;
	snprintf(d->id, sizeof(d->id), "%s", params->id);
	err = client_ask(c, NULL,
			 "make=%s\nname=%s\ninner_name=%s\nworkers=%u\nmtu=%" PRIu32 "\n\n", d->id,
			 params->name, params->inner_name, params->workers, params->mtu);
	if (!err)
		err = refresh(d);
	d->by_others = false; /* an earlier agent did */
	if (err) {
		free(d);
		return err;
	}
	TAILQ_INSERT_TAIL(&c->devices, d, list);
	*out = d;
	return 0;
}

void client_device_free(struct client_device *d, bool remove)
{
	if (!d)
		return;
	if (remove && client_connected(d->client))
		client_ask(d->client, NULL, "drop=%s\n\n", d->id);
	TAILQ_REMOVE(&d->client->devices, d, list);
	report_fini(&d->report);
	free(d);
}

/* --- configuration --- */

static int set_line(struct client_device *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int set_line(struct client_device *d, const char *format, ...)
{
	struct evbuffer *request = begin("set", d);
	va_list arguments;

	if (!request)
		return -ENOMEM;
	va_start(arguments, format);
	evbuffer_add_vprintf(request, format, arguments);
	va_end(arguments);
	return finish(d, request, NULL);
}

int client_device_set_workers(struct client_device *d, unsigned int workers)
{
	return set_line(d, "workers=%u\n", workers);
}

int client_device_set_wire(struct client_device *d, enum wire_mode wire, int uplink)
{
	static const char *const words[] = {
		[WIRE_AUTO] = "auto", [WIRE_SOCKET] = "socket", [WIRE_XDP] = "xdp"};

	return set_line(d, "wire=%s\nuplink=%d\n", words[wire], uplink);
}

int client_device_set_low_latency(struct client_device *d, bool on)
{
	return set_line(d, "low_latency=%s\n", on ? "true" : "false");
}

static void put_peer(struct evbuffer *out, const struct peer_config *p)
{
	char address[INET6_ADDRSTRLEN];

	wg_put_key(out, "public_key", p->public_key);
	if (p->set & PEER_UPDATE_ONLY)
		evbuffer_add_printf(out, "update_only=true\n");
	if (p->set & PEER_REMOVE)
		evbuffer_add_printf(out, "remove=true\n");
	if (p->set & PEER_SET_PRESHARED_KEY)
		wg_put_key(out, "preshared_key", p->preshared_key);
	if (p->set & PEER_SET_ENDPOINT)
		wg_put_endpoint(out, &p->endpoint);
	if (p->set & PEER_SET_KEEPALIVE)
		evbuffer_add_printf(out, "persistent_keepalive_interval=%u\n", p->keepalive);
	if (p->set & PEER_REPLACE_ALLOWED_IPS)
		evbuffer_add_printf(out, "replace_allowed_ips=true\n");
	for (size_t i = 0; i < p->n_allowed; i++) {
		const struct cidr *c = &p->allowed[i].cidr;

		inet_ntop(c->family, c->address, address, sizeof(address));
		evbuffer_add_printf(out, "allowed_ip=%s%s/%u\n", p->allowed[i].remove ? "-" : "",
				    address, c->prefix_len);
	}
}

int client_device_configure(struct client_device *d, const struct device_config *config,
			    bool own_key)
{
	struct evbuffer *request = begin("set", d);
	char *answer, version[24];
	int err;

	if (!request)
		return -ENOMEM;
	if (own_key)
		evbuffer_add_printf(request, "own_key=true\n");
	if (config->set & DEVICE_SET_LISTEN_PORT)
		evbuffer_add_printf(request, "listen_port=%u\n", config->listen_port);
	if (config->set & DEVICE_SET_FWMARK)
		evbuffer_add_printf(request, "fwmark=%" PRIu32 "\n", config->fwmark);
	if (config->set & DEVICE_REPLACE_PEERS)
		evbuffer_add_printf(request, "replace_peers=true\n");
	for (size_t i = 0; i < config->n_peers; i++)
		put_peer(request, &config->peers[i]);
	err = finish(d, request, &answer);
	if (err)
		return err;
	if (report_value(answer, "version", version, sizeof(version)))
		note_version(d, strtoull(version, NULL, 10),
			     own_key || config->set || config->n_peers);
	free(answer);
	return 0;
}

int client_device_start_handshakes(struct client_device *d, const uint8_t (*keys)[KEY_SIZE],
				   size_t n, bool anyway)
{
	struct evbuffer *request;

	if (!n)
		return 0;
	request = begin("handshake", d);
	if (!request)
		return -ENOMEM;
	if (anyway)
		evbuffer_add_printf(request, "anyway=true\n");
	for (size_t i = 0; i < n; i++)
		wg_put_key(request, "public_key", keys[i]);
	return finish(d, request, NULL);
}

int client_device_repair(struct client_device *d)
{
	struct evbuffer *request = begin("repair", d);
	char *answer, text[16];
	int err, repaired;

	if (!request)
		return -ENOMEM;
	evbuffer_add(request, "\n", 1);
	err = ask(d, request, &answer);
	evbuffer_free(request);
	if (err)
		return err;
	repaired = report_value(answer, "repaired", text, sizeof(text)) ? atoi(text) : 0;
	free(answer);
	return repaired;
}
