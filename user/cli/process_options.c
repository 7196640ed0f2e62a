/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/process_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "handover/channel.h"

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
	case OPT_USER:
		o->user_text = value;
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

bool process_options_user(struct process_options *o, const char *subcommand, const char *handover)
{
	const char *text = o->user_text ? o->user_text : getenv("PODVEIL_USER");
	const int err = confine_user_find(text, &o->user);

	if (err) {
		fprintf(stderr, "podveil %s: --user %s: %s\n", subcommand, text,
			err == -ENOENT
				? "no such name in /etc/passwd; a number needs none"
				: "not the number of a user: 0 to 4294967294, but not 65535");
		return false;
	}
	if (o->take_over)
		channel_user(handover, &o->user.user, &o->user.group);
	return true;
}

void process_options_set_log(const struct process_options *o)
{
	log_level_set(o->log_level);
	log_format_set(o->log_format);
}
