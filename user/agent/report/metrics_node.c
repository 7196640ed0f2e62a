/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of the node: its modes, its state, its problems. */
#include "agent/report/metrics_internal.h"
#include "agent/report/process_metrics.h"
#include "base/log.h"
#include "base/version.h"
#include "store/store.h"
#include "strict/exit_filters.h"
#include "strict/first_line.h"

/* --- one number for the node --- */

static const struct store_health *health(const struct writer *w)
{
	static const struct store_health none;

	return w->in->store ? store_health(w->in->store) : &none;
}

static double guard_up(const struct writer *w)
{
	return exit_filters_in_place(w->in->exit_filters);
}

static double device_filters_displaced(const struct writer *w)
{
	return (double)exit_filters_displaced(w->in->exit_filters);
}

static double failed(const struct writer *w)
{
	return w->in->failed;
}

static double conflicts(const struct writer *w)
{
	size_t n = 0;

	for (int i = 0; i < REGISTRY_REASON_COUNT; i++)
		if (registry_reason_is_conflict(i))
			n += registry_counts(w->in->registry)[i];
	return (double)n;
}

static double log_lost(const struct writer *w)
{
	uint64_t lost, held_back;

	(void)w;
	log_losses(&lost, &held_back);
	return (double)lost;
}

static double log_held_back(const struct writer *w)
{
	uint64_t lost, held_back;

	(void)w;
	log_losses(&lost, &held_back);
	return (double)held_back;
}

static double synced(const struct writer *w)
{
	return report_synced(w->in);
}

static double last_sync(const struct writer *w)
{
	return (double)health(w)->last_sync;
}

static double store_errors(const struct writer *w)
{
	return (double)health(w)->errors;
}

static double store_troubles(const struct writer *w)
{
	return (double)health(w)->n_problems;
}

static double stale_since(const struct writer *w)
{
	return (double)health_stale_since(health(w));
}

static void count_held(void *context, bool settings, const char *name, const char *why)
{
	(void)settings;
	(void)name;
	(void)why;
	++*(size_t *)context;
}

static double held(const struct writer *w)
{
	size_t n = 0;

	if (w->in->store)
		store_each_held(w->in->store, count_held, &n);
	return (double)n;
}

static double settings_are_refused(const struct writer *w)
{
	return settings_refused(w->in->settings) != NULL;
}

static const struct {
	const char *name, *type, *help;
	double (*read)(const struct writer *w);
} numbers[] = {
	{"podveil_guard_up", "gauge",
	 "1: guard and shield are attached to every device that leads out of the node, and run first.",
	 guard_up},
	{"podveil_guard_displaced_total", "counter",
	 "Times that a filter of another program ran before guard or shield. They were put first again.",
	 device_filters_displaced},
	{"podveil_failed", "gauge",
	 "1: the last attempt to apply records and settings failed; the log says why.", failed},
	{"podveil_conflicts", "gauge", "Keys, ranges and addresses that several nodes claim.",
	 conflicts},
	{"podveil_log_lines_lost_total", "counter",
	 "Log lines that were lost, because their reader stopped or the disk is full.", log_lost},
	{"podveil_log_lines_held_back_total", "counter",
	 "Log lines that the rate limit suppressed.", log_held_back},
	{"podveil_store_synced", "gauge",
	 "1: the store has been read completely, and the agent sees its changes.", synced},
	{"podveil_store_last_sync_seconds", "gauge",
	 "Unix time of the last complete reading of the store.", last_sync},
	{"podveil_store_errors_total", "counter",
	 "Files and answers of the store that could not be used.", store_errors},
	{"podveil_store_troubles", "gauge",
	 "Problems with the store now; podveil status lists them.", store_troubles},
	{"podveil_store_stale_since_seconds", "gauge",
	 "Unix time since which the store has a problem; 0: it has none.", stale_since},
	{"podveil_store_held", "gauge",
	 "Records and settings that stay in force although they are missing in the store.", held},
	{"podveil_settings_refused", "gauge", "1: a setting is refused; podveil status names it.",
	 settings_are_refused},
};

/* --- one yes or no for each device --- */

static bool wire_refused(const struct device_view *v)
{
	return v->wire_refused;
}

static bool low_latency(const struct device_view *v)
{
	return v->low_latency;
}

static bool low_latency_lacking(const struct device_view *v)
{
	return *v->latency_missing;
}

