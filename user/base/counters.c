/* SPDX-License-Identifier: Apache-2.0 */
#include "base/counters.h"

#include <stdio.h>
#include <stdlib.h>
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

#define NAME(name, help) #name,
static const char *const single[] = {PV_COUNTERS(NAME)};
static const char *const histograms[] = {PV_HISTOGRAMS(NAME)};
#undef NAME
#define N_SINGLE     (sizeof(single) / sizeof(*single))
#define N_HISTOGRAMS (sizeof(histograms) / sizeof(*histograms))
/* Numbers of a histogram: its sum, and its buckets. */
#define PARTS (PV_BUCKETS + 1)

void counters_name(size_t number, char out[COUNTER_NAME_ROOM])
{
	const size_t i = (number - N_SINGLE) / PARTS, part = (number - N_SINGLE) % PARTS;

	if (number < N_SINGLE)
		snprintf(out, COUNTER_NAME_ROOM, "%s", single[number]);
	else if (!part)
		snprintf(out, COUNTER_NAME_ROOM, "%s.sum", histograms[i]);
	else
		snprintf(out, COUNTER_NAME_ROOM, "%s.%zu", histograms[i], part - 1);
}

static size_t find_part(const char *name)
{
	char *end;
	unsigned long bucket;

	if (!strcmp(name, "sum"))
		return 0;
	bucket = strtoul(name, &end, 10);
	return *name >= '0' && *name <= '9' && !*end && bucket < PV_BUCKETS ? bucket + 1 : PARTS;
}

size_t counters_find(const char *name)
{
	const char *dot = strchr(name, '.');
	size_t part;

	for (size_t i = 0; !dot && i < N_SINGLE; i++)
		if (!strcmp(name, single[i]))
			return i;
	for (size_t i = 0; dot && i < N_HISTOGRAMS; i++) {
		if (strncmp(name, histograms[i], (size_t)(dot - name)) != 0 ||
		    histograms[i][dot - name])
			continue;
		part = find_part(dot + 1);
		return part < PARTS ? N_SINGLE + i * PARTS + part : COUNTERS_NUMBERS;
	}
	return COUNTERS_NUMBERS;
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
