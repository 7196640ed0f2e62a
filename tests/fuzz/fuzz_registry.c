/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a hostile node writes into its record: what an honest node has proved stays that node's,
 * and no traffic to it leaves in plain. */
#include <stdlib.h>

#include "hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *wrong = hostile_run(data, size);

	if (wrong) {
		fprintf(stderr, "%s\n", wrong);
		abort();
	}
	return 0;
}
