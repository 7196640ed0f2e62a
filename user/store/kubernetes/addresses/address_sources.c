/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/addresses/address_sources.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/kubernetes/addresses/source_objects.h"
#include "store/memory.h"

/* Only pods with an address of their own that have not ended. The API server leaves the others out
 * of list and watch, and reports a pod that ends as deleted. */
#define PODS_WITH_ADDRESSES                                                                        \
	"/api/v1/pods?fieldSelector=spec.hostNetwork%3Dfalse%2Cstatus.podIP%21%3D%2C"              \
	"status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
/* Of a problem of the choice itself. */
#define SUBJECT	     "routeSource"
#define CILIUM_NODES "/apis/cilium.io/v2/ciliumnodes"

enum { BLOCKS, CILIUM, PODS, N_SOURCES };

struct address_sources {
	struct address_sources_params params;
	enum route_source wanted;
	bool may_decide; /* settings and Nodes were read */
	struct source_objects all[N_SOURCES];
	struct event *on_tidy;
};

static const struct source_objects *objects_of(const struct address_sources *s,
					       enum route_source source)
{
	for (int i = 0; i < N_SOURCES; i++)
		if (s->all[i].params.source == source)
			return &s->all[i];
	return NULL;
}

static struct store_health *health(const struct address_sources *s)
{
	return s->params.place->health;
}

/* --- the decision --- */

struct decision {
	enum route_source source; /* auto: not yet */
	char why[160];
};

static bool has_objects(const struct source_objects *o)
{
	return source_objects_count(o) || o->expected;
}

static struct decision decide_auto(const struct address_sources *s)
{
	const struct source_objects *blocks = &s->all[BLOCKS], *cilium = &s->all[CILIUM];
	const size_t with_ranges = cluster_count_with_ranges(s->params.cluster, CLUSTER_NODES);
	const size_t nodes = cluster_count(s->params.cluster);
	struct decision d = {.source = ROUTE_SOURCE_AUTO};

	if (!blocks->read || !cilium->read)
		return d;
	if (has_objects(blocks)) {
		d.source = ROUTE_SOURCE_CALICO_IPAM;
		snprintf(d.why, sizeof(d.why), "auto: there are IPAM blocks of Calico");
	} else if (has_objects(cilium)) {
		d.source = ROUTE_SOURCE_CILIUM_NODE;
		snprintf(d.why, sizeof(d.why), "auto: CiliumNodes have ranges");
	} else if (with_ranges || !nodes) {
		d.source = ROUTE_SOURCE_POD_CIDRS;
		snprintf(d.why, sizeof(d.why), "auto: no IPAM blocks, no CiliumNodes with ranges%s",
			 nodes ? ", and Nodes have podCIDRs" : "");
	} else {
		d.source = ROUTE_SOURCE_WORKLOAD_IPS;
		snprintf(d.why, sizeof(d.why),
			 "auto: no IPAM blocks, no CiliumNodes with ranges, no Node has podCIDRs");
	}
	return d;
}

static struct decision decide(const struct address_sources *s)
{
	struct decision d = {.source = s->wanted, .why = "the setting routeSource"};

	if (!s->may_decide)
		d.source = ROUTE_SOURCE_AUTO;
	return s->may_decide && s->wanted == ROUTE_SOURCE_AUTO ? decide_auto(s) : d;
}

static bool is_read(const struct address_sources *s, enum route_source source)
{
	const struct source_objects *o = objects_of(s, source);

	return !o || o->read;
}

static void visit_range(void *context, const struct memory_entry *e)
{
	*(bool *)context |= e->kind == MEMORY_NODES && e->record.n_pod_cidrs;
}

/* May the source be used? Not if it says nothing at all, and ranges are known from another one: they
 * stay. If its objects were expected and none was ever read, it may: then no record is reported,
 * and the remembered ones stay in force. */
static bool is_usable(const struct address_sources *s, enum route_source source)
{
	const struct source_objects *o = objects_of(s, source);
	bool known = false;

	if (!is_read(s, source))
		return false;
	if (source == cluster_source(s->params.cluster) || (o && o->expected) ||
	    cluster_count_with_ranges(s->params.cluster, cluster_kind_of(source)))
		return true;
	memory_each(s->params.place->memory, visit_range, &known);
	return !known;
}

static void use(struct address_sources *s, const struct decision *d)
{
	struct store_health *h = health(s);
	const bool news = cluster_source(s->params.cluster) != d->source;

	snprintf(h->route_source, sizeof(h->route_source), "%s", route_source_name(d->source));
	snprintf(h->route_source_why, sizeof(h->route_source_why), "%s", d->why);
	if (!news)
		return;
	log_info("store: pod addresses come from here now", "routeSource=%s why=\"%s\"",
		 h->route_source, d->why);
	cluster_use(s->params.cluster, d->source);
}

