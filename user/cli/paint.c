/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/paint.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct paint paint_choose(void)
{
	static const struct paint none = {"", "", "", ""};
	static const struct paint some = {"\033[32m", "\033[31m", "\033[2m", "\033[0m"};
	const char *terminal = getenv("TERM"), *no_color = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") &&
			       !(no_color && *no_color)
		       ? some
		       : none;
}
