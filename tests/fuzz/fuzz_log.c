/* SPDX-License-Identifier: Apache-2.0 */
/* Values in a log line may come from anywhere: a line in JSON format is always valid JSON. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t room = size ? 16 + (size_t)data[0] * 8 : 16;
	char *pairs = strndup((const char *)data, size), *out = malloc(room), *whole;
	json_t *o;
	size_t n;

	if (!pairs || !out)
		abort();
	n = log_pairs_json(pairs, out, room);
	if (n > room)
		abort();
	whole = malloc(n + 16);
	if (!whole)
		abort();
	memcpy(whole, "{\"x\":\"\"", 7);
	memcpy(whole + 7, out, n);
	memcpy(whole + 7 + n, "}", 2);
	o = json_loads(whole, 0, NULL);
	if (!o)
		abort();
	json_decref(o);
	free(whole);
	free(out);
	free(pairs);
	return 0;
}