static bool is_needed(const struct address_sources *s, enum route_source source,
		      enum route_source decided)
{
	return source == decided || source == cluster_source(s->params.cluster) ||
	       (s->wanted == ROUTE_SOURCE_AUTO && source != ROUTE_SOURCE_WORKLOAD_IPS);
}

/* Stops watching what is not needed any more. From the event loop, because a reflector cannot be
 * freed in its own callback. */
static void on_tidy(evutil_socket_t fd, short what, void *context)
{
	struct address_sources *s = context;
	const struct decision d = decide(s);

	(void)fd;
	(void)what;
	for (int i = 0; i < N_SOURCES; i++)
		if (!is_needed(s, s->all[i].params.source, d.source))
			source_objects_stop(&s->all[i]);
}

/* The decided source says nothing yet. */
static void report_unused(struct address_sources *s, const struct decision *d)
{
	const char *name = route_source_name(d->source);
	char what[120];

	snprintf(what, sizeof(what), "%s gives no addresses: the last known ones stay in force",
		 name);
	if (health_set_problem(health(s), HEALTH_PART, SUBJECT, what))
		log_warn("store: a source of pod addresses is not used",
			 "routeSource=%s problem=\"%s\"", name, what);
}

static void start_needed(struct address_sources *s, enum route_source decided)
{
	for (int i = 0; i < N_SOURCES; i++)
		if (is_needed(s, s->all[i].params.source, decided))
			source_objects_start(&s->all[i]);
}

static void update(struct address_sources *s)
{
	const struct decision d = decide(s);
	const struct timeval now = {0, 0};
	bool tidy = false;

	start_needed(s, d.source);
	if (d.source == ROUTE_SOURCE_AUTO || !is_read(s, d.source))
		return;
	if (is_usable(s, d.source)) {
		use(s, &d);
		health_clear_problem(health(s), SUBJECT);
	} else {
		report_unused(s, &d);
	}
	for (int i = 0; i < N_SOURCES; i++)
		tidy |= s->all[i].reflector && !is_needed(s, s->all[i].params.source, d.source);
	if (tidy)
		evtimer_add(s->on_tidy, &now);
}

void address_sources_begin(struct address_sources *s)
{
	start_needed(s, s->wanted);
}

void address_sources_decide(struct address_sources *s)
{
	s->may_decide = true;
	update(s);
}

void address_sources_want(struct address_sources *s, enum route_source wanted)
{
	if (s->wanted == wanted)
		return;
	s->wanted = wanted;
	if (!s->may_decide)
		return;
	update(s);
	s->params.progress(s->params.context);
}

bool address_sources_are_read(const struct address_sources *s)
{
	const struct decision d = decide(s);

	return d.source != ROUTE_SOURCE_AUTO && is_read(s, d.source);
}

/* --- making and freeing --- */

static void on_changed(void *context)
{
	update(context);
}

struct address_sources *address_sources_new(const struct address_sources_params *p)
{
	struct address_sources *s = calloc(1, sizeof(*s));
	const struct source_objects_params all[N_SOURCES] = {
		[BLOCKS] = {.source = ROUTE_SOURCE_CALICO_IPAM,
			    .what = "ipamblocks",
			    .title = "IPAM blocks",
			    .path = p->blocks_path},
		[CILIUM] = {.source = ROUTE_SOURCE_CILIUM_NODE,
			    .what = "ciliumnodes",
			    .title = "CiliumNodes",
			    .path = CILIUM_NODES},
		[PODS] = {.source = ROUTE_SOURCE_WORKLOAD_IPS,
			  .what = "pods",
			  .title = "addresses of pods",
			  .path = PODS_WITH_ADDRESSES},
	};
	int err = 0;

	if (!s)
		return NULL;
	s->params = *p;
	s->on_tidy = evtimer_new(p->place->base, on_tidy, s);
	for (int i = 0; i < N_SOURCES; i++) {
		struct source_objects_params params = all[i];

		params.sources = &s->params;
		params.changed = on_changed;
		params.context = s;
		err |= source_objects_init(&s->all[i], &params);
	}
	if (err || !s->on_tidy) {
		address_sources_free(s);
		return NULL;
	}
	return s;
}

void address_sources_free(struct address_sources *s)
{
	if (!s)
		return;
	for (int i = 0; i < N_SOURCES; i++)
		source_objects_fini(&s->all[i]);
	if (s->on_tidy)
		event_free(s->on_tidy);
	free(s);
}
