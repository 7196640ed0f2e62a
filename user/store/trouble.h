/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong with a store for a while: said once, again when it is something else, and when it
 * is well again. Pure. */
#ifndef STORE_TROUBLE_H
#define STORE_TROUBLE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TROUBLE_TEXT 300

struct trouble {
	void (*tell)(void *context, const char *what); /* NULL: it is well again */
	void *context;
	char what[TROUBLE_TEXT]; /* empty: nothing is wrong */
};

static inline void trouble_begins(struct trouble *t, const char *what)
{
	char text[TROUBLE_TEXT];

	snprintf(text, sizeof(text), "%s", what);
	if (!strcmp(t->what, text))
		return;
	memcpy(t->what, text, sizeof(text));
	t->tell(t->context, what);
}

static inline void trouble_ends(struct trouble *t)
{
	if (!*t->what)
		return;
	*t->what = 0;
	t->tell(t->context, NULL);
}

#endif
