/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor/felix_objects.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/agent_status.h"
#include "store/http/rest.h"
#include "store/kubernetes/cluster.h"
#include "store/kubernetes/kubeconfig.h"

#define PREFIX	   "projectcalico.org/"
#define TIMEOUT_MS 3000

/* --- reading objects --- */

static void copy(char *to, size_t room, const json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));

	if (text && *text)
		snprintf(to, room, "%s", text);
}

static void take_node(struct felix_objects *out, const json_t *node)
{
	const json_t *metadata = json_object_get(node, "metadata");
	json_t *all = json_object_get(metadata, "annotations");
	const char *name;
	json_t *value;

	out->node = true;
	copy(out->key4, sizeof(out->key4), all, CLUSTER_KEY4);
	copy(out->key6, sizeof(out->key6), all, CLUSTER_KEY6);
	json_object_foreach (all, name, value)
		if (!*out->annotation && !strncmp(name, PREFIX, strlen(PREFIX)) &&
		    strcmp(name, CLUSTER_KEY4) && strcmp(name, CLUSTER_KEY6))
			snprintf(out->annotation, sizeof(out->annotation), "%s", name);
}

static void take_one(struct felix_objects *out, const json_t *spec)
{
	const json_t *enabled4 = json_object_get(spec, "wireguardEnabled");
	const json_t *enabled6 = json_object_get(spec, "wireguardEnabledV6");

	out->configured = true;
	if (enabled4)
		out->enabled4 = json_is_true(enabled4);
	if (enabled6)
		out->enabled6 = json_is_true(enabled6);
	copy(out->interface4, sizeof(out->interface4), spec, "wireguardInterfaceName");
	copy(out->interface6, sizeof(out->interface6), spec, "wireguardInterfaceNameV6");
}

/* Settings of node.NAME override those of default. */
static void take_configuration(struct felix_objects *out, const json_t *items, const char *node)
{
	char own[300];
	const char *const names[] = {"default", own};

	snprintf(own, sizeof(own), "node.%s", node);
	for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++)
		for (size_t i = 0; i < json_array_size(items); i++) {
			const json_t *o = json_array_get(items, i);
			const json_t *metadata = json_object_get(o, "metadata");
			const char *name = json_string_value(json_object_get(metadata, "name"));

			if (name && !strcmp(name, names[n]))
				take_one(out, json_object_get(o, "spec"));
		}
}

/* --- asking --- */

struct question {
	struct event_base *base;
	struct rest *rest;
	json_t *answer;
};

static void on_answer(void *context, const struct rest_answer *a)
{
	struct question *q = context;

	if (a->status == 200)
		q->answer = json_loadb(a->body, a->len, 0, NULL);
	event_base_loopbreak(q->base);
}

/* NULL: not found, no permission, or no answer. */
static json_t *ask(struct question *q, const char *path)
{
	const struct rest_request request = {.method = "GET",
					     .path = path,
					     .timeout_ms = TIMEOUT_MS,
					     .done = on_answer,
					     .context = q};

	q->answer = NULL;
	if (rest_start(q->rest, &request))
		event_base_dispatch(q->base);
	return q->answer;
}

static void ask_for_node(struct question *q, const char *node, struct felix_objects *out)
{
	char *name = rest_escape(node), path[1024];
	json_t *list;

	if (!name)
		return;
	/* An agent may list nodes, but not get one. */
	snprintf(path, sizeof(path), "/api/v1/nodes?fieldSelector=metadata.name%%3D%s", name);
	free(name);
	list = ask(q, path);
	if (json_array_size(json_object_get(list, "items")) == 1)
		take_node(out, json_array_get(json_object_get(list, "items"), 0));
	json_decref(list);
}

static void ask_for_configuration(struct question *q, const char *node, struct felix_objects *out)
{
	static const char *const paths[] = {"/apis/crd.projectcalico.org/v1/felixconfigurations",
					    "/apis/projectcalico.org/v3/felixconfigurations"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths) && !out->configured; i++) {
		json_t *list = ask(q, paths[i]);

		take_configuration(out, json_object_get(list, "items"), node);
		json_decref(list);
	}
}

/* The name of our node. Empty: the store is not an API server. */
static void find_node(char *name, size_t room)
{
	json_t *status = agent_status_fetch(NULL);
	const char *known = getenv("NODE_NAME"), *store = getenv("PODVEIL_STORE");

	*name = 0;
	if (status) {
		known = member_text(status, "node");
		store = member_text(json_object_get(status, "store"), "name");
	} else if (!store && getenv("KUBERNETES_SERVICE_HOST")) {
		store = "kubernetes";
	}
	if (store && !strncmp(store, "kubernetes", strlen("kubernetes"))) {
		if (known)
			snprintf(name, room, "%s", known);
		else if (gethostname(name, room))
			*name = 0;
	}
	json_decref(status);
}

void felix_objects_read(struct felix_objects *out)
{
	struct credentials as = {.server = NULL};
	char node[256], problem[256];
	struct question q = {.answer = NULL};

	memset(out, 0, sizeof(*out));
	find_node(node, sizeof(node));
	if (!*node || kubeconfig_find(SERVICE_ACCOUNT, &as, problem, sizeof(problem)))
		return;
	q.base = event_base_new();
	if (!q.base) {
		credentials_fini(&as);
		return;
	}
	if (!rest_new(q.base, &as, "/version", &q.rest)) {
		ask_for_node(&q, node, out);
		/* Without an answer to the first question, do not ask again. */
		if (out->node)
			ask_for_configuration(&q, node, out);
		rest_free(q.rest);
	}
	event_base_free(q.base);
}
