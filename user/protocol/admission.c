/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/admission.h"

#include <stdlib.h>

#include "protocol/allowance.h"
#include "protocol/limits.h"
#include "protocol/ratelimiter.h"

/* Senders whose rate is remembered. */
#define SOURCES 8192

struct admission {
	struct ratelimiter *proven, *unproven; /* apart: forged addresses fill only the second */
	struct allowance waste, looks;
	uint64_t load_until;
};

struct admission *admission_new(void)
{
	struct admission *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->proven = ratelimiter_new(SOURCES);
	a->unproven = ratelimiter_new(SOURCES);
	if (a->proven && a->unproven)
		return a;
	admission_free(a);
	return NULL;
}

void admission_free(struct admission *a)
{
	if (!a)
		return;
	ratelimiter_free(a->proven);
	ratelimiter_free(a->unproven);
	free(a);
}

bool admission_under_load(struct admission *a, unsigned int waiting, uint64_t now)
{
	if (waiting >= LOAD_THRESHOLD)
		a->load_until = now + LOAD_HYSTERESIS;
	return now < a->load_until;
}

void admission_wasted(struct admission *a, uint64_t now)
{
	if (!allowance_take(&a->waste, now, WASTE_PER_SECOND, WASTE_BURST))
		a->load_until = now + LOAD_HYSTERESIS;
}

bool admission_proven(struct admission *a, const struct sockaddr *source, uint64_t now)
{
	return ratelimiter_allow(a->proven, source, now);
}

bool admission_unproven(struct admission *a, const struct sockaddr *source, uint64_t now)
{
	return ratelimiter_allow(a->unproven, source, now) &&
	       allowance_take(&a->looks, now, UNPROVEN_PER_SECOND, UNPROVEN_BURST);
}
