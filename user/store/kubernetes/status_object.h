/* SPDX-License-Identifier: Apache-2.0 */
/* The Status object of Kubernetes, which comes with a bad answer and says why. Pure. */
#ifndef STORE_KUBERNETES_STATUS_OBJECT_H
#define STORE_KUBERNETES_STATUS_OBJECT_H

#include "store/http/rest.h"

#define STATUS_OBJECT_TEXT 300 /* a policy may have a lot to say */

/* Why there is no good answer: "HTTP status 403: nodes is forbidden ..." where the server says it,
 * else what is known without it. */
void status_object_explain(const struct rest_answer *a, char out[STATUS_OBJECT_TEXT]);

#endif
