/* SPDX-License-Identifier: Apache-2.0 */
/* Any output of a firewall's tool. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor/firewall.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *f = size ? fmemopen((void *)data, size, "r") : NULL;
	struct firewall_view v;

	if (!f)
		return 0;
	firewall_read(f, 51820, &v);
	fclose(f);
	if (strnlen(v.dropping, sizeof(v.dropping)) == sizeof(v.dropping) ||
	    strnlen(v.closed, sizeof(v.closed)) == sizeof(v.closed))
		abort();
	return 0;
}
