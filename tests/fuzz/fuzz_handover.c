/* SPDX-License-Identifier: Apache-2.0 */
/* A record of another process: it is accepted completely or refused with a reason, and what was accepted is the same
 * after it is written and read again. Every second input changes bytes of a good record. */
#include "handed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *bytes, size_t length)
{
	struct handover_record r, again;
	const char *problem = NULL;
	uint8_t *once, *twice;
	size_t n, m;

	if (handover_record_read(bytes, length, &r, &problem)) {
		if (!problem || !*problem)
			abort();
		return;
	}
	once = handed_bytes(&r, &n);
	if (handover_record_read(once, n, &again, &problem))
		abort();
	twice = handed_bytes(&again, &m);
	if (n != m || memcmp(once, twice, n) != 0)
		abort();
	free(once);
	free(twice);
	handover_record_fini(&r);
	handover_record_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handover_record good;
	uint8_t *bytes;
	size_t length;

	if (!size || data[0] & 1) {
		check(data + !!size, size - !!size);
		return 0;
	}
	handed_record(&good);
	bytes = handed_bytes(&good, &length);
	/* Each three bytes: where, and what. The record is larger than 64 KiB only if it grows. */
	for (size_t i = 1; i + 3 <= size; i += 3)
		bytes[(size_t)(data[i] << 8 | data[i + 1]) % length] = data[i + 2];
	check(bytes, length);
	free(bytes);
	handover_record_fini(&good);
	return 0;
}
