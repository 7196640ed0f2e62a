/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/process_options.h"

#include <stdio.h>

#include "cli/cli.h"

bool process_option_apply(struct process_options *o, const char *subcommand, int option,
			  const char *value)
{
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
		fprintf(stderr, "podveil %s: --log-format %s: not text or json\n", subcommand,
			value);
		return false;
	case OPT_LOG_LEVEL:
		if (!log_level_parse(value, &o->log_level))
			return true;
		fprintf(stderr, "podveil %s: --log-level %s: not one of error, warn, info, debug\n",
			subcommand, value);
		return false;
	default:
		return false;
	}
}

void process_options_set_log(const struct process_options *o)
{
	log_level_set(o->log_level);
	log_format_set(o->log_format);
}
