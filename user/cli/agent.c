/* SPDX-License-Identifier: Apache-2.0 */
/* podveil agent: the node agent. */
#include "agent/agent.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/leftovers.h"
#include "base/files.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/process.h"
#include "http/address.h"
#include "service/starter.h"
#include "store/store.h"

#define MAX_POD_CIDRS 64

struct options {
	struct agent_params agent;
	const char *store, *resource;
	char hostname[NODE_NAME_MAX + 1];
	struct cidr pod_cidrs[MAX_POD_CIDRS];

	bool wait_for_tunnel; /* somebody else starts it */
	bool cleanup, cleanup_on_exit, unconfined;
	struct confinement confinement;
};

static bool add_ranges(struct options *o, const char *text)
{
	char *copy = strdup(text), *at = copy, *one;
	bool good = copy;

	while (good && (one = strsep(&at, ","))) {
		if (o->agent.n_pod_cidrs == MAX_POD_CIDRS) {
			fprintf(stderr, "podveil agent: --pod-cidr: more than %d ranges\n",
				MAX_POD_CIDRS);
			good = false;
		} else if (cidr_parse(one, &o->pod_cidrs[o->agent.n_pod_cidrs++])) {
			fprintf(stderr,
				"podveil agent: --pod-cidr %s: not an address range such as "
				"10.244.1.0/24\n",
				one);
			good = false;
		}
	}
	free(copy);
	return good;
}

static bool set_node_ip(struct options *o, const char *value)
{
	struct cidr address;

	if (cidr_parse_address(value, &address)) {
		fprintf(stderr, "podveil agent: --node-ip %s: not an IPv4 or IPv6 address\n",
			value);
		return false;
	}
	*(address.family == AF_INET ? &o->agent.address4 : &o->agent.address6) = address;
	return true;
}

static bool set_http(struct options *o, const char *value)
{
	const bool off = !strcmp(value, "off");

	if (!off && !http_address_valid(value)) {
		fprintf(stderr,
			"podveil agent: --http %s: neither off nor [ADDRESS]:PORT such as "
			":9586, with or without \",full\"\n",
			value);
		return false;
	}
	o->agent.http = off ? NULL : value;
	return true;
}

static bool apply(void *context, int option, const char *value)
{
	struct options *o = context;

	if (option >= OPT_SETTING && option < OPT_SETTING + SETTINGS_COUNT)
		return !settings_layer_set(o->agent.settings,
					   settings_table[option - OPT_SETTING].name, value);

	switch (option) {
	case OPT_NODE:
		o->agent.node = value;
		return true;
	case OPT_STORE:
		o->store = value;
		return true;
	case OPT_CONFIG_RESOURCE:
		o->resource = value;
		return true;
	case OPT_UPLINK:
		o->agent.uplink = value;
		return true;
	case OPT_NODE_IP:
		return set_node_ip(o, value);
	case OPT_POD_CIDR:
		return add_ranges(o, value);
	case OPT_HTTP:
		return set_http(o, value);
	case OPT_TUNNEL:
		o->wait_for_tunnel = !strcmp(value, "wait");
		if (o->wait_for_tunnel || !strcmp(value, "start"))
			return true;
		fprintf(stderr, "podveil agent: --tunnel %s: neither start nor wait\n", value);
		return false;
	case OPT_LOG_LEVEL:
		return !settings_layer_set(o->agent.settings, "podveilLogLevel", value);
	case OPT_LOG_FORMAT:
		return !settings_layer_set(o->agent.settings, "podveilLogFormat", value);
	case OPT_UNCONFINED:
		o->unconfined = true;
		return true;
	case OPT_CLEANUP:
		o->cleanup = true;
		return true;
	case OPT_CLEANUP_ON_EXIT:
		o->cleanup_on_exit = true;
		return true;
	default:
		return false;
	}
}

