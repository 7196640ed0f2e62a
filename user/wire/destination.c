/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/destination.h"

#include <stdlib.h>
#include <string.h>

void destination_fini(struct destination *d)
{
	if (d->box)
		free(d->box->path);
	free(d->box);
	d->box = NULL;
}

static void release(struct rcu_head *head)
{
	struct endpoint_box *box = caa_container_of(head, struct endpoint_box, rcu);

	free(box->path);
	free(box);
}

static void release_path(struct rcu_head *head)
{
	free(caa_container_of(head, struct path, rcu));
}

void destination_set_path(struct endpoint_box *box, const struct frame_headers *headers)
{
	struct path *old = box->path, *fresh = NULL;

	if (headers && old && !memcmp(&old->headers, headers, sizeof(*headers)))
		return;
	if (headers) {
		fresh = calloc(1, sizeof(*fresh));
		if (!fresh)
			return;
		fresh->headers = *headers;
	}
	rcu_assign_pointer(box->path, fresh);
	if (old)
		call_rcu(&old->rcu, release_path);
}

void destination_set(struct destination *d, const struct endpoint *e)
{
	struct endpoint_box *fresh = NULL;

	if (endpoint_present(e)) {
		fresh = calloc(1, sizeof(*fresh));
		if (!fresh)
			return;
		fresh->endpoint = *e;
	}
	struct endpoint_box *old = rcu_xchg_pointer(&d->box, fresh);

	if (old)
		call_rcu(&old->rcu, release);
}

bool destination_get(const struct destination *d, struct endpoint *out)
{
	const struct endpoint_box *box = rcu_dereference(d->box);

	if (!box)
		return false;
	*out = box->endpoint;
	return true;
}

void destination_forget_source(struct destination *d)
{
	destination_forget_source_of(d, rcu_dereference(d->box));
}

void destination_forget_source_of(struct destination *d, struct endpoint_box *known)
{
	struct endpoint_box *fresh;

	if (!known ||
	    (!known->endpoint.from_ifindex && IN6_IS_ADDR_UNSPECIFIED(&known->endpoint.from.v6)))
		return;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return;
	fresh->endpoint.to = known->endpoint.to;
	if (rcu_cmpxchg_pointer(&d->box, known, fresh) == known)
		call_rcu(&known->rcu, release);
	else
		free(fresh);
}
