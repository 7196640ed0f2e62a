/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the samples of the metrics, and writes the parts of the text format. */
#include <stdlib.h>

#include "agent/report/metrics_internal.h"
#include "strict/exit_filters.h"
#include "tunnel/tunnel.h"

/* --- samples --- */

static void take_device(const struct device_view *v, void *context)
{
	struct device_sample *d = context;

	d->view = *v;
	sodium_memzero(d->view.private_key, sizeof(d->view.private_key));
	key_format(v->public_key, d->public_key);
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
	key_format(v->public_key, p->key);
	report_endpoint(&v->endpoint, p->endpoint);
	p->sent = v->tx_bytes;
	p->received = v->rx_bytes;
	p->packets_sent = v->tx_packets;
	p->packets_received = v->rx_packets;
	p->session_age = v->session_age_ns;
	p->staged = v->staged;
	p->handshake = v->last_handshake.tv_sec;
}

void metrics_sample(struct writer *w)
{
	for (size_t i = 0; i < w->in->n_tunnels && w->n_devices < MAX_DEVICES; i++) {
		struct client_device *device = tunnel_device(w->in->tunnels[i]);
		struct device_sample *d = &w->devices[w->n_devices];

		if (!device)
			continue;
		d->tunnel = w->in->tunnels[i];
		d->name = client_device_name(device);
		d->family = i ? "ipv6" : "ipv4";
		client_device_report(device, take_device, take_peer, d);
		client_device_counters(device, &d->sum);
		for (unsigned int k = 0; k < d->view.workers; k++)
			client_device_worker_counters(device, k, &d->worker[k]);
		w->n_devices++;
	}
	w->exit_filters = exit_filters_count(w->in->exit_filters);
	if (w->exit_filters)
		exit_filters_counters(w->in->exit_filters, &w->uplink);
}

void metrics_release(struct writer *w)
{
	for (size_t i = 0; i < w->n_devices; i++)
		free(w->devices[i].peers);
}

/* --- writing --- */

void metrics_family(struct writer *w, const char *name, const char *type, const char *help)
{
	fprintf(w->f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_value(FILE *f, const char *text)
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
