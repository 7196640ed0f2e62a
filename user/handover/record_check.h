/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the parts of a record fit each other. Pure; internal to the folder. */
#ifndef HANDOVER_RECORD_CHECK_H
#define HANDOVER_RECORD_CHECK_H

struct handover_record;

/* NULL: they do. Else a static text that says what does not. */
const char *handover_record_check(const struct handover_record *r);

#endif
