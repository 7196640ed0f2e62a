/* SPDX-License-Identifier: Apache-2.0 */
#include "node/metrics.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "node/fence.h"
#include "node/tunnel.h"
#include "observe/counters.h"
#include "observe/version.h"
#include "protocol/limits.h"
#include "store/store.h"

#define KEY_TEXT sodium_base64_ENCODED_LEN(KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)

/* What is written, and of whom. */
struct writer {
	FILE *f;
	const struct report_input *in;
	const char *iface;
	char public_key[KEY_TEXT];
	uint16_t port;
	const char *family; /* of samples: the one that is being written */
};

static void family(struct writer *w, const char *name, const char *type, const char *help)
{
	w->family = name;
	fprintf(w->f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value, with what the format does not take escaped. */
static void value(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			fprintf(f, "\\%c", *text);
		else if (*text == '\n')
			fputs("\\n", f);
		else
			fputc(*text, f);
	}
}

static void key_text(char out[KEY_TEXT], const uint8_t key[KEY_SIZE])
{
	sodium_bin2base64(out, KEY_TEXT, key, KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
}

/* --- WireGuard's, one family after the other over all peers --- */

static void device_identity(const struct device_view *v, void *context)
{
	struct writer *w = context;

	key_text(w->public_key, v->public_key);
	w->port = v->listen_port;
}

static void peer_sample(struct writer *w, const struct peer_view *v, double number)
{
	char key[KEY_TEXT], endpoint[REPORT_ENDPOINT];

	key_text(key, v->public_key);
	report_endpoint(&v->endpoint, endpoint);
	fprintf(w->f,
		"%s{hostname=\"%s\",public_key=\"%s\",iface=\"%s\",listen_port=\"%u\",peer_key=\"%"
		"s\","
		"peer_endpoint=\"%s\"} %.17g\n",
		w->family, w->in->node, w->public_key, w->iface, w->port, key, endpoint, number);
}

static void peer_sent(const struct peer_view *v, void *context)
{
	peer_sample(context, v, (double)v->tx_bytes);
}

static void peer_received(const struct peer_view *v, void *context)
{
	peer_sample(context, v, (double)v->rx_bytes);
}

static void peer_handshake(const struct peer_view *v, void *context)
{
	peer_sample(context, v, (double)v->last_handshake.tv_sec);
}

static void peer_session_age(const struct peer_view *v, void *context)
{
	if (v->session_age_ns != UINT64_MAX)
		peer_sample(context, v, (double)v->session_age_ns / (double)NSEC_PER_SEC);
}

static void meta(const struct device_view *v, void *context)
{
	struct writer *w = context;

	device_identity(v, w);
	fprintf(w->f, "%s{hostname=\"%s\",public_key=\"%s\",iface=\"%s\",listen_port=\"%u\"} 1\n",
		w->family, w->in->node, w->public_key, w->iface, w->port);
}

static void each_device(struct writer *w, void (*device)(const struct device_view *, void *),
			void (*peer)(const struct peer_view *, void *))
{
	for (size_t i = 0; i < w->in->n_tunnels; i++) {
		struct device *d = tunnel_device(w->in->tunnels[i]);

		if (!d)
			continue;
		w->iface = device_name(d);
		device_look(d, device ? device : device_identity, peer, w);
	}
}

static void wireguard(struct writer *w)
{
	family(w, "wireguard_meta", "gauge", "Device metadata; always 1.");
	each_device(w, meta, NULL);
	family(w, "wireguard_bytes_sent", "counter",
	       "Bytes of WireGuard messages sent to the peer.");
	each_device(w, NULL, peer_sent);
	family(w, "wireguard_bytes_rcvd", "counter",
	       "Bytes of WireGuard messages received from the peer.");
	each_device(w, NULL, peer_received);
	family(w, "wireguard_latest_handshake_seconds", "gauge",
	       "Unix time of the latest handshake with the peer; 0: never.");
	each_device(w, NULL, peer_handshake);
	family(w, "podveil_session_age_seconds", "gauge", "Age of the session with the peer.");
	each_device(w, NULL, peer_session_age);
}

/* --- counters --- */

static void device_counts(const struct device_view *v, void *context)
{
	struct writer *w = context;
	const struct {
		const char *result;
		uint64_t n;
	} results[] = {
		{"started", v->handshakes_started}, {"finished", v->handshakes_done},
		{"failed", v->handshakes_failed},   {"rate_limited", v->rate_limited},
		{"cookie_sent", v->cookies_sent},
	};

	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++)
		fprintf(w->f, "%s{iface=\"%s\",result=\"%s\"} %llu\n", w->family, w->iface,
			results[i].result, (unsigned long long)results[i].n);
}

/* Every counter as a family of its own, a sample for each device and one for the uplink. */
static void counter_families(struct writer *w, const struct counter_field *fields, size_t n,
			     const struct pv_counters *sums, const char *const *names,
			     size_t n_sums)
{
	for (size_t i = 0; i < n; i++) {
		char name[96];
		const bool time = !strcmp(fields[i].name, "busy_ns");

		snprintf(name, sizeof(name), "podveil_%s_total",
			 time ? "worker_busy_seconds" : fields[i].name);
		family(w, name, "counter", fields[i].help);
		for (size_t k = 0; k < n_sums; k++) {
			const uint64_t v = counter_read(&sums[k], &fields[i]);

			fprintf(w->f, "%s{iface=\"%s\"} %.17g\n", name, names[k],
				time ? (double)v / (double)NSEC_PER_SEC : (double)v);
		}
	}
}

static void drop_family(struct writer *w, const struct pv_counters *sums, const char *const *names,
			size_t n_sums)
{
	size_t n;
	const struct counter_field *drops = counters_drops(&n);

	family(w, "podveil_drops_total", "counter", "Packets dropped, by reason.");
	for (size_t k = 0; k < n_sums; k++)
		for (size_t i = 0; i < n; i++)
			fprintf(w->f, "%s{iface=\"%s\",reason=\"%s\"} %llu\n", w->family, names[k],
				counter_reason(&drops[i]),
				(unsigned long long)counter_read(&sums[k], &drops[i]));
}

static void counters(struct writer *w)
{
	struct pv_counters sums[3];
	const struct counter_field *fields;
	const char *names[3];
	size_t n = 0, n_fields;

	for (size_t i = 0; i < w->in->n_tunnels && n < 2; i++) {
		struct device *d = tunnel_device(w->in->tunnels[i]);

		if (!d)
			continue;
		device_counters(d, &sums[n]);
		names[n++] = device_name(d);
	}
	if (fence_stands(w->in->fence)) {
		fence_counters(w->in->fence, &sums[n]);
		names[n++] = w->in->uplink;
	}
	fields = counters_traffic(&n_fields);
	counter_families(w, fields, n_fields, sums, names, n);
	fields = counters_seen(&n_fields);
	counter_families(w, fields, n_fields, sums, names, n);
	drop_family(w, sums, names, n);
	family(w, "podveil_handshakes_total", "counter", "Handshakes, by what became of them.");
	each_device(w, device_counts, NULL);
}

/* --- the node --- */

static void count_peer(void *context, const struct tunnel_peer_status *p)
{
	size_t *n = context;

	n[0]++;
	n[1] += p->encrypting;
	n[2] += p->session;
}

static void node(struct writer *w)
{
	const struct store_health *h = w->in->store ? store_health(w->in->store) : NULL;
	static const char *const states[] = {"known", "encrypting", "session"};
	size_t n_fields, conflicts = 0;
	const struct settings_field *fields = settings_fields(&n_fields);

	for (const char *c = w->in->conflicts; c && *c; c++)
		conflicts += *c == '\n';
	family(w, "podveil_build_info", "gauge", "Version; always 1.");
	fprintf(w->f, "%s{version=\"%s\"} 1\n", w->family, PODVEIL_VERSION);
	family(w, "podveil_peers", "gauge", "Nodes with a key, and how far we are with them.");
	for (size_t i = 0; i < w->in->n_tunnels; i++) {
		size_t n[3] = {0};

		tunnel_look(w->in->tunnels[i], count_peer, n);
		for (size_t k = 0; k < 3; k++)
			fprintf(w->f, "%s{family=\"%s\",state=\"%s\"} %zu\n", w->family,
				i ? "ipv6" : "ipv4", states[k], n[k]);
	}
	family(w, "podveil_conflicts", "gauge", "Keys and ranges that two nodes claim.");
	fprintf(w->f, "%s %zu\n", w->family, conflicts);
	family(w, "podveil_store_synced", "gauge", "1: the store was read completely.");
	fprintf(w->f, "%s %d\n", w->family, w->in->synced);
	family(w, "podveil_store_last_sync_seconds", "gauge",
	       "Unix time of the last complete reading.");
	fprintf(w->f, "%s %llu\n", w->family, h ? (unsigned long long)h->last_sync : 0);
	family(w, "podveil_store_errors_total", "counter",
	       "Files and answers that could not be used.");
	fprintf(w->f, "%s %llu\n", w->family, h ? (unsigned long long)h->errors : 0);
	family(w, "podveil_settings_refused", "gauge",
	       "1: a setting is refused; status tells which.");
	fprintf(w->f, "%s %d\n", w->family, settings_refused(w->in->settings) != NULL);
	family(w, "podveil_setting_info", "gauge", "Settings in force; always 1.");
	for (size_t i = 0; i < n_fields; i++) {
		char text[1024];

		settings_text(w->in->settings, fields[i].name, text, sizeof(text), NULL);
		fprintf(w->f, "%s{name=\"%s\",value=\"", w->family, fields[i].name);
		value(w->f, text);
		fputs("\"} 1\n", w->f);
	}
}

char *metrics_text(const struct report_input *in)
{
	struct writer w = {.in = in};
	char *text = NULL;
	size_t len;

	w.f = open_memstream(&text, &len);
	if (!w.f)
		return NULL;
	if (settings_get(in->settings)->metrics)
		wireguard(&w);
	counters(&w);
	node(&w);
	if (fclose(w.f)) {
		free(text);
		return NULL;
	}
	return text;
}
