/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/status_object.h"

#include <jansson.h>
#include <stdio.h>

void status_object_explain(const struct rest_answer *a, char out[STATUS_OBJECT_TEXT])
{
	json_t *status = json_loadb(a->body, a->len, 0, NULL);
	const char *message = json_string_value(json_object_get(status, "message"));

	if (message && *message)
		snprintf(out, STATUS_OBJECT_TEXT, "HTTP status %ld: %s", a->status, message);
	else
		snprintf(out, STATUS_OBJECT_TEXT, "%s",
			 *a->error ? a->error : "the answer ended early");
	json_decref(status);
}
