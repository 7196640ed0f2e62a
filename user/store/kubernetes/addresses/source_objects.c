/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/addresses/source_objects.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json_text.h"
#include "base/log.h"
#include "protocol/limits.h"
#include "store/memory.h"

/* Deletions of custom resources count when none came for this time, or after DELETIONS_MOST_S. */
#define DELETIONS_QUIET_S 3
#define DELETIONS_MOST_S  30

static struct store_health *health(const struct source_objects *o)
{
	return o->params.sources->place->health;
}

static enum cluster_kind kind(const struct source_objects *o)
{
	return cluster_kind_of(o->params.source);
}

size_t source_objects_count(const struct source_objects *o)
{
	return cluster_count_with_ranges(o->params.sources->cluster, kind(o));
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
static bool were_there(const struct source_objects *o)
{
	struct expectation x = {o->params.source, false};

	if (source_objects_count(o))
		return true;
	memory_each(o->params.sources->place->memory, visit_record, &x);
	return x.any;
}

/* If there were objects before and the server has none now, or older data, it has lost them, unless
 * events said that all were deleted. Writes what is wrong; false: nothing is. */
static bool has_lost_objects(const struct source_objects *o, const struct reflector_list *l,
			     char out[HEALTH_TEXT])
{
	const bool none = !l->there || !o->objects;

	if (!o->expected || (l->there && none && o->all_deleted))
		return false;
	if (none)
		snprintf(out, HEALTH_TEXT, "all %s are missing%s", o->params.title,
			 l->there ? "" : ": the resource is not installed");
	else if (l->revision < o->revision)
		snprintf(out, HEALTH_TEXT, "the API server went back to an older state");
	else
		return false;
	return true;
}

static void report_lost(const struct source_objects *o, bool lost, const char *what)
{
	struct store_health *h = health(o);

	if (lost && health_set_problem(h, HEALTH_BLIND, o->params.title, what))
		log_warn(
			"store: objects with pod addresses are missing although nobody deleted them: the last known ones stay in force",
			"resource=%s problem=\"%s\" needs=\"the objects, or another "
			"routeSource\"",
			o->params.what, what);
	else if (!lost && health_clear_problem(h, o->params.title))
		log_info("store: recovered", "resource=%s", o->params.what);
}

static void on_listed(void *context, const struct reflector_list *l)
{
	struct source_objects *o = context;
	const struct address_sources_params *s = o->params.sources;
	const bool none = !l->there || !o->objects;
	char what[HEALTH_TEXT];
	bool lost;

	health(o)->last_sync = (uint64_t)time(NULL);
	o->expected = were_there(o);
	lost = has_lost_objects(o, l, what);
	if (l->there)
		o->revision = l->revision;
	report_lost(o, lost, what);
	reflector_lost(o->reflector, lost);
	/* If objects are expected but none was ever read, do not end the list: then no record is
	 * reported, and the remembered ones stay in force. */
	if (!lost || !none || source_objects_count(o))
		cluster_list_end(s->cluster, kind(o), !l->passed_over && !lost);
	o->expected = lost && none;
	o->read = true;
	o->all_deleted = false;
	o->params.changed(o->params.context);
	s->progress(s->context);
}

static void on_listing(void *context)
{
	struct source_objects *o = context;

	o->objects = 0;
	o->first_deletion = 0;
	evtimer_del(o->on_quiet);
	cluster_list_begin(o->params.sources->cluster, kind(o));
}

/* --- objects --- */

/* No deletion came for a while. If objects are left, the resource is still there. */
static void on_quiet(evutil_socket_t fd, short what, void *context)
{
	struct source_objects *o = context;

	(void)fd;
	(void)what;
	o->first_deletion = 0;
	if (cluster_confirm_deletions(o->params.sources->cluster, kind(o))) {
		o->params.changed(o->params.context);
		return;
	}
	o->all_deleted = true;
	reflector_list_again(o->reflector, 0);
}

static void wait_for_quiet(struct source_objects *o)
{
	const struct timeval quiet = {DELETIONS_QUIET_S, 0};
	const uint64_t now = clock_now();

	if (!o->first_deletion)
		o->first_deletion = now;
	if (now - o->first_deletion < DELETIONS_MOST_S * 1000 * NSEC_PER_MSEC)
		evtimer_add(o->on_quiet, &quiet);
}

static void on_object(void *context, const json_t *object, bool gone)
{
	struct source_objects *o = context;
	const struct address_sources_params *s = o->params.sources;
	const json_t *metadata = json_object_get(object, "metadata");
	const char *namespace = json_text(metadata, "namespace");
	char name[600];

	health(o)->last_sync = (uint64_t)time(NULL);
	o->objects++;
	s->begin_object(s->context);
	cluster_object(s->cluster, kind(o), object, gone);
	snprintf(name, sizeof(name), "%s/%.253s%s%.253s", o->params.what, namespace,
		 *namespace ? "/" : "", json_text(metadata, "name"));
	s->end_object(s->context, name);
	if (gone && cluster_expects_deletions(s->cluster, kind(o)))
		wait_for_quiet(o);
	/* A list decides at its end. */
	if (o->read)
		o->params.changed(o->params.context);
}

static void on_problem(void *context, const struct reflector_problem *p)
{
	const struct source_objects *o = context;
	const bool pods = o->params.source == ROUTE_SOURCE_WORKLOAD_IPS;

	if (!p) {
		if (health_clear_problem(health(o), o->params.what))
			log_info("store: recovered", "resource=%s", o->params.what);
		return;
	}
	if (health_set_problem(health(o), p->blind ? HEALTH_BLIND : HEALTH_PART, o->params.what,
			       p->what))
		log_warn("store: the API server cannot be read", "resource=%s problem=\"%s\"%s",
			 o->params.what, p->what,
			 pods ? " right=\"deploy/kubernetes/workload-ips gives it\"" : "");
}

/* --- watching --- */

void source_objects_start(struct source_objects *o)
{
	const struct reflector_params p = {
		.base = o->params.sources->place->base,
		.rest = o->params.sources->rest,
		.path = o->params.path,
		.optional = o->params.source != ROUTE_SOURCE_WORKLOAD_IPS,
		.object = on_object,
		.listing = on_listing,
		.listed = on_listed,
		.problem = on_problem,
		.context = o,
	};

	if (o->reflector)
		return;
	o->reflector = reflector_new(&p);
	if (!o->reflector)
		log_error("no memory to watch the API server", "store=kubernetes resource=%s",
			  o->params.what);
}

void source_objects_stop(struct source_objects *o)
{
	if (!o->reflector)
		return;
	reflector_free(o->reflector);
	evtimer_del(o->on_quiet);
	o->reflector = NULL;
	o->read = o->expected = false;
	o->revision = o->first_deletion = 0;
	health_clear_problem(health(o), o->params.what);
	health_clear_problem(health(o), o->params.title);
	cluster_forget(o->params.sources->cluster, kind(o));
}

int source_objects_init(struct source_objects *o, const struct source_objects_params *params)
{
	memset(o, 0, sizeof(*o));
	o->params = *params;
	o->on_quiet = evtimer_new(params->sources->place->base, on_quiet, o);
	return o->on_quiet ? 0 : -ENOMEM;
}

void source_objects_fini(struct source_objects *o)
{
	reflector_free(o->reflector);
	if (o->on_quiet)
		event_free(o->on_quiet);
}
