/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the agent of this node what it knows (agent/report/status.h). */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <jansson.h>
#include <stdbool.h>

/* The status document, a new reference; NULL: why was said on standard error, in the name of
 * `who`; nothing is said where that is NULL. */
json_t *ask_agent(const char *who);

/* Members of an object; "-", 0 or false where they are missing or of another type. */
const char *ask_text(const json_t *o, const char *member);
long long ask_number(const json_t *o, const char *member);
bool ask_yes(const json_t *o, const char *member);

#endif
