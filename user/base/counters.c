/* SPDX-License-Identifier: Apache-2.0 */
#include "base/counters.h"

#include <stdio.h>
#include <string.h>

#define FIELD(name, help) {#name, help, offsetof(struct pv_counters, name)},
static const struct counter_field traffic[] = {PV_COUNTERS_TRAFFIC(FIELD)};
static const struct counter_field worker[] = {PV_COUNTERS_WORKER(FIELD)};
static const struct counter_field drops[] = {PV_COUNTERS_DROP(FIELD)};
static const struct counter_field seen[] = {PV_COUNTERS_SEEN(FIELD)};
#undef FIELD

const struct counter_field *counters_traffic(size_t *n)
{
	*n = sizeof(traffic) / sizeof(*traffic);
	return traffic;
}

const struct counter_field *counters_worker(size_t *n)
{
	*n = sizeof(worker) / sizeof(*worker);
	return worker;
}

const struct counter_field *counters_drops(size_t *n)
{
	*n = sizeof(drops) / sizeof(*drops);
	return drops;
}

const struct counter_field *counters_seen(size_t *n)
{
	*n = sizeof(seen) / sizeof(*seen);
	return seen;
}

uint64_t counter_read(const struct pv_counters *c, const struct counter_field *f)
{
	uint64_t n;

	memcpy(&n, (const char *)c + f->offset, sizeof(n));
	return n;
}

void counters_add(struct pv_counters *sum, const struct pv_counters *slot)
{
	const uint64_t *from = (const uint64_t *)slot;
	uint64_t *to = (uint64_t *)sum;

	for (size_t k = 0; k < sizeof(*sum) / sizeof(*to); k++)
		to[k] += __atomic_load_n(&from[k], __ATOMIC_RELAXED);
}

void counters_name(size_t number, char out[COUNTER_NAME_ROOM])
{
#define NAME(name, help) #name,
	static const char *const single[] = {PV_COUNTERS(NAME)};
	static const char *const histograms[] = {PV_HISTOGRAMS(NAME)};
#undef NAME
	const size_t n_single = sizeof(single) / sizeof(*single);
	const size_t part = (number - n_single) % (PV_BUCKETS + 1);

	if (number < n_single)
		snprintf(out, COUNTER_NAME_ROOM, "%s", single[number]);
	else if (!part)
		snprintf(out, COUNTER_NAME_ROOM, "%s.sum",
			 histograms[(number - n_single) / (PV_BUCKETS + 1)]);
	else
		snprintf(out, COUNTER_NAME_ROOM, "%s.%zu",
			 histograms[(number - n_single) / (PV_BUCKETS + 1)], part - 1);
}

size_t counters_find(const char *name)
{
	char other[COUNTER_NAME_ROOM];
	size_t k;

	for (k = 0; k < COUNTERS_NUMBERS; k++) {
		counters_name(k, other);
		if (!strcmp(name, other))
			break;
	}
	return k;
}

uint64_t counters_layout(void)
{
#define NAME(name, help) #name " "
	static const char names[] = PV_COUNTERS(NAME) PV_HISTOGRAMS(NAME);
#undef NAME
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for (const char *c = names; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211u;
	return hash ? hash : 1;
}

const char *counter_reason(const struct counter_field *f)
{
	return f->name + strlen("drop_");
}
