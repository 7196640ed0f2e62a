/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the agent of this node for its status (agent/report/status.h). */
#ifndef CLI_AGENT_STATUS_H
#define CLI_AGENT_STATUS_H

#include <jansson.h>
#include <stdbool.h>

/* The status document (a new reference). NULL: failed; the reason is printed on standard error with
 * the name `who`. `who` NULL: prints nothing. */
json_t *agent_status_fetch(const char *who);

/* Members of an object. If a member is missing or has another type: "-", 0 or false. */
const char *member_text(const json_t *o, const char *member);
long long member_number(const json_t *o, const char *member);
bool member_true(const json_t *o, const char *member);

#endif
