/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report/metrics.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/report/process_metrics.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/version.h"
#include "device/device.h"
#include "protocol/limits.h"
#include "store/store.h"
#include "strict/fence.h"
#include "strict/first_line.h"
#include "tunnel/tunnel.h"

#define KEY_TEXT    sodium_base64_ENCODED_LEN(KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)
#define MAX_DEVICES 2

/* --- what there is to be written, looked at once --- */

struct peer_sample {
	char key[KEY_TEXT], endpoint[REPORT_ENDPOINT];
	uint64_t sent, received, packets_sent, packets_received;
	uint64_t session_age; /* ns; UINT64_MAX: no session */
	uint32_t staged;
	long long handshake;
};

struct device_sample {
	const char *name, *family;
	struct tunnel *tunnel;
	char public_key[KEY_TEXT];
	struct device_view view; /* without the private key */
	struct pv_counters sum, worker[PV_MAX_WORKERS];
	struct peer_sample *peers;
	size_t n_peers, room;
};

struct writer {
	FILE *f;
	const struct report_input *in;
	struct device_sample devices[MAX_DEVICES];
	size_t n_devices;
	struct pv_counters uplink;
	bool fence;
};

static void key_text(char out[KEY_TEXT], const uint8_t key[KEY_SIZE])
{
	sodium_bin2base64(out, KEY_TEXT, key, KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
}

static void take_device(const struct device_view *v, void *context)
{
	struct device_sample *d = context;

	d->view = *v;
	sodium_memzero(d->view.private_key, sizeof(d->view.private_key));
	key_text(d->public_key, v->public_key);
	d->peers = calloc(v->n_peers ? v->n_peers : 1, sizeof(*d->peers));
	d->room = d->peers ? v->n_peers : 0;
}

static void take_peer(const struct peer_view *v, void *context)
{
	struct device_sample *d = context;
	struct peer_sample *p;

	if (d->n_peers == d->room)
		return;
	p = &d->peers[d->n_peers++];
	key_text(p->key, v->public_key);
	report_endpoint(&v->endpoint, p->endpoint);
	p->sent = v->tx_bytes;
	p->received = v->rx_bytes;
	p->packets_sent = v->tx_packets;
	p->packets_received = v->rx_packets;
	p->session_age = v->session_age_ns;
	p->staged = v->staged;
	p->handshake = v->last_handshake.tv_sec;
}

static void look(struct writer *w)
{
	for (size_t i = 0; i < w->in->n_tunnels && w->n_devices < MAX_DEVICES; i++) {
		struct device *device = tunnel_device(w->in->tunnels[i]);
		struct device_sample *d = &w->devices[w->n_devices];

		if (!device)
			continue;
		d->tunnel = w->in->tunnels[i];
		d->name = device_name(device);
		d->family = i ? "ipv6" : "ipv4";
		device_look(device, take_device, take_peer, d);
		device_counters(device, &d->sum);
		for (unsigned int k = 0; k < d->view.workers; k++)
			device_worker_counters(device, k, &d->worker[k]);
		w->n_devices++;
	}
	w->fence = fence_n_exits(w->in->fence);
	if (w->fence)
		fence_counters(w->in->fence, &w->uplink);
}

/* --- writing --- */

static void family(struct writer *w, const char *name, const char *type, const char *help)
{
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

static void single(struct writer *w, const char *name, const char *type, const char *help, double n)
{
	family(w, name, type, help);
	fprintf(w->f, "%s %.17g\n", name, n);
}

#define EACH_DEVICE(w, d)                                                                          \
	for (const struct device_sample *d = (w)->devices; d < (w)->devices + (w)->n_devices; d++)
#define EACH_PEER(d, p)                                                                            \
	for (const struct peer_sample *p = (d)->peers; p < (d)->peers + (d)->n_peers; p++)

/* --- WireGuard's, with Calico's names --- */

static void peer_family(struct writer *w, const char *name, const char *type, const char *help,
			uint64_t (*read)(const struct peer_sample *p))
{
	family(w, name, type, help);
	EACH_DEVICE (w, d)
		EACH_PEER (d, p)
			fprintf(w->f,
				"%s{hostname=\"%s\",public_key=\"%s\",iface=\"%s\",listen_port="
				"\"%u\",peer_key=\"%s\",peer_endpoint=\"%s\"} %llu\n",
				name, w->in->node, d->public_key, d->name, d->view.listen_port,
				p->key, p->endpoint, (unsigned long long)read(p));
}

static uint64_t bytes_sent(const struct peer_sample *p)
{
	return p->sent;
}

static uint64_t bytes_received(const struct peer_sample *p)
{
	return p->received;
}

static uint64_t handshake(const struct peer_sample *p)
{
	return (uint64_t)p->handshake;
}

static void wireguard(struct writer *w)
{
	family(w, "wireguard_meta", "gauge", "Device metadata; always 1.");
	EACH_DEVICE (w, d)
		fprintf(w->f,
			"wireguard_meta{hostname=\"%s\",public_key=\"%s\",iface=\"%s\",listen_port="
			"\"%u\"} 1\n",
			w->in->node, d->public_key, d->name, d->view.listen_port);
	peer_family(w, "wireguard_bytes_sent", "counter",
		    "Bytes of WireGuard messages sent to the peer.", bytes_sent);
	peer_family(w, "wireguard_bytes_rcvd", "counter",
		    "Bytes of WireGuard messages received from the peer.", bytes_received);
	peer_family(w, "wireguard_latest_handshake_seconds", "gauge",
		    "Unix time of the latest handshake with the peer; 0: never.", handshake);
}

/* --- peers --- */

struct nodes_written {
	struct writer *w;
	const struct device_sample *d;
};

static void node_sample(void *context, const struct tunnel_peer_status *p)
{
	const struct nodes_written *x = context;
	char key[KEY_TEXT];

	key_text(key, p->key);
	fprintf(x->w->f, "podveil_peer_encrypting{iface=\"%s\",node=\"%s\",peer_key=\"%s\"} %d\n",
		x->d->name, p->node, key, p->encrypting);
}

static void count_peer(void *context, const struct tunnel_peer_status *p)
{
	size_t *n = context;

	n[0]++;
	n[1] += p->encrypting;
	n[2] += p->session;
}

static void peers(struct writer *w)
{
	static const char *const states[] = {"known", "encrypting", "session"};

	family(w, "podveil_peers", "gauge", "Nodes with a key, and how far we are with them.");
	for (size_t i = 0; i < w->in->n_tunnels; i++) {
		size_t n[3] = {0};

		tunnel_look(w->in->tunnels[i], count_peer, n);
		for (size_t k = 0; k < 3; k++)
			fprintf(w->f, "podveil_peers{family=\"%s\",state=\"%s\"} %zu\n",
				i ? "ipv6" : "ipv4", states[k], n[k]);
	}
	family(w, "podveil_peer_encrypting", "gauge",
	       "1: what goes to the pods of this node is encrypted; 0: it is in plain.");
	EACH_DEVICE (w, d)
		tunnel_look(d->tunnel, node_sample, &(struct nodes_written){w, d});
	family(w, "podveil_session_age_seconds", "gauge",
	       "Age of the session with the peer; absent: no session stands.");
	EACH_DEVICE (w, d)
		EACH_PEER (d, p)
			if (p->session_age != UINT64_MAX)
				fprintf(w->f,
					"podveil_session_age_seconds{iface=\"%s\",peer_key=\"%s\"} "
					"%.3f\n",
					d->name, p->key,
					(double)p->session_age / (double)NSEC_PER_SEC);
	family(w, "podveil_staged_packets", "gauge",
	       "Packets that wait until a session with the peer stands.");
	EACH_DEVICE (w, d)
		EACH_PEER (d, p)
			fprintf(w->f, "podveil_staged_packets{iface=\"%s\",peer_key=\"%s\"} %u\n",
				d->name, p->key, p->staged);
	family(w, "podveil_peer_messages_total", "counter",
	       "WireGuard messages exchanged with the peer.");
	EACH_DEVICE (w, d)
		EACH_PEER (d, p)
			fprintf(w->f,
				"podveil_peer_messages_total{iface=\"%s\",peer_key=\"%s\","
				"direction=\"sent\"} %llu\n"
				"podveil_peer_messages_total{iface=\"%s\",peer_key=\"%s\","
				"direction=\"received\"} %llu\n",
				d->name, p->key, (unsigned long long)p->packets_sent, d->name,
				p->key, (unsigned long long)p->packets_received);
}

/* --- counters --- */

static void counter_sample(struct writer *w, const char *name, const char *iface,
			   const struct pv_counters *c, const struct counter_field *field)
{
	fprintf(w->f, "%s{iface=\"%s\"} %llu\n", name, iface,
		(unsigned long long)counter_read(c, field));
}

/* Every counter as a family of its own, a sample for each device and one for the uplink. */
static void counter_families(struct writer *w, const struct counter_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char name[96];

		/* Workers' own; see below. */
		if (!strcmp(fields[i].name, "busy_ns") || !strcmp(fields[i].name, "wakeups"))
			continue;
		snprintf(name, sizeof(name), "podveil_%s_total", fields[i].name);
		family(w, name, "counter", fields[i].help);
		EACH_DEVICE (w, d)
			counter_sample(w, name, d->name, &d->sum, &fields[i]);
		if (w->fence)
			counter_sample(w, name, w->in->uplink, &w->uplink, &fields[i]);
	}
}

static void drop_samples(struct writer *w, const char *iface, const struct pv_counters *c)
{
	size_t n;
	const struct counter_field *fields = counters_drops(&n);

	for (size_t i = 0; i < n; i++)
		fprintf(w->f, "podveil_drops_total{iface=\"%s\",reason=\"%s\"} %llu\n", iface,
			counter_reason(&fields[i]),
			(unsigned long long)counter_read(c, &fields[i]));
}

static void workers(struct writer *w)
{
	family(w, "podveil_worker_busy_seconds_total", "counter",
	       "Time that a worker spent awake.");
	EACH_DEVICE (w, d)
		for (unsigned int i = 0; i < d->view.workers; i++)
			fprintf(w->f,
				"podveil_worker_busy_seconds_total{iface=\"%s\",worker=\"%u\"} "
				"%.9f\n",
				d->name, i, (double)d->worker[i].busy_ns / (double)NSEC_PER_SEC);
	family(w, "podveil_worker_wakeups_total", "counter", "Times a worker slept and woke.");
	EACH_DEVICE (w, d)
		for (unsigned int i = 0; i < d->view.workers; i++)
			fprintf(w->f,
				"podveil_worker_wakeups_total{iface=\"%s\",worker=\"%u\"} %llu\n",
				d->name, i, (unsigned long long)d->worker[i].wakeups);
	family(w, "podveil_worker_packets_total", "counter",
	       "Inner packets that a worker encrypted and decrypted.");
	EACH_DEVICE (w, d)
		for (unsigned int i = 0; i < d->view.workers; i++)
			fprintf(w->f,
				"podveil_worker_packets_total{iface=\"%s\",worker=\"%u\","
				"direction=\"egress\"} %llu\n"
				"podveil_worker_packets_total{iface=\"%s\",worker=\"%u\","
				"direction=\"ingress\"} %llu\n",
				d->name, i, (unsigned long long)d->worker[i].egress_packets,
				d->name, i, (unsigned long long)d->worker[i].ingress_packets);
}

static void histogram(struct writer *w, const char *name, const char *iface,
		      const struct pv_histogram *h)
{
	unsigned long long n = 0;

	for (unsigned int i = 0; i < PV_BUCKETS; i++) {
		n += h->bucket[i];
		/* The last one has what is larger, too. */
		if (i < PV_BUCKETS - 1)
			fprintf(w->f, "%s_bucket{iface=\"%s\",le=\"%u\"} %llu\n", name, iface,
				1u << i, n);
	}
	fprintf(w->f,
		"%s_bucket{iface=\"%s\",le=\"+Inf\"} %llu\n%s_sum{iface=\"%s\"} %llu\n"
		"%s_count{iface=\"%s\"} %llu\n",
		name, iface, n, name, iface, (unsigned long long)h->sum, name, iface, n);
}

static void histograms(struct writer *w)
{
#define HISTOGRAM(which, help)                                                                     \
	family(w, "podveil_" #which, "histogram", help);                                           \
	EACH_DEVICE (w, d)                                                                         \
		histogram(w, "podveil_" #which, d->name, &d->sum.which);
	PV_HISTOGRAMS(HISTOGRAM)
#undef HISTOGRAM
}

static void handshakes(struct writer *w)
{
	static const struct {
		const char *result, *cause;
	} names[] = {
#define NAME(identifier, result, cause, help) {result, cause},
		HANDSHAKE_COUNTERS(NAME)
#undef NAME
	};

	family(w, "podveil_handshakes_total", "counter",
	       "Handshakes, by what became of them and why.");
	EACH_DEVICE (w, d)
		for (unsigned int i = 0; i < HANDSHAKE_COUNTS; i++)
			fprintf(w->f,
				"podveil_handshakes_total{iface=\"%s\",result=\"%s\",cause=\"%s\"} "
				"%llu\n",
				d->name, names[i].result, names[i].cause,
				(unsigned long long)d->view.handshakes[i]);
}

static void counters(struct writer *w)
{
	size_t n;
	const struct counter_field *fields = counters_traffic(&n);

	counter_families(w, fields, n);
	fields = counters_seen(&n);
	counter_families(w, fields, n);
	family(w, "podveil_drops_total", "counter", "Packets dropped, by reason.");
	EACH_DEVICE (w, d)
		drop_samples(w, d->name, &d->sum);
	if (w->fence)
		drop_samples(w, w->in->uplink, &w->uplink);
	workers(w);
	histograms(w);
	handshakes(w);
}

/* --- the node --- */

static void settings(struct writer *w)
{
	single(w, "podveil_settings_refused", "gauge",
	       "1: a setting is refused; status tells which.",
	       settings_refused(w->in->settings) != NULL);
	family(w, "podveil_setting_info", "gauge", "Settings in force; always 1.");
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const char *name = settings_table[i].name;

		fprintf(w->f, "podveil_setting_info{name=\"%s\",value=\"", name);
		value(w->f, settings_text(w->in->settings, name, NULL));
		fputs("\"} 1\n", w->f);
	}
}

static void records(struct writer *w)
{
	const size_t *counts = registry_counts(w->in->registry);

	family(w, "podveil_records_refused", "gauge",
	       "Parts of nodes' records that are refused now, by reason; status names them.");
	for (int i = 0; i < REGISTRY_REASON_COUNT; i++)
		fprintf(w->f, "podveil_records_refused{reason=\"%s\"} %zu\n",
			registry_reason_name(i), counts[i]);
}

static void count_held(void *context, bool settings, const char *name, const char *why)
{
	(void)settings;
	(void)name;
	(void)why;
	++*(size_t *)context;
}

static void store(struct writer *w)
{
	static const struct store_health none;
	const struct store_health *h = w->in->store ? store_health(w->in->store) : &none;
	size_t held = 0;

	if (w->in->store)
		store_each_held(w->in->store, count_held, &held);
	single(w, "podveil_store_synced", "gauge",
	       "1: the store was read completely, and its changes are seen.", report_synced(w->in));
	single(w, "podveil_store_last_sync_seconds", "gauge",
	       "Unix time of the last complete reading.", (double)h->last_sync);
	single(w, "podveil_store_errors_total", "counter",
	       "Files and answers that could not be used.", (double)h->errors);
	single(w, "podveil_store_troubles", "gauge",
	       "What is wrong with the store now; status tells what.", (double)h->n_troubles);
	single(w, "podveil_store_stale_since_seconds", "gauge",
	       "Unix time since when something is wrong; 0: all is in order.",
	       (double)health_stale_since(h));
	single(w, "podveil_store_held", "gauge",
	       "Records and settings that stand though the store does not show them any more.",
	       (double)held);
}

static void guard(struct writer *w)
{
	const struct fence *f = w->in->fence;

	single(w, "podveil_guard_up", "gauge",
	       "1: guard and shield stand on all devices that lead out of the node, first, as they shall while a tunnel is on.",
	       fence_stands(f));
	family(w, "podveil_guard_device", "gauge",
	       "1: guard and shield stand on this device, and no filter of others runs before them.");
	for (size_t i = 0; i < fence_n_exits(f); i++) {
		const struct fence_exit e = fence_exit(f, i);

		fputs("podveil_guard_device{device=\"", w->f);
		value(w->f, e.name);
		fprintf(w->f, "\",method=\"%s\"} %d\n", fence_method(f), e.stands);
	}
	single(w, "podveil_guard_displaced_total", "counter",
	       "Times that somebody's filter was found before guard or shield, which were put first again.",
	       (double)fence_displaced(f));
}

static void first_line(struct writer *w)
{
	const struct first_line_state s = first_line_look(w->in->first_line);

	family(w, "podveil_first_line_up", "gauge",
	       "1: this part of strict mode's first line stands; absent: no strict mode.");
	if (s.wanted)
		fprintf(w->f,
			"podveil_first_line_up{part=\"routing\"} %d\n"
			"podveil_first_line_up{part=\"nftables\"} %d\n",
			s.routing, s.ip_filter);
	family(w, "podveil_first_line_drops_total", "counter",
	       "Packets that the table podveil of nftables dropped since it was made.");
	fprintf(w->f,
		"podveil_first_line_drops_total{direction=\"inward\"} %llu\n"
		"podveil_first_line_drops_total{direction=\"outward\"} %llu\n"
		"podveil_first_line_drops_total{direction=\"marked\"} %llu\n",
		(unsigned long long)s.dropped.inward, (unsigned long long)s.dropped.outward,
		(unsigned long long)s.dropped.marked);
}

static void node(struct writer *w)
{
	uint64_t lost, held_back;
	size_t conflicts = 0;

	for (int i = 0; i < REGISTRY_REASON_COUNT; i++)
		if (registry_reason_is_conflict(i))
			conflicts += registry_counts(w->in->registry)[i];
	family(w, "podveil_build_info", "gauge", "Version; always 1.");
	fprintf(w->f, "podveil_build_info{version=\"%s\",compiler=\"%s\"} 1\n", PODVEIL_VERSION,
		__VERSION__);
	family(w, "podveil_device_info", "gauge", "How a tunnel works; always 1.");
	EACH_DEVICE (w, d)
		fprintf(w->f,
			"podveil_device_info{iface=\"%s\",family=\"%s\",cipher=\"%s\",mode=\"%s\","
			"workers=\"%u\",mtu=\"%u\"} 1\n",
			d->name, d->family, d->view.aead,
			d->view.superpackets ? "superpackets" : "per_packet", d->view.workers,
			d->view.mtu);
	family(w, "podveil_wire_info", "gauge",
	       "How messages get to the wire, and why so; always 1.");
	EACH_DEVICE (w, d) {
		fprintf(w->f, "podveil_wire_info{iface=\"%s\",wire=\"%s\",why=\"", d->name,
			d->view.wire);
		value(w->f, d->view.wire_why);
		fputs("\"} 1\n", w->f);
	}
	family(w, "podveil_wire_refused", "gauge",
	       "1: podveilWire is xdp, and that cannot be: messages go through sockets.");
	EACH_DEVICE (w, d)
		fprintf(w->f, "podveil_wire_refused{iface=\"%s\"} %d\n", d->name,
			d->view.wire_refused);
	family(w, "podveil_low_latency", "gauge", "1: podveilLowLatency is on.");
	EACH_DEVICE (w, d)
		fprintf(w->f, "podveil_low_latency{iface=\"%s\"} %d\n", d->name,
			d->view.low_latency);
	family(w, "podveil_low_latency_lacking", "gauge",
	       "1: something of it cannot be had, as status and log tell.");
	EACH_DEVICE (w, d)
		fprintf(w->f, "podveil_low_latency_lacking{iface=\"%s\"} %d\n", d->name,
			*d->view.latency_lacks != 0);
	guard(w);
	first_line(w);
	single(w, "podveil_failed", "gauge",
	       "1: the last attempt to apply records and settings failed; the log says why.",
	       w->in->failed);
	single(w, "podveil_conflicts", "gauge",
	       "Keys, ranges and addresses that several nodes claim.", (double)conflicts);
	log_losses(&lost, &held_back);
	single(w, "podveil_log_lines_lost_total", "counter",
	       "Lines of the log that nobody took: its reader stopped, or the disk is full.",
	       (double)lost);
	single(w, "podveil_log_lines_held_back_total", "counter",
	       "Lines of the log that the rate limit held back.", (double)held_back);
	store(w);
	records(w);
	settings(w);
	process_metrics(w->f);
}

char *metrics_text(const struct report_input *in)
{
	struct writer *w = calloc(1, sizeof(*w));
	char *text = NULL;
	size_t len;

	if (!w)
		return NULL;
	w->in = in;
	w->f = open_memstream(&text, &len);
	if (w->f) {
		look(w);
		if (settings_get(in->settings)->metrics)
			wireguard(w);
		peers(w);
		counters(w);
		node(w);
		if (fclose(w->f)) {
			free(text);
			text = NULL;
		}
	}
	for (size_t i = 0; i < w->n_devices; i++)
		free(w->devices[i].peers);
	free(w);
	return text;
}
