/* SPDX-License-Identifier: Apache-2.0 */
/* podveil agent: the node agent. */
#include "node/agent.h"

#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "cli/cli.h"
#include "cli/process.h"
#include "observe/log.h"
#include "store/store.h"

#define MAX_POD_CIDRS 64
#define MAX_OPTIONS   64

struct options {
	struct agent_params agent;
	char hostname[NODE_NAME_MAX + 1];
	struct cidr pod_cidrs[MAX_POD_CIDRS];
	enum log_level log_level;
	bool cleanup, cleanup_on_exit;
};

enum {
	OPT_HELP = 'h',
	OPT_NODE = 256,
	OPT_STORE,
	OPT_UPLINK,
	OPT_NODE_IP,
	OPT_POD_CIDR,
	OPT_HTTP,
	OPT_LOG_LEVEL,
	OPT_CLEANUP,
	OPT_CLEANUP_ON_EXIT,
	OPT_SETTING, /* and on: one a setting */
};

static const struct option own_options[] = {
	{"node", required_argument, NULL, OPT_NODE},
	{"store", required_argument, NULL, OPT_STORE},
	{"uplink", required_argument, NULL, OPT_UPLINK},
	{"node-ip", required_argument, NULL, OPT_NODE_IP},
	{"pod-cidr", required_argument, NULL, OPT_POD_CIDR},
	{"http", required_argument, NULL, OPT_HTTP},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"cleanup", no_argument, NULL, OPT_CLEANUP},
	{"cleanup-on-exit", no_argument, NULL, OPT_CLEANUP_ON_EXIT},
	{"help", no_argument, NULL, OPT_HELP},
};

#define N_OWN (sizeof(own_options) / sizeof(*own_options))

static void usage(FILE *out)
{
	size_t n;
	const struct settings_field *fields = settings_fields(&n);

	fprintf(out,
		"usage: podveil agent [OPTIONS]\n"
		"Encrypts the traffic of this node's pods with those of other nodes, as the "
		"store's\n"
		"settings say. Stays in the foreground.\n\n"
		"      --node NAME        of this node (default: the host's name)\n"
		"      --store STORE      dir:PATH (default: " STORE_DEFAULT ")\n"
		"      --uplink DEVICE    that reaches the other nodes (default: the default "
		"route's)\n"
		"      --node-ip ADDRESS  of this node, once a family (default: the uplink's)\n"
		"      --pod-cidr RANGES  of this node's pods, comma between or several times "
		"(default:\n"
		"                         what the store's record of this node says)\n"
		"      --http [ADDR]:PORT where metrics and status are served, or off (default: "
		":9586)\n"
		"      --log-level L      error, warn, info or debug (default: info)\n"
		"      --cleanup          remove everything that an agent left on this machine, "
		"and end\n"
		"      --cleanup-on-exit  do so when the agent is told to end; else encryption "
		"that is on\n"
		"                         stays on, and what cannot be encrypted is dropped\n"
		"  -h, --help\n\n"
		"Settings for this node alone, over those of the store; also as PODVEIL_NAME=VALUE "
		"in the\n"
		"environment:\n");
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  --%-34s %s (%s; default %s)\n", fields[i].name, fields[i].meaning,
			fields[i].range, *fields[i].fallback ? fields[i].fallback : "none");
}

/* Our own options, then one for each setting. */
static void make_options(struct option *to)
{
	size_t n;
	const struct settings_field *fields = settings_fields(&n);

	memcpy(to, own_options, sizeof(own_options));
	for (size_t i = 0; i < n && N_OWN + i < MAX_OPTIONS - 1; i++)
		to[N_OWN + i] = (struct option){fields[i].name, required_argument, NULL,
						OPT_SETTING + (int)i};
	to[N_OWN + n] = (struct option){NULL, 0, NULL, 0};
}

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
				"podveil agent: --pod-cidr %s: no address range such as "
				"10.244.1.0/24\n",
				one);
			good = false;
		}
	}
	free(copy);
	return good;
}

