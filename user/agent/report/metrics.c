/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/report/metrics_internal.h"
#include "protocol/limits.h"
#include "tunnel/tunnel.h"

/* --- WireGuard's, with Calico's names --- */

static void peer_family(struct writer *w, const char *name, const char *type, const char *help,
			uint64_t (*read)(const struct peer_sample *p))
{
	metrics_family(w, name, type, help);
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
	metrics_family(w, "wireguard_meta", "gauge", "Device metadata; always 1.");
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

	fprintf(x->w->f, "podveil_peer_encrypting{iface=\"%s\",node=\"%s\",peer_key=\"%s\"} %d\n",
		x->d->name, p->node, key_format(p->key, key), p->encrypting);
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

	metrics_family(w, "podveil_peers", "gauge", "Nodes with a key, by state of encryption.");
	for (size_t i = 0; i < w->in->n_tunnels; i++) {
		size_t n[3] = {0};

		tunnel_each_peer(w->in->tunnels[i], count_peer, n);
		for (size_t k = 0; k < 3; k++)
			fprintf(w->f, "podveil_peers{family=\"%s\",state=\"%s\"} %zu\n",
				i ? "ipv6" : "ipv4", states[k], n[k]);
	}
	metrics_family(w, "podveil_peer_encrypting", "gauge",
		       "1: packets to this node's pods are encrypted; 0: they are in plain text.");
	EACH_DEVICE (w, d)
		tunnel_each_peer(d->tunnel, node_sample, &(struct nodes_written){w, d});
	metrics_family(w, "podveil_session_age_seconds", "gauge",
		       "Age of the session with the peer; absent: no session.");
	EACH_DEVICE (w, d)
		EACH_PEER (d, p)
			if (p->session_age != UINT64_MAX)
				fprintf(w->f,
					"podveil_session_age_seconds{iface=\"%s\",peer_key=\"%s\"} "
					"%.3f\n",
					d->name, p->key,
					(double)p->session_age / (double)NSEC_PER_SEC);
	metrics_family(w, "podveil_staged_packets", "gauge",
		       "Packets that wait for a session with the peer.");
	EACH_DEVICE (w, d)
		EACH_PEER (d, p)
			fprintf(w->f, "podveil_staged_packets{iface=\"%s\",peer_key=\"%s\"} %u\n",
				d->name, p->key, p->staged);
	metrics_family(w, "podveil_peer_messages_total", "counter",
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
		metrics_sample(w);
		if (settings_get(in->settings)->metrics)
			wireguard(w);
		peers(w);
		metrics_counters(w);
		metrics_node(w);
		if (fclose(w->f)) {
			free(text);
			text = NULL;
		}
	}
	metrics_release(w);
	free(w);
	return text;
}
