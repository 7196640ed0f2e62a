/* SPDX-License-Identifier: Apache-2.0 */
/*
 * podveil cluster, also under the name kubectl-podveil: shows and switches the encryption of a whole
 * Kubernetes cluster, from any machine. It talks to the API server alone, with the rights of the
 * user's kubeconfig, and needs nothing of this machine.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/cluster/collect.h"
#include "cli/cluster/installation.h"
#include "cli/cluster/overview.h"
#include "store/kubernetes/kubeconfig.h"
#include "store/kubernetes/kubernetes_set.h"

#define READ_MS	 30000
#define UNKNOWN	 2 /* exit code: the cluster could not be read */
#define SELECTED "?" INSTALLATION_SELECTOR

struct options {
	const char *kubeconfig, *context, *resource, *node;
	bool ipv6, json, wide;
};

/* The API server of the user's kubeconfig. */
struct api {
	struct event_base *base;
	struct rest *rest;
	char server[300];
};

/* --- options --- */

static bool take_format(struct options *o, const char *value)
{
	o->json = !strcmp(value, "json");
	o->wide = !strcmp(value, "wide");
	if (!o->json && !o->wide && strcmp(value, "table") != 0) {
		fprintf(stderr, "podveil cluster: --output %s: needs table, wide or json\n", value);
		return false;
	}
	return true;
}

static bool take_resource(struct options *o, const char *value)
{
	char names[300];

	o->resource = value;
	if (!kubernetes_resource(value))
		fprintf(stderr, "podveil cluster: --config-resource %s: needs %s\n", value,
			kubernetes_resource_names(names));
	return kubernetes_resource(value);
}

static bool take_node(struct options *o, const char *value)
{
	const char *problem = node_name_problem(value);

	o->node = value;
	if (problem)
		fprintf(stderr, "podveil cluster: node name \"%s\" %s\n", value, problem);
	return !problem;
}

static bool apply(void *context, int option, const char *value)
{
	struct options *o = context;

	switch (option) {
	case OPT_OUTPUT:
		return take_format(o, value);
	case OPT_KUBECONFIG:
		o->kubeconfig = value;
		return true;
	case OPT_CONTEXT:
		o->context = value;
		return true;
	case OPT_CONFIG_RESOURCE:
		return take_resource(o, value);
	case OPT_NODE:
		return take_node(o, value);
	case OPT_IPV6:
		o->ipv6 = true;
		return true;
	default:
		return false;
	}
}

/* --- the API server --- */

static void api_close(struct api *api)
{
	rest_free(api->rest);
	if (api->base)
		event_base_free(api->base);
}

static int api_open(const struct options *o, struct api *api)
{
	const struct kubeconfig_choice choice = {o->kubeconfig, o->context, SERVICE_ACCOUNT};
	struct credentials as = {.insecure = false};
	char problem[600] = "";
	int err = kubeconfig_of_user(&choice, &as, problem, sizeof(problem));

	*api = (struct api){.base = NULL};
	if (err) {
		fprintf(stderr, "podveil cluster: %s\n", problem);
		return err;
	}
	snprintf(api->server, sizeof(api->server), "%s", as.server);
	api->base = event_base_new();
	err = api->base ? rest_new(api->base, &as, "/version", &api->rest) : -ENOMEM;
	if (err) {
		fprintf(stderr, "podveil cluster: %s\n", strerror(-err));
		api_close(api);
	}
	return err;
}

/* --- which resource has the settings --- */

static void on_daemon_set(void *context, const json_t *o)
{
	installation_daemon_set(context, o);
}

static struct collection daemon_sets_into(struct installation *in)
{
	return (struct collection){.path = "/apis/apps/v1/daemonsets" SELECTED,
				   .object = on_daemon_set,
				   .context = in};
}

/* The resource that the user names, or that the agents use. NULL: `problem` says why it is not
 * known. */
static const struct kubernetes_resource *find_resource(const struct options *o,
						       const struct collection *daemon_sets,
						       const struct installation *in,
						       char problem[600])
{
	const char *named = getenv("PODVEIL_CONFIG_RESOURCE");
	const struct kubernetes_resource *r;

	*problem = 0;
	if (o->resource)
		named = o->resource;
	if (!named || !*named)
		named = *in->config_resource ? in->config_resource : NULL;
	r = kubernetes_resource(named);
	if (!r)
		snprintf(problem, 600, "the resource %s is not known", named);
	else if (!named && *daemon_sets->problem)
		snprintf(problem, 600, "the DaemonSet of Podveil cannot be read: %s",
			 daemon_sets->problem);
	else if (in->contradictory && !o->resource)
		snprintf(problem, 600,
			 "there are two DaemonSets of Podveil with different settings resources");
	return *problem ? NULL : r;
}

/* --- status --- */

static void on_node(void *context, const json_t *o)
{
	overview_node(context, o);
}

static void on_agent(void *context, const json_t *o)
{
	overview_agent(context, o);
}

static void on_settings(void *context, const json_t *o)
{
	overview_settings(context, o);
}

static void note(struct overview *v, bool unknown, const char *what, const char *why)
{
	char text[800];

	snprintf(text, sizeof(text), "%s: %s", what, why);
	overview_problem(v, unknown, text);
}

