/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/addresses/address_sources.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/limits.h"
#include "store/memory.h"

/* Deletions of custom resources count when none came for this time, or after DELETIONS_MOST_S. */
#define DELETIONS_QUIET_S 3
#define DELETIONS_MOST_S  30

/* Only pods with an address of their own that have not ended. The API server leaves the others out
 * of list and watch, and reports a pod that ends as deleted. */
#define PODS                                                                                       \
	"/api/v1/pods?fieldSelector=spec.hostNetwork%3Dfalse%2Cstatus.podIP%21%3D%2C"              \
	"status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"
/* Of a problem of the choice itself. */
#define SUBJECT	     "routeSource"
#define CILIUM_NODES "/apis/cilium.io/v2/ciliumnodes"

/* The objects of one source. */
struct collection {
	struct address_sources *sources;
	enum cluster_kind kind;
	enum route_source source;
	const char *what, *path;
	const char *title;	     /* of the problem that objects are gone */
	struct reflector *reflector; /* NULL: not watched */
	bool read;		     /* it was listed once, or found missing */
	bool expected;		     /* there were objects, and nobody ended the source */
	size_t objects;		     /* in the list under way */
	uint64_t revision;
	struct event *on_quiet;
	bool all_deleted;	 /* events said so; a list has to confirm it */
	uint64_t first_deletion; /* monotonic, ns; 0: none is expected */
};

enum { BLOCKS, CILIUM, PODS_, N_COLLECTIONS };

struct address_sources {
	struct address_sources_params params;
	enum route_source wanted;
	bool may_decide; /* settings and Nodes were read */
	struct collection all[N_COLLECTIONS];
	struct event *on_tidy;
};

static struct collection *collection_of(const struct address_sources *s, enum route_source source)
{
	for (int i = 0; i < N_COLLECTIONS; i++)
		if (s->all[i].source == source)
			return (struct collection *)(uintptr_t)&s->all[i];
	return NULL;
}

static struct store_health *health(const struct address_sources *s)
{
	return s->params.place->health;
}

static size_t count(const struct collection *c)
{
	return cluster_count_with_ranges(c->sources->params.cluster, c->kind);
}

/* --- the decision --- */

struct decision {
	enum route_source source; /* auto: not yet */
	char why[160];
};

static bool has_objects(const struct collection *c)
{
	return count(c) || c->expected;
}

static struct decision decide_auto(const struct address_sources *s)
{
	const struct collection *blocks = &s->all[BLOCKS], *cilium = &s->all[CILIUM];
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
	const struct collection *c = collection_of(s, source);

	return !c || c->read;
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
	const struct collection *c = collection_of(s, source);
	bool known = false;