static bool apply(struct options *o, int option, const char *value)
{
	struct cidr address;

	switch (option) {
	case OPT_NODE:
		o->agent.node = value;
		return true;
	case OPT_STORE:
		o->agent.store = value;
		return true;
	case OPT_UPLINK:
		o->agent.uplink = value;
		return true;
	case OPT_NODE_IP:
		if (cidr_parse_address(value, &address)) {
			fprintf(stderr, "podveil agent: --node-ip %s: no IPv4 or IPv6 address\n",
				value);
			return false;
		}
		*(address.family == AF_INET ? &o->agent.address4 : &o->agent.address6) = address;
		return true;
	case OPT_POD_CIDR:
		return add_ranges(o, value);
	case OPT_HTTP:
		o->agent.http = strcmp(value, "off") ? value : NULL;
		return true;
	case OPT_LOG_LEVEL:
		if (!log_level_parse(value, &o->log_level))
			return true;
		fprintf(stderr,
			"podveil agent: --log-level %s: not one of error, warn, info, debug\n",
			value);
		return false;
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

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	struct option options[MAX_OPTIONS];
	struct settings_stack *settings = o->agent.settings;
	size_t n;
	const struct settings_field *fields = settings_fields(&n);
	const char *problem;
	int option;

	make_options(options);
	settings_environment(settings, environ);
	settings_layer_begin(settings, SETTINGS_FLAG, "flag");
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == OPT_HELP) {
			usage(stdout);
			return EXIT_DONE;
		}
		if (option >= OPT_SETTING && option < OPT_SETTING + (int)n) {
			if (settings_layer_set(settings, fields[option - OPT_SETTING].name, optarg))
				return EXIT_USAGE;
		} else if (option == '?' || !apply(o, option, optarg)) {
			if (option == '?')
				fprintf(stderr, "see: podveil agent --help\n");
			return EXIT_USAGE;
		}
	}
	settings_layer_end(settings);
	if (settings_refused(settings)) {
		fprintf(stderr, "podveil agent: %s\n", settings_refused(settings));
		return EXIT_USAGE;
	}
	if (optind != argc) {
		fprintf(stderr, "podveil agent: \"%s\" is no option\n", argv[optind]);
		return EXIT_USAGE;
	}
	problem = node_name_problem(o->agent.node);
	if (problem) {
		fprintf(stderr, "podveil agent: node name \"%s\" %s: give another with --node\n",
			o->agent.node, problem);
		return EXIT_USAGE;
	}
	return -1;
}

static void on_signal(evutil_socket_t signal, short what, void *base)
{
	(void)signal;
	(void)what;
	event_base_loopbreak(base);
}

static int serve(struct options *o)
{
	struct event *on_term = NULL, *on_int = NULL;
	struct agent *agent = NULL;
	int result = EXIT_FAILED;

	o->agent.base = event_base_new();
	if (!o->agent.base)
		return EXIT_FAILED;
	on_term = evsignal_new(o->agent.base, SIGTERM, on_signal, o->agent.base);
	on_int = evsignal_new(o->agent.base, SIGINT, on_signal, o->agent.base);
	if (on_term && on_int && !evsignal_add(on_term, NULL) && !evsignal_add(on_int, NULL) &&
	    !agent_new(&o->agent, &agent)) {
		log_info("agent started", "node=%s store=%s", o->agent.node, o->agent.store);
		event_base_dispatch(o->agent.base);
		agent_free(agent, o->cleanup_on_exit);
		log_info("agent ended", "node=%s", o->agent.node);
		result = EXIT_DONE;
	}
	if (on_term)
		event_free(on_term);
	if (on_int)
		event_free(on_int);
	event_base_free(o->agent.base);
	return result;
}

static int clean(const struct options *o)
{
	int err = agent_cleanup(o->agent.uplink, settings_get(o->agent.settings));

	if (!err)
		return EXIT_DONE;
	if (err == -EWOULDBLOCK)
		fprintf(stderr,
			"podveil agent: an agent is running on this machine: end it first\n");
	else
		fprintf(stderr, "podveil agent: cleanup: %s\n", strerror(-err));
	return EXIT_FAILED;
}

static int run(struct options *o)
{
	int result;

	if (!process_privileged())
		return EXIT_FAILED;
	process_protect();
	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0) {
		log_error("libsodium cannot start", "needs=\"a source of random numbers\"");
		return EXIT_FAILED;
	}
	rcu_register_thread();
	rcu_thread_offline();
	result = o->cleanup ? clean(o) : serve(o);
	rcu_thread_online();
	rcu_unregister_thread();
	return result;
}

int agent_main(int argc, char **argv)
{
	struct options o = {.log_level = LOG_LEVEL_INFO};
	int result;

	if (gethostname(o.hostname, sizeof(o.hostname) - 1))
		o.hostname[0] = 0;
	o.agent.node = o.hostname;
	o.agent.store = store_default();
	o.agent.http = ":9586";
	o.agent.pod_cidrs = o.pod_cidrs;
	o.agent.settings = settings_new();
	if (!o.agent.settings)
		return EXIT_FAILED;
	result = parse(argc, argv, &o);
	if (result < 0) {
		log_level_set(o.log_level);
		result = run(&o);
	}
	settings_free(o.agent.settings);
	return result;
}
