/* SPDX-License-Identifier: Apache-2.0 */
/* podveil tunnel: the process that has keys, sessions and devices of a node's agent. */
#include <event2/event.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/process.h"
#include "crypto/aead.h"
#include "service/service.h"

struct options {
	bool unconfined, take_over;
	enum log_level log_level;
	enum log_format log_format;
};

static bool apply(void *context, int option, const char *value)
{
	struct options *o = context;

	switch (option) {
	case OPT_TAKE_OVER:
		o->take_over = true;
		return true;
	case OPT_UNCONFINED:
		o->unconfined = true;
		return true;
	case OPT_LOG_FORMAT:
		if (!log_format_parse(value, &o->log_format))
			return true;
		fprintf(stderr, "podveil tunnel: --log-format %s: not text or json\n", value);
		return false;
	case OPT_LOG_LEVEL:
		if (!log_level_parse(value, &o->log_level))
			return true;
		fprintf(stderr,
			"podveil tunnel: --log-level %s: not one of error, warn, info, debug\n",
			value);
		return false;
	default:
		return false;
	}
}

static int serve(void *context)
{
	const struct options *o = context;
	struct process_signals signals;
	struct confinement confinement;
	struct service *service = NULL;
	struct event_base *base;
	int result = EXIT_FAILED;

	if (!o->unconfined)
		process_confine(CONFINE_TUNNEL, NULL, &confinement);
	base = event_base_new();
	if (!base)
		return EXIT_FAILED;
	aead_measure_ahead();
	if (!process_signals_begin(&signals, base) && !service_new(base, o->take_over, &service)) {
		log_info("tunnel process started", "version=%s", PODVEIL_VERSION);
		event_base_dispatch(base);
		service_free(service);
		log_info("tunnel process ended", "version=%s", PODVEIL_VERSION);
		result = EXIT_DONE;
	}
	process_signals_end(&signals);
	event_base_free(base);
	return result;
}

int tunnel_main(int argc, char **argv)
{
	struct options o = {.log_level = LOG_LEVEL_INFO};
	const int result = cli_parse(argc, argv, apply, &o, NULL);

	if (result >= 0)
		return result;
	prctl(PR_SET_NAME, "podveil-tunnel"); /* ps, top and pgrep tell it from an agent */
	log_level_set(o.log_level);
	log_format_set(o.log_format);
	return process_privileged() ? process_serve(serve, &o) : EXIT_FAILED;
}
