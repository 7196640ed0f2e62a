/* SPDX-License-Identifier: Apache-2.0 */
/* Set requests of wg(8): accepted completely, or refused with line and reason; nothing leaks. */
#include <stdlib.h>
#include <string.h>

#include "device/wg/wg_socket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct device_config config;
	const char *problem = NULL;
	size_t line;

	if (wg_request_parse((const char *)data, size, &config, &problem, &line)) {
		if (!problem || !line || config.peers)
			abort();
		return 0;
	}
	for (size_t i = 0; i < config.n_peers; i++) {
		const struct peer_config *p = &config.peers[i];

		for (size_t k = 0; k < p->n_allowed; k++)
			if (p->allowed[k].cidr.prefix_len > 128)
				abort();
	}
	device_config_fini(&config);
	return 0;
}
