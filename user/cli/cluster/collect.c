/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cluster/collect.h"

#include <errno.h>
#include <stdio.h>

#include "base/event_wait.h"
#include "store/kubernetes/reflector.h"

#define COLLECTIONS 8

struct work {
	struct collection *all;
	size_t n;
};

static void on_object(void *context, const json_t *o, bool gone)
{
	struct collection *c = context;

	if (!gone && !c->done)
		c->object(c->context, o);
}

static void on_listing(void *context)
{
	(void)context;
}

static void on_listed(void *context, const struct reflector_list *l)
{
	struct collection *c = context;

	c->there = l->there;
	c->done = true;
}

/* What to do, in addition to what the server says. */
static const char *advice(long status)
{
	switch (status) {
	case 401:
		return ": the server refuses the credentials in the kubeconfig";
	case 403:
		return ": the user of the kubeconfig needs this right";
	default:
		return "";
	}
}

/* The first problem ends it: a person waits for the answer. */
static void on_problem(void *context, const struct reflector_problem *p)
{
	struct collection *c = context;

	if (!p || c->done)
		return;
	if (!*c->problem)
		snprintf(c->problem, sizeof(c->problem), "%s%s", p->what, advice(p->status));
	c->done |= p->blind;
}

static bool all_done(void *context)
{
	const struct work *w = context;

	for (size_t i = 0; i < w->n; i++)
		if (!w->all[i].done)
			return false;
	return true;
}

int collect(struct event_base *base, struct rest *rest, struct collection *all, size_t n,
	    unsigned int ms)
{
	struct reflector *reflectors[COLLECTIONS] = {NULL};
	struct work w = {all, n};
	int err = n <= COLLECTIONS ? 0 : -EINVAL;

	for (size_t i = 0; i < n && !err; i++) {
		const struct reflector_params p = {
			.base = base,
			.rest = rest,
			.path = all[i].path,
			.optional = all[i].optional,
			.once = true,
			.object = on_object,
			.listing = on_listing,
			.listed = on_listed,
			.problem = on_problem,
			.context = &all[i],
		};

		reflectors[i] = reflector_new(&p);
		err = reflectors[i] ? 0 : -ENOMEM;
	}
	if (!err)
		event_wait(base, ms, all_done, &w);
	for (size_t i = 0; i < n && i < COLLECTIONS; i++) {
		reflector_free(reflectors[i]);
		if (!all[i].done && !*all[i].problem)
			snprintf(all[i].problem, sizeof(all[i].problem),
				 "no complete answer within %u s", ms / 1000);
	}
	return err;
}
