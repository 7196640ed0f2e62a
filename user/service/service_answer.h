/* SPDX-License-Identifier: Apache-2.0 */
/* What a device looks like in the answers `get` and `counters` (service_request.h). No secrets.
 * Thread: control. */
#ifndef SERVICE_SERVICE_ANSWER_H
#define SERVICE_SERVICE_ANSWER_H

struct device;
struct evbuffer;

void service_answer_get(struct evbuffer *out, struct device *d);
void service_answer_counters(struct evbuffer *out, struct device *d);

#endif
