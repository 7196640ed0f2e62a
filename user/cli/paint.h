/* SPDX-License-Identifier: Apache-2.0 */
/* Colours on a terminal, and none elsewhere. Pure, except that it asks whether stdout is one. */
#ifndef CLI_PAINT_H
#define CLI_PAINT_H

struct paint {
	const char *good, *bad, *quiet, *end;
};

/* Empty texts if stdout is no terminal, or TERM=dumb, or NO_COLOR is set. */
struct paint paint_choose(void);

#endif
