/* SPDX-License-Identifier: Apache-2.0 */
/* The Status object of Kubernetes, which a bad answer contains, with the reason. Pure. */
#ifndef STORE_KUBERNETES_STATUS_OBJECT_H
#define STORE_KUBERNETES_STATUS_OBJECT_H

#include "store/http/rest.h"

#define STATUS_OBJECT_TEXT 300 /* bytes; longer texts are cut */

/* Explains a bad answer: "HTTP status 403: nodes is forbidden ..." if the server gives a reason,
 * else only what is known without it. */
void status_object_explain(const struct rest_answer *a, char out[STATUS_OBJECT_TEXT]);

#endif
