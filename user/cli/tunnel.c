/* SPDX-License-Identifier: Apache-2.0 */
/* podveil tunnel: the process that has keys, sessions and devices of a node's agent. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/process.h"
#include "cli/process_options.h"
#include "crypto/aead.h"
#include "handover/instances.h"
#include "service/probe.h"
#include "service/service.h"

struct options {
	struct process_options process;
	const char *instance; /* "": none */
	bool probe;
};

static bool instance_is_good(const char *from, const char *name)
{
	if (instance_is_valid(name))
		return true;
	fprintf(stderr,
		"podveil tunnel: %s \"%s\": not 1 to %d letters, digits, '-', '.' and '_'\n", from,
		name, INSTANCE_MAX);
	return false;
}

static bool apply(void *context, int option, const char *value)
{
	struct options *o = context;

	switch (option) {
	case OPT_INSTANCE:
		o->instance = value;
		return instance_is_good("--instance", value);
	case OPT_PROBE:
		o->probe = true;
		return true;
	default:
		return process_option_apply(&o->process, "tunnel", option, value);
	}
}

/* Returns -1 to go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	int result;

	o->instance = getenv("PODVEIL_INSTANCE");
	if (!o->instance)
		o->instance = "";
	if (*o->instance && !instance_is_good("PODVEIL_INSTANCE", o->instance))
		return EXIT_USAGE;
	result = cli_parse(argc, argv, apply, o, NULL);
	if (result < 0 && o->probe && !*o->instance) {
		fprintf(stderr, "podveil tunnel: --probe needs --instance or PODVEIL_INSTANCE\n");
		return EXIT_USAGE;
	}
	return result;
}

static int serve(void *context)
{
	const struct options *o = context;
	const struct confine_params p = {.process = CONFINE_TUNNEL, .user = o->process.user};
	struct service_params params = {
		.take_over = o->process.take_over,
		.instance = o->instance,
	};
	struct process_signals signals;
	struct confinement confinement;
	struct service *service = NULL;
	int err, result = EXIT_FAILED;

	if (!o->process.unconfined)
		process_confine(&p, &confinement);
	params.base = event_base_new();
	if (!params.base)
		return EXIT_FAILED;
	params.capabilities = o->process.unconfined ? NULL : confinement.capabilities;
	aead_measure_ahead();
	err = process_signals_begin(&signals, params.base);
	if (!err)
		err = service_new(&params, &service);
	if (err == -ECANCELED)
		result = EXIT_DONE; /* told to end while another one ran */
	if (!err) {
		log_info("tunnel process started", "version=%s instance=%s", PODVEIL_VERSION,
			 *o->instance ? o->instance : "-");
		event_base_dispatch(params.base);
		service_free(service);
		log_info("tunnel process ended", "version=%s", PODVEIL_VERSION);
		result = EXIT_DONE;
	}
	process_signals_end(&signals);
	event_base_free(params.base);
	return result;
}

static int ask(const char *instance)
{
	char text[PROBE_TEXT];
	const int err = probe(instance, text);

	fprintf(err ? stderr : stdout, "podveil tunnel: %s\n", text);
	return err ? EXIT_FAILED : EXIT_DONE;
}

int tunnel_main(int argc, char **argv)
{
	struct options o = {.process = PROCESS_OPTIONS_DEFAULT};
	const int result = parse(argc, argv, &o);

	if (result >= 0)
		return result;
	if (o.probe)
		return ask(o.instance);
	if (!process_options_user(&o.process, "tunnel", SERVICE_HANDOVER))
		return EXIT_USAGE;
	prctl(PR_SET_NAME, "podveil-tunnel"); /* ps, top and pgrep tell it from an agent */
	process_options_set_log(&o.process);
	return process_privileged() ? process_serve(serve, &o) : EXIT_FAILED;
}
