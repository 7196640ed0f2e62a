/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/kubernetes_set.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/kubernetes/status_object.h"
#include "store/settings_json.h"

#define CALL_MS 10000

struct outcome {
	bool done;
	long status;
	char error[STATUS_OBJECT_TEXT];
};

static void on_outcome(void *context, const struct rest_answer *a)
{
	struct outcome *to = context;

	to->done = true;
	to->status = a->status;
	status_object_explain(a, to->error);
}

static int call(struct event_base *base, struct rest *rest, const char *method, const char *path,
		const char *type, const char *body, struct outcome *out)
{
	const struct rest_request q = {
		.method = method,
		.path = path,
		.content_type = type,
		.body = body,
		.timeout_ms = CALL_MS,
		.done = on_outcome,
		.context = out,
	};

	*out = (struct outcome){.done = false};
	if (!rest_start(rest, &q))
		return -ENOMEM;
	while (!out->done)
		if (event_base_loop(base, EVLOOP_ONCE) < 0)
			return -EIO;
	return 0;
}

static int errno_of(const struct outcome *o)
{
	switch (o->status) {
	case 0:
		return -EHOSTUNREACH;
	case 401:
	case 403:
		return -EACCES;
	case 404:
		return -ENOENT;
	case 422:
		return -EINVAL;
	default:
		return o->status / 100 == 2 ? 0 : -EIO;
	}
}

/* A new object with the changes. Changes that remove a setting are left out. */
static char *fresh_object(const struct kubernetes_resource *r, const char *name, json_t *spec)
{
	json_t *o = json_pack("{s:s, s:s, s:{s:s}, s:O}", "apiVersion", r->api_version, "kind",
			      r->kind, "metadata", "name", name, "spec", spec);
	const char *member;
	char *text;
	json_t *v;
	void *next;

	json_object_foreach_safe(json_object_get(o, "spec"), next, member, v) if (json_is_null(v))
		json_object_del(json_object_get(o, "spec"), member);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

int kubernetes_set(struct event_base *base, struct rest *rest, const struct kubernetes_resource *r,
		   const char *node, const struct store_setting *changes, unsigned int n)
{
	json_t *spec = json_object(), *patch;
	char *name = settings_json_name(node), *path = NULL, *text = NULL;
	struct outcome o = {.status = 0};
	int err = -ENOMEM;

	for (unsigned int i = 0; i < n; i++)
		json_object_set_new(spec, changes[i].name,
				    changes[i].value ? settings_json_value(&changes[i])
						     : json_null());
	patch = json_pack("{s:O}", "spec", spec);
	text = json_dumps(patch, JSON_COMPACT);
	json_decref(patch);
	if (name && text && asprintf(&path, "%s/%s", r->path, name) >= 0)
		err = call(base, rest, "PATCH", path, "application/merge-patch+json", text, &o);
	if (!err && o.status == 404) {
		free(text);
		text = fresh_object(r, name, spec);
		err = text ? call(base, rest, "POST", r->path, "application/json", text, &o)
			   : -ENOMEM;
	}
	if (!err && errno_of(&o)) {
		err = errno_of(&o);
		log_error("the settings were not changed", "resource=%s/%s problem=\"%s\"", r->name,
			  name, o.error);
	}
	json_decref(spec);
	free(text);
	free(path);
	free(name);
	return err;
}
