/* SPDX-License-Identifier: Apache-2.0 */
#include "service/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handover/instances.h"
#include "service/exchange.h"
#include "service/report.h"
#include "service/service_request.h"

#define ANSWER_SEC 3

int probe_answer(const char *answer, const char *instance, char text[PROBE_TEXT])
{
	char name[INSTANCE_MAX + 1], other[INSTANCE_MAX + 16] = "one without a name";

	if (report_has(answer, "instance", instance)) {
		snprintf(text, PROBE_TEXT, "instance %s serves", instance);
		return 0;
	}
	if (report_value(answer, "instance", name, sizeof(name)))
		snprintf(other, sizeof(other), "instance %s", name);
	if (report_has(answer, "handed_over", instance)) {
		snprintf(text, PROBE_TEXT, "instance %s handed over, and waits until %s ends",
			 instance, other);
		return 0;
	}
	if (report_has(answer, "hands_over", "0")) {
		snprintf(text, PROBE_TEXT,
			 "instance %s waits until %s ends, which cannot hand over", instance,
			 other);
		return 0;
	}
	snprintf(text, PROBE_TEXT, "%s serves; instance %s has not taken over yet", other,
		 instance);
	return -EAGAIN;
}

int probe(const char *instance, char text[PROBE_TEXT])
{
	char request[32], *answer;
	int fd, result, err = exchange_connect(SERVICE_SOCKET, &fd);

	snprintf(request, sizeof(request), "hello=%d\n\n", SERVICE_PROTOCOL);
	if (!err) {
		err = exchange(fd, request, strlen(request), ANSWER_SEC, &answer, &result);
		close(fd);
	}
	if (err) {
		snprintf(text, PROBE_TEXT, "no tunnel process answers on %s: %s", SERVICE_SOCKET,
			 strerror(-err));
		return err;
	}
	/* One of another protocol says no less about this. */
	err = probe_answer(answer, instance, text);
	free(answer);
	return err;
}
