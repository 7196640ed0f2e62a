/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page for people: the status document as HTML. It is complete without JavaScript. Pure, except
 * for the time of day.
 */
#ifndef AGENT_REPORT_PAGE_H
#define AGENT_REPORT_PAGE_H

#include <jansson.h>

/* Allocated; NULL: no memory. `status` is the result of report_status_object(). */
char *page_text(const json_t *status);

#endif
