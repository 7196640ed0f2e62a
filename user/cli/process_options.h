/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the processes that hold keys: podveil device and podveil tunnel. */
#ifndef CLI_PROCESS_OPTIONS_H
#define CLI_PROCESS_OPTIONS_H

#include <stdbool.h>

#include "base/log.h"
#include "confine/confine.h"

struct process_options {
	bool unconfined, take_over;
	const char *user_text; /* as given; NULL: the default */
	struct confine_user user;
	enum log_level log_level;
	enum log_format log_format;
};

#define PROCESS_OPTIONS_DEFAULT                                                                    \
	{                                                                                          \
		.log_level = LOG_LEVEL_INFO, .log_format = LOG_FORMAT_TEXT                         \
	}

/* For the `apply` of cli_parse(). Returns false if the value is bad, after printing why, or if the
 * option is not one of these. */
bool process_option_apply(struct process_options *o, const char *subcommand, int option,
			  const char *value);
/* Finds o->user, also in PODVEIL_USER. Returns false after printing what is wrong with it. A process
 * that takes over from another one, which listens under `handover` (handover/channel.h), has the
 * user of that one: so the one before can end it, should it hang in between. */
bool process_options_user(struct process_options *o, const char *subcommand, const char *handover);
/* The log follows the options from here on. */
void process_options_set_log(const struct process_options *o);

#endif