/* Returns -1 to go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	struct settings_stack *settings = o->agent.settings;
	const char *problem;
	int result;

	settings_environment(settings, environ);
	settings_layer_begin(settings, SETTINGS_FLAG, "flag");
	result = cli_parse(argc, argv, apply, o, NULL);
	if (result >= 0)
		return result;
	settings_layer_end(settings);
	if (settings_refused(settings)) {
		fprintf(stderr, "podveil agent: %s\n", settings_refused(settings));
		return EXIT_USAGE;
	}
	problem = node_name_problem(o->agent.node);
	if (problem) {
		fprintf(stderr,
			"podveil agent: node name \"%s\" %s: give another name with --node\n",
			o->agent.node, problem);
		return EXIT_USAGE;
	}
	return -1;
}

/* A store in a directory is changed by the agent, too. */
static void confine_agent(struct options *o)
{
	const struct confine_params p = {
		.process = CONFINE_AGENT,
		.directory = strncmp(o->store, "dir:", 4) ? NULL : o->store + 4,
	};

	if (p.directory)
		directory_make_parents(p.directory);
	process_confine(&p, &o->confinement);
	o->agent.confinement = &o->confinement;
}

static int serve(struct options *o)
{
	struct process_signals signals;
	char *url = store_with_resource(o->store, o->resource);
	struct agent *agent = NULL;
	int err, result = EXIT_FAILED;

	o->agent.starter = -1;
	if (!o->wait_for_tunnel && starter_new(&o->agent.starter)) {
		log_error("the starter of tunnel processes cannot be made", "errno=%d", errno);
		free(url);
		return EXIT_FAILED;
	}
	if (!o->unconfined)
		confine_agent(o);
	o->agent.base = event_base_new();
	if (!url || !o->agent.base) {
		free(url);
		return EXIT_FAILED;
	}
	o->agent.store = url;
	err = process_signals_begin(&signals, o->agent.base);
	if (!err)
		err = agent_new(&o->agent, &agent);
	if (err == -ECANCELED)
		result = EXIT_DONE; /* told to end while another agent ran */
	if (!err) {
		log_info("agent started", "node=%s store=%s", o->agent.node, o->agent.store);
		event_base_dispatch(o->agent.base);
		agent_free(agent, o->cleanup_on_exit);
		log_info("agent ended", "node=%s", o->agent.node);
		result = EXIT_DONE;
	}
	process_signals_end(&signals);
	event_base_free(o->agent.base);
	free(url);
	return result;
}

static int clean(void)
{
	struct leftovers_remains r;
	const int err = agent_cleanup(&r);

	if (err == -EWOULDBLOCK)
		fprintf(stderr, "podveil agent: an agent runs on this machine: end it first\n");
	else if (err)
		fprintf(stderr, "podveil agent: cleanup: %s; found %zu things, these are left:\n%s",
			strerror(-err), r.found, r.remaining ? r.remaining : "(unknown)\n");
	free(r.remaining);
	return err ? EXIT_FAILED : EXIT_DONE;
}

static int run(void *context)
{
	struct options *o = context;

	return o->cleanup ? clean() : serve(o);
}

int agent_main(int argc, char **argv)
{
	struct options o = {.cleanup = false};
	int result;

	if (gethostname(o.hostname, sizeof(o.hostname) - 1))
		o.hostname[0] = 0;
	o.agent.node = o.hostname;
	o.store = store_default();
	o.agent.http = ":9586";
	o.agent.pod_cidrs = o.pod_cidrs;
	o.agent.settings = settings_new();
	if (!o.agent.settings)
		return EXIT_FAILED;
	result = parse(argc, argv, &o);
	if (result < 0) {
		log_level_set(settings_get(o.agent.settings)->log_level);
		log_format_set(settings_get(o.agent.settings)->log_format);
		result = process_privileged() ? process_serve(run, &o) : EXIT_FAILED;
	}
	settings_free(o.agent.settings);
	return result;
}
