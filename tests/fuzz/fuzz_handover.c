/* SPDX-License-Identifier: Apache-2.0 */
/* A record of another process: it is accepted completely or refused with a reason, and what was accepted is the same
 * after it is written and read again. Every second input changes bytes of a good record. And the names of instances beside
 * it: all that are kept are valid, each is there once, and they are the same after another process. */
#include "handed.h"
#include "handover/instances.h"

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

static void check_names(const uint8_t *bytes, size_t length)
{
	struct instances list, again;
	uint8_t written[INSTANCES_ROOM];
	char one[INSTANCE_MAX + 1];

	instances_read(bytes, length, &list);
	for (size_t i = 0; i < list.n; i++) {
		if (!instance_is_valid(list.names[i]))
			abort();
		for (size_t k = 0; k < i; k++)
			if (!strcmp(list.names[i], list.names[k]))
				abort();
	}
	instances_read(written, instances_write(&list, written), &again);
	if (again.n != list.n)
		abort();
	for (size_t i = 0; i < list.n; i++)
		if (strcmp(list.names[i], again.names[i]) != 0)
			abort();
	instances_read_one(bytes, length, 1, one);
	if (*one && !instance_is_valid(one))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handover_record good;
	uint8_t *bytes;
	size_t length;

	check_names(data, size);
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