	if (!is_read(s, source))
		return false;
	if (source == cluster_source(s->params.cluster) || (c && c->expected) ||
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

static void start(struct collection *c);
static void stop(struct collection *c);

static bool is_needed(const struct collection *c, enum route_source decided)
{
	const struct address_sources *s = c->sources;

	return c->source == decided || c->source == cluster_source(s->params.cluster) ||
	       (s->wanted == ROUTE_SOURCE_AUTO && c->source != ROUTE_SOURCE_WORKLOAD_IPS);
}

/* Stops watching what is not needed any more. From the event loop, because a reflector cannot be
 * freed in its own callback. */
static void on_tidy(evutil_socket_t fd, short what, void *context)
{
	struct address_sources *s = context;
	const struct decision d = decide(s);

	(void)fd;
	(void)what;
	for (int i = 0; i < N_COLLECTIONS; i++)
		if (!is_needed(&s->all[i], d.source))
			stop(&s->all[i]);
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
	for (int i = 0; i < N_COLLECTIONS; i++)
		if (is_needed(&s->all[i], decided) && !s->all[i].reflector)
			start(&s->all[i]);
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
	for (int i = 0; i < N_COLLECTIONS; i++)
		tidy |= s->all[i].reflector && !is_needed(&s->all[i], d.source);
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

/* --- lists --- */

struct expectation {
	enum route_source source;
	bool any;
};

static void visit_record(void *context, const struct memory_entry *e)
{
	struct expectation *x = context;

	x->any |= e->kind == MEMORY_NODES && e->record.source == x->source &&
		  e->record.n_pod_cidrs && !e->lost;
}

/* Were there objects before, in this process or in the one before? */
static bool were_there(const struct collection *c)
{
	struct expectation x = {c->source, false};

	if (count(c))
		return true;
	memory_each(c->sources->params.place->memory, visit_record, &x);
	return x.any;
}

/* If there were objects before and the server has none now, or older data, it has lost them, unless
 * events said that all were deleted. Writes what is wrong; false: nothing is. */
static bool has_lost_objects(const struct collection *c, const struct reflector_list *l,
			     char out[HEALTH_TEXT])
{
	const bool none = !l->there || !c->objects;

	if (!c->expected || (l->there && none && c->all_deleted))
		return false;
	if (none)
		snprintf(out, HEALTH_TEXT, "all %s are missing%s", c->title,
			 l->there ? "" : ": the resource is not installed");
	else if (l->revision < c->revision)
		snprintf(out, HEALTH_TEXT, "the API server went back to an older state");
	else
		return false;
	return true;
}

static void report_lost(const struct collection *c, bool lost, const char *what)
{
	struct store_health *h = health(c->sources);

	if (lost && health_set_problem(h, HEALTH_BLIND, c->title, what))
		log_warn(
			"store: objects with pod addresses are missing although nobody deleted them: the last known ones stay in force",
			"resource=%s problem=\"%s\" needs=\"the objects, or another "
			"routeSource\"",
			c->what, what);
	else if (!lost && health_clear_problem(h, c->title))
		log_info("store: recovered", "resource=%s", c->what);
}

static void on_listed(void *context, const struct reflector_list *l)
{
	struct collection *c = context;
	struct address_sources *s = c->sources;
	const bool none = !l->there || !c->objects;
	char what[HEALTH_TEXT];
	bool lost;

	health(s)->last_sync = (uint64_t)time(NULL);
	c->expected = were_there(c);
	lost = has_lost_objects(c, l, what);
	if (l->there)
		c->revision = l->revision;
	report_lost(c, lost, what);
	reflector_lost(c->reflector, lost);
	/* If objects are expected but none was ever read, do not end the list: then no record is
	 * reported, and the remembered ones stay in force. */
	if (!lost || !none || count(c))
		cluster_list_end(s->params.cluster, c->kind, !l->passed_over && !lost);
	c->expected = lost && none;
	c->read = true;
	c->all_deleted = false;
	update(s);
	s->params.progress(s->params.context);
}

static void on_listing(void *context)
{
	struct collection *c = context;

	c->objects = 0;
	c->first_deletion = 0;
	evtimer_del(c->on_quiet);
	cluster_list_begin(c->sources->params.cluster, c->kind);
}

/* --- objects --- */

/* No deletion came for a while. If objects are left, the resource is still there. */
static void on_quiet(evutil_socket_t fd, short what, void *context)
{
	struct collection *c = context;

	(void)fd;
	(void)what;
	c->first_deletion = 0;
	if (cluster_confirm_deletions(c->sources->params.cluster, c->kind)) {
		update(c->sources);
		return;
	}
	c->all_deleted = true;
	reflector_list_again(c->reflector, 0);
}

static void wait_for_quiet(struct collection *c)
{
	const struct timeval quiet = {DELETIONS_QUIET_S, 0};
	const uint64_t now = clock_now();

	if (!c->first_deletion)
		c->first_deletion = now;
	if (now - c->first_deletion < DELETIONS_MOST_S * 1000 * NSEC_PER_MSEC)
		evtimer_add(c->on_quiet, &quiet);
}

static const char *text_of(const json_t *o, const char *member)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(o, "metadata"), member));

	return text ? text : "";
}