/* Reads the settings. Returns the resource's name; *installed: it exists. */
static const char *read_settings(const struct options *o, struct api *api, struct overview *v,
				 const struct collection *daemon_sets,
				 const struct installation *in, bool *installed)
{
	char problem[600];
	const struct kubernetes_resource *r = find_resource(o, daemon_sets, in, problem);
	struct collection c = {.optional = true, .object = on_settings, .context = v};

	*installed = false;
	if (!r) {
		note(v, false, "the settings are not shown; --config-resource names their resource",
		     problem);
		return "an unknown resource";
	}
	c.path = r->path;
	if (collect(api->base, api->rest, &c, 1, READ_MS))
		snprintf(c.problem, sizeof(c.problem), "no memory");
	*installed = c.there;
	if (*c.problem)
		note(v, true, "the settings cannot be read", c.problem);
	else if (!c.there)
		note(v, true, "the resource with the settings is not installed", r->name);
	return r->name;
}

/* Reads everything. The document, or NULL: why was said. */
static json_t *look(const struct options *o, struct api *api, struct overview *v)
{
	struct installation in = {.found = false};
	struct collection all[] = {
		{.path = "/api/v1/nodes", .object = on_node, .context = v},
		{.path = "/api/v1/pods" SELECTED, .object = on_agent, .context = v},
		daemon_sets_into(&in),
	};
	const char *resource;
	json_t *document;
	bool installed;

	if (collect(api->base, api->rest, all, sizeof(all) / sizeof(*all), READ_MS))
		return NULL;
	if (*all[0].problem && !all[0].there) {
		fprintf(stderr, "podveil cluster: the nodes of %s cannot be read: %s\n",
			api->server, all[0].problem);
		return NULL;
	}
	if (*all[0].problem)
		note(v, true, "not all nodes were read", all[0].problem);
	if (*all[1].problem)
		note(v, false, "whether agents run is not known", all[1].problem);
	else if (in.found)
		overview_expect_agents(v);
	if (*all[2].problem)
		note(v, false, "how Podveil is installed is not known", all[2].problem);
	else if (!in.found)
		overview_problem(v, false, "there is no DaemonSet of Podveil in this cluster");
	resource = read_settings(o, api, v, &all[2], &in, &installed);
	document = overview_document(v, api->server, resource, installed);
	if (!document)
		fprintf(stderr, "podveil cluster: no memory\n");
	return document;
}

static int show_status(const struct options *o, struct api *api)
{
	struct overview *v = overview_new();
	json_t *document = v ? look(o, api, v) : NULL;
	const struct paint paint = paint_choose();
	int result = UNKNOWN;

	if (document) {
		if (o->json)
			json_dumpf(document, stdout, JSON_INDENT(2));
		else
			overview_print(document, o->wide, &paint, stdout);
		if (o->json)
			printf("\n");
		result = json_is_true(json_object_get(document, "encrypted")) ? EXIT_DONE
									      : EXIT_FAILED;
	}
	json_decref(document);
	overview_free(v);
	return fflush(stdout) ? UNKNOWN : result;
}

/* --- enable, disable --- */

static int change(const struct options *o, struct api *api, bool on)
{
	const struct store_setting s = {o->ipv6 ? "wireguardEnabledV6" : "wireguardEnabled",
					on ? "true" : "false"};
	struct installation in = {.found = false};
	struct collection c = daemon_sets_into(&in);
	const struct kubernetes_resource *r;
	char problem[600];
	int err;

	if (!o->resource && collect(api->base, api->rest, &c, 1, READ_MS))
		return EXIT_FAILED;
	r = find_resource(o, &c, &in, problem);
	if (!r) {
		fprintf(stderr,
			"podveil cluster: nothing was changed: %s; --config-resource names the "
			"resource with the settings\n",
			problem);
		return EXIT_FAILED;
	}
	err = kubernetes_set(api->base, api->rest, r, o->node, &s, 1);
	if (err) {
		fprintf(stderr, "podveil cluster: nothing was changed at %s: %s%s\n", api->server,
			strerror(-err),
			err == -ENOENT
				? "; is Podveil installed? kubectl apply -k deploy/kubernetes/plain"
				: "");
		return EXIT_FAILED;
	}
	printf("%s: %s for %s%s, in %s\n", s.name, s.value, o->node ? "node " : "the cluster",
	       o->node ? o->node : "", r->name);
	if (!o->resource && !in.found)
		fprintf(stderr,
			"podveil cluster: there is no DaemonSet of Podveil yet: nobody reads "
			"this setting\n");
	return EXIT_DONE;
}

/* --- all of them --- */

int cluster_main(int argc, char **argv)
{
	struct options o = {.kubeconfig = NULL};
	const char *command;
	int result = cli_parse(argc, argv, apply, &o, &command);
	bool status, enable;
	struct api api;

	if (result >= 0)
		return result;
	status = !strcmp(command, "status");
	enable = !strcmp(command, "enable");
	if (!status && !enable && strcmp(command, "disable") != 0) {
		fprintf(stderr, "podveil cluster: \"%s\" is not status, enable or disable\n",
			command);
		return EXIT_USAGE;
	}
	if (status ? o.node || o.ipv6 : o.json || o.wide) {
		fprintf(stderr, "podveil cluster %s: %s\n", command,
			status ? "--node and --ipv6 are for enable and disable"
			       : "--output is for status");
		return EXIT_USAGE;
	}
	if (api_open(&o, &api))
		return status ? UNKNOWN : EXIT_FAILED;
	result = status ? show_status(&o, &api) : change(&o, &api, enable);
	api_close(&api);
	return result;
}
