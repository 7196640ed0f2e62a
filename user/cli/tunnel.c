/* SPDX-License-Identifier: Apache-2.0 */
/* podveil tunnel: the process that has keys, sessions and devices of a node's agent. */
#include <event2/event.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/process.h"
#include "cli/process_options.h"
#include "crypto/aead.h"
#include "service/service.h"

static bool apply(void *context, int option, const char *value)
{
	return process_option_apply(context, "tunnel", option, value);
}

static int serve(void *context)
{
	const struct process_options *o = context;
	const struct confine_params p = {.process = CONFINE_TUNNEL, .user = o->user};
	struct process_signals signals;
	struct confinement confinement;
	struct service *service = NULL;
	struct event_base *base;
	int result = EXIT_FAILED;

	if (!o->unconfined)
		process_confine(&p, &confinement);
	base = event_base_new();
	if (!base)
		return EXIT_FAILED;
	aead_measure_ahead();
	if (!process_signals_begin(&signals, base) &&
	    !service_new(base, o->take_over, o->unconfined ? NULL : confinement.capabilities,
			 &service)) {
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
	struct process_options o = PROCESS_OPTIONS_DEFAULT;
	const int result = cli_parse(argc, argv, apply, &o, NULL);

	if (result >= 0)
		return result;
	if (!process_options_user(&o, "tunnel", SERVICE_HANDOVER))
		return EXIT_USAGE;
	prctl(PR_SET_NAME, "podveil-tunnel"); /* ps, top and pgrep tell it from an agent */
	process_options_set_log(&o);
	return process_privileged() ? process_serve(serve, &o) : EXIT_FAILED;
}