static void on_object(void *context, const json_t *o, bool gone)
{
	struct collection *c = context;
	struct address_sources *s = c->sources;
	const char *namespace = text_of(o, "namespace");
	char object[600];

	health(s)->last_sync = (uint64_t)time(NULL);
	c->objects++;
	s->params.begin_object(s->params.context);
	cluster_object(s->params.cluster, c->kind, o, gone);
	snprintf(object, sizeof(object), "%s/%.253s%s%.253s", c->what, namespace,
		 *namespace ? "/" : "", text_of(o, "name"));
	s->params.end_object(s->params.context, object);
	if (gone && cluster_expects_deletions(s->params.cluster, c->kind))
		wait_for_quiet(c);
	/* A list decides at its end. */
	if (c->read)
		update(s);
}

static void on_problem(void *context, bool blind, const char *what)
{
	const struct collection *c = context;
	const bool pods = c->source == ROUTE_SOURCE_WORKLOAD_IPS;

	if (!what) {
		if (health_clear_problem(health(c->sources), c->what))
			log_info("store: recovered", "resource=%s", c->what);
		return;
	}
	if (health_set_problem(health(c->sources), blind ? HEALTH_BLIND : HEALTH_PART, c->what,
			       what))
		log_warn("store: the API server cannot be read", "resource=%s problem=\"%s\"%s",
			 c->what, what,
			 pods ? " right=\"deploy/kubernetes/workload-ips gives it\"" : "");
}

static void start(struct collection *c)
{
	const struct reflector_params p = {
		.base = c->sources->params.place->base,
		.rest = c->sources->params.rest,
		.path = c->path,
		.optional = c->source != ROUTE_SOURCE_WORKLOAD_IPS,
		.object = on_object,
		.listing = on_listing,
		.listed = on_listed,
		.problem = on_problem,
		.context = c,
	};

	c->reflector = reflector_new(&p);
	if (!c->reflector)
		log_error("no memory to watch the API server", "store=kubernetes resource=%s",
			  c->what);
}

static void stop(struct collection *c)
{
	if (!c->reflector)
		return;
	reflector_free(c->reflector);
	evtimer_del(c->on_quiet);
	c->reflector = NULL;
	c->read = c->expected = false;
	c->revision = c->first_deletion = 0;
	health_clear_problem(health(c->sources), c->what);
	health_clear_problem(health(c->sources), c->title);
	cluster_forget(c->sources->params.cluster, c->kind);
}

/* --- making and freeing --- */

struct address_sources *address_sources_new(const struct address_sources_params *p)
{
	const struct collection all[N_COLLECTIONS] = {
		[BLOCKS] = {.kind = CLUSTER_BLOCKS,
			    .source = ROUTE_SOURCE_CALICO_IPAM,
			    .what = "ipamblocks",
			    .title = "IPAM blocks",
			    .path = p->blocks_path},
		[CILIUM] = {.kind = CLUSTER_CILIUM_NODES,
			    .source = ROUTE_SOURCE_CILIUM_NODE,
			    .what = "ciliumnodes",
			    .title = "CiliumNodes",
			    .path = CILIUM_NODES},
		[PODS_] = {.kind = CLUSTER_PODS,
			   .source = ROUTE_SOURCE_WORKLOAD_IPS,
			   .what = "pods",
			   .title = "addresses of pods",
			   .path = PODS},
	};
	struct address_sources *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->params = *p;
	memcpy(s->all, all, sizeof(all));
	s->on_tidy = evtimer_new(p->place->base, on_tidy, s);
	if (!s->on_tidy) {
		free(s);
		return NULL;
	}
	for (int i = 0; i < N_COLLECTIONS; i++) {
		s->all[i].sources = s;
		s->all[i].on_quiet = evtimer_new(p->place->base, on_quiet, &s->all[i]);
		if (!s->all[i].on_quiet) {
			address_sources_free(s);
			return NULL;
		}
	}
	return s;
}

void address_sources_free(struct address_sources *s)
{
	if (!s)
		return;
	for (int i = 0; i < N_COLLECTIONS; i++) {
		reflector_free(s->all[i].reflector);
		if (s->all[i].on_quiet)
			event_free(s->all[i].on_quiet);
	}
	event_free(s->on_tidy);
	free(s);
}
