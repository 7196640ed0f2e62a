/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of counters: traffic, drops, workers, sizes, handshakes. */
#include "agent/report/metrics_internal.h"
#include "protocol/limits.h"

static void counter_sample(struct writer *w, const char *name, const char *iface,
			   const struct pv_counters *c, const struct counter_field *field)
{
	fprintf(w->f, "%s{iface=\"%s\"} %llu\n", name, iface,
		(unsigned long long)counter_read(c, field));
}

/* Writes each counter as a family of its own, with a sample for each device and one for the
 * uplink. */
static void counter_families(struct writer *w, const struct counter_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char name[96];

		snprintf(name, sizeof(name), "podveil_%s_total", fields[i].name);
		metrics_family(w, name, "counter", fields[i].help);
		EACH_DEVICE (w, d)
			counter_sample(w, name, d->name, &d->sum, &fields[i]);
		if (w->exit_filters)
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
	metrics_family(w, "podveil_worker_busy_seconds_total", "counter",
		       "Time that a worker spent awake.");
	EACH_DEVICE (w, d)
		for (unsigned int i = 0; i < d->view.workers; i++)
			fprintf(w->f,
				"podveil_worker_busy_seconds_total{iface=\"%s\",worker=\"%u\"} "
				"%.9f\n",
				d->name, i, (double)d->worker[i].busy_ns / (double)NSEC_PER_SEC);
	metrics_family(w, "podveil_worker_wakeups_total", "counter",
		       "How often a worker slept and woke.");
	EACH_DEVICE (w, d)
		for (unsigned int i = 0; i < d->view.workers; i++)
			fprintf(w->f,
				"podveil_worker_wakeups_total{iface=\"%s\",worker=\"%u\"} %llu\n",
				d->name, i, (unsigned long long)d->worker[i].wakeups);
	metrics_family(w, "podveil_worker_packets_total", "counter",
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
		/* The last bucket also has all larger values; it is written as +Inf. */
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
	metrics_family(w, "podveil_" #which, "histogram", help);                                   \
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

	metrics_family(w, "podveil_handshakes_total", "counter",
		       "Handshakes, by result and reason.");
	EACH_DEVICE (w, d)
		for (unsigned int i = 0; i < HANDSHAKE_COUNTS; i++)
			fprintf(w->f,
				"podveil_handshakes_total{iface=\"%s\",result=\"%s\",cause=\"%s\"} "
				"%llu\n",
				d->name, names[i].result, names[i].cause,
				(unsigned long long)d->view.handshakes[i]);
}

void metrics_counters(struct writer *w)
{
	size_t n;
	const struct counter_field *fields = counters_traffic(&n);

	counter_families(w, fields, n);
	fields = counters_seen(&n);
	counter_families(w, fields, n);
	metrics_family(w, "podveil_drops_total", "counter", "Packets dropped, by reason.");
	EACH_DEVICE (w, d)
		drop_samples(w, d->name, &d->sum);
	if (w->exit_filters)
		drop_samples(w, w->in->uplink, &w->uplink);
	workers(w);
	histograms(w);
	handshakes(w);
}
