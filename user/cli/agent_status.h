/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the agent of this node what it knows (agent/report/status.h). */
#ifndef CLI_AGENT_STATUS_H
#define CLI_AGENT_STATUS_H

#include <jansson.h>
#include <stdbool.h>

/* The status document, a new reference; NULL: why was said on standard error, in the name of
 * `who`; nothing is said where that is NULL. */
json_t *agent_status_fetch(const char *who);

/* Members of an object; "-", 0 or false where they are missing or of another type. */
const char *member_text(const json_t *o, const char *member);
long long member_number(const json_t *o, const char *member);
bool member_true(const json_t *o, const char *member);

#endif