static const struct {
	const char *name, *help;
	bool (*read)(const struct device_view *v);
} flags[] = {
	{"podveil_wire_refused",
	 "1: podveilWire is xdp, but AF_XDP cannot be used: messages go through sockets.",
	 wire_refused},
	{"podveil_low_latency", "1: podveilLowLatency is on.", low_latency},
	{"podveil_low_latency_lacking",
	 "1: a part of podveilLowLatency is not available; podveil status and the log name it.",
	 low_latency_lacking},
};

/* --- families with their own labels --- */

static void infos(struct writer *w)
{
	metrics_family(w, "podveil_build_info", "gauge", "Version; always 1.");
	fprintf(w->f, "podveil_build_info{version=\"%s\",compiler=\"%s\"} 1\n", PODVEIL_VERSION,
		__VERSION__);
	metrics_family(w, "podveil_device_info", "gauge", "Properties of a tunnel; always 1.");
	EACH_DEVICE (w, d)
		fprintf(w->f,
			"podveil_device_info{iface=\"%s\",family=\"%s\",cipher=\"%s\",mode=\"%s\","
			"workers=\"%u\",mtu=\"%u\"} 1\n",
			d->name, d->family, d->view.aead,
			d->view.superpackets ? "superpackets" : "per_packet", d->view.workers,
			d->view.mtu);
	metrics_family(w, "podveil_wire_info", "gauge",
		       "How messages are sent to the network, and why; always 1.");
	EACH_DEVICE (w, d) {
		fprintf(w->f, "podveil_wire_info{iface=\"%s\",wire=\"%s\",why=\"", d->name,
			d->view.wire);
		metrics_value(w->f, d->view.wire_reason);
		fputs("\"} 1\n", w->f);
	}
}

static void settings(struct writer *w)
{
	metrics_family(w, "podveil_setting_info", "gauge", "Settings in force; always 1.");
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const char *name = settings_table[i].name;

		fprintf(w->f, "podveil_setting_info{name=\"%s\",value=\"", name);
		metrics_value(w->f, settings_text(w->in->settings, name, NULL));
		fputs("\"} 1\n", w->f);
	}
}

static void records(struct writer *w)
{
	const size_t *counts = registry_counts(w->in->registry);

	metrics_family(
		w, "podveil_records_refused", "gauge",
		"Parts of nodes' records that are refused now, by reason; podveil status names them.");
	for (int i = 0; i < REGISTRY_REASON_COUNT; i++)
		fprintf(w->f, "podveil_records_refused{reason=\"%s\"} %zu\n",
			registry_reason_name(i), counts[i]);
}

static void guard(struct writer *w)
{
	const struct exit_filters *f = w->in->exit_filters;

	metrics_family(
		w, "podveil_guard_device", "gauge",
		"1: guard and shield are attached to this device, and no filter of another program runs before them.");
	for (size_t i = 0; i < exit_filters_count(f); i++) {
		const struct exit_filter_state e = exit_filter_state(f, i);

		fputs("podveil_guard_device{device=\"", w->f);
		metrics_value(w->f, e.name);
		fprintf(w->f, "\",method=\"%s\"} %d\n", exit_filters_method(f), e.in_place);
	}
}

static void first_line(struct writer *w)
{
	const struct first_line_state s = first_line_get_state(w->in->first_line);

	metrics_family(
		w, "podveil_first_line_up", "gauge",
		"1: this part of strict mode's first line is in place; absent: no strict mode.");
	if (s.wanted)
		fprintf(w->f,
			"podveil_first_line_up{part=\"routing\"} %d\n"
			"podveil_first_line_up{part=\"nftables\"} %d\n",
			s.routing, s.ip_filter);
	metrics_family(w, "podveil_first_line_drops_total", "counter",
		       "Packets that the nftables table podveil dropped since it was created.");
	fprintf(w->f,
		"podveil_first_line_drops_total{direction=\"inward\"} %llu\n"
		"podveil_first_line_drops_total{direction=\"outward\"} %llu\n"
		"podveil_first_line_drops_total{direction=\"marked\"} %llu\n",
		(unsigned long long)s.dropped.inward, (unsigned long long)s.dropped.outward,
		(unsigned long long)s.dropped.marked);
}

void metrics_node(struct writer *w)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		metrics_family(w, numbers[i].name, numbers[i].type, numbers[i].help);
		fprintf(w->f, "%s %.17g\n", numbers[i].name, numbers[i].read(w));
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		metrics_family(w, flags[i].name, "gauge", flags[i].help);
		EACH_DEVICE (w, d)
			fprintf(w->f, "%s{iface=\"%s\"} %d\n", flags[i].name, d->name,
				flags[i].read(&d->view));
	}
	infos(w);
	guard(w);
	first_line(w);
	records(w);
	settings(w);
	process_metrics(w->f);
}
