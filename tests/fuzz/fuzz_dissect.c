/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on the uplink, as `podveil verify` reads them. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "packet/dissect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct dissect_ports ports = {.wireguard = {51820, 51821}, .vxlan = 4789};
	struct dissected_frame s;

	dissect_frame(data, size, &ports, &s);
	if (s.n_layers > DISSECT_LAYERS || (s.wireguard && (s.n_layers != 1 || s.payload >= size)))
		abort();
	for (unsigned int i = 0; i < DISSECT_LAYERS; i++) {
		const int family = s.layers[i].source.family;

		if (i < s.n_layers ? family != AF_INET && family != AF_INET6 : family)
			abort();
	}
	return 0;
}
