/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a confinement, for confine.c alone. They return 0 or -errno, and may say in
 * `missing` (CONFINE_TEXT bytes) what the system refused. With 0 and a text, a part is in force but
 * not wholly. */
#ifndef CONFINE_PARTS_H
#define CONFINE_PARTS_H

#include "confine/confine.h"

int confine_user_take(enum confine_process process, const char *directory, char *missing);

int confine_no_new_privileges_take(enum confine_process process, const char *directory,
				   char *missing);

int confine_capabilities_take(enum confine_process process, const char *directory, char *missing);
/* The names of the capabilities in effect. */
void confine_capabilities_show(char *out, size_t room);

int confine_calls_take(enum confine_process process, const char *directory, char *missing);
int confine_calls_examine(char *missing);

int confine_files_take(enum confine_process process, const char *directory, char *missing);
int confine_files_examine(char *missing);

#endif
