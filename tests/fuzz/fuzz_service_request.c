/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the tunnel process: accepted completely, or refused with line and reason; no private
 * key gets in, and nothing leaks. */
#include <stdlib.h>
#include <string.h>

#include "service/service_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service_request r;
	const char *problem = NULL;
	size_t line;

	if (service_request_parse((const char *)data, size, &r, &problem, &line)) {
		if (!problem || !line || r.config.peers)
			abort();
		return 0;
	}
	if (r.verb >= SERVICE_VERBS || r.config.set & DEVICE_SET_PRIVATE_KEY || strchr(r.id, '/') ||
	    strlen(r.id) > SERVICE_ID_MAX)
		abort();
	if (r.verb != SERVICE_SET && r.config.set)
		abort();
	if (r.verb != SERVICE_SET && r.verb != SERVICE_HANDSHAKE && r.config.n_peers)
		abort();
	service_request_fini(&r);
	return 0;
}
