/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files that make the metrics: metrics.c (the whole text, WireGuard, peers),
 * metrics_counters.c (counters), metrics_node.c (the node), metrics_samples.c (samples, format).
 * Thread: control.
 */
#ifndef AGENT_REPORT_METRICS_INTERNAL_H
#define AGENT_REPORT_METRICS_INTERNAL_H

#include <stdint.h>
#include <stdio.h>

#include "agent/report/report.h"
#include "base/counters.h"
#include "base/key_text.h"
#include "service/client.h"

#define MAX_DEVICES 2

/* --- samples: read once, then written --- */

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
	bool exit_filters;
};

#define EACH_DEVICE(w, d)                                                                          \
	for (const struct device_sample *d = (w)->devices; d < (w)->devices + (w)->n_devices; d++)
#define EACH_PEER(d, p)                                                                            \
	for (const struct peer_sample *p = (d)->peers; p < (d)->peers + (d)->n_peers; p++)

/* Takes the samples; metrics_release() frees them. */
void metrics_sample(struct writer *w);
void metrics_release(struct writer *w);

/* Writes the two lines in front of a family's samples. */
void metrics_family(struct writer *w, const char *name, const char *type, const char *help);
/* Writes a label's value, escaped as the format requires. */
void metrics_value(FILE *f, const char *text);

/* Write the families of counters, and those of the node. */
void metrics_counters(struct writer *w);
void metrics_node(struct writer *w);

#endif
