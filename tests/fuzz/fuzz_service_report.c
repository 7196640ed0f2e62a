/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a tunnel process: read, or refused as a whole; nothing is read past their end. */
#include <stdlib.h>
#include <string.h>

#include "service/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pv_counters slots[PV_COUNTER_SLOTS];
	char *text = malloc(size + 1), value[32];
	struct report r;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (!report_parse(text, &r)) {
		if (!*r.name || r.device.workers > PV_MAX_WORKERS || (r.n_peers && !r.peers))
			abort();
		report_fini(&r);
	} else if (r.peers || r.n_peers) {
		abort();
	}
	report_parse_counters(text, slots);
	if (report_value(text, "device", value, sizeof(value)) && strchr(value, '\n'))
		abort();
	free(text);
	return 0;
}
