/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a confinement, for confine.c alone. They return 0 or -errno, and may say in
 * `missing` (CONFINE_TEXT bytes) what the system refused. With 0 and a text, a part is in force but
 * not wholly. */
#ifndef CONFINE_PARTS_H
#define CONFINE_PARTS_H

#include "confine/confine.h"

int confine_user_take(const struct confine_params *p, char *missing);
int confine_user_examine(char *missing);

int confine_no_new_privileges_take(const struct confine_params *p, char *missing);

int confine_capabilities_take(const struct confine_params *p, char *missing);
/* The names of the capabilities in effect. */
void confine_capabilities_show(char *out, size_t room);
/* Is this one in effect? */
bool confine_capabilities_have(int number);

int confine_calls_take(const struct confine_params *p, char *missing);
int confine_calls_examine(char *missing);

int confine_files_take(const struct confine_params *p, char *missing);
int confine_files_examine(char *missing);

#endif
