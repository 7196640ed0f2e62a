/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/remote.h"

#include <stdlib.h>

void remote_init(struct remote *r, uint32_t slot, uint16_t generation)
{
	memset(r, 0, sizeof(*r));
	r->slot = slot;
	r->generation = generation;
	TAILQ_INIT(&r->allowed);
	timers_init(&r->timers);
}

void remote_fini(struct remote *r)
{
	keypair_retire(r->current);
	keypair_retire(r->previous);
	keypair_retire(r->next);
	if (r->endpoint)
		free(r->endpoint->path);
	free(r->endpoint);
	memset(r, 0, sizeof(*r));
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

void endpoint_box_path(struct endpoint_box *box, const struct frame_headers *headers)
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

void remote_endpoint_set(struct remote *r, const struct endpoint *e)
{
	struct endpoint_box *fresh = NULL;

	if (endpoint_present(e)) {
		fresh = calloc(1, sizeof(*fresh));
		if (!fresh)
			return;
		fresh->endpoint = *e;
	}
	struct endpoint_box *old = rcu_xchg_pointer(&r->endpoint, fresh);

	if (old)
		call_rcu(&old->rcu, release);
}

bool remote_endpoint_get(const struct remote *r, struct endpoint *out)
{
	const struct endpoint_box *box = rcu_dereference(r->endpoint);

	if (!box)
		return false;
	*out = box->endpoint;
	return true;
}

void remote_endpoint_forget_source(struct remote *r)
{
	struct endpoint_box *known = rcu_dereference(r->endpoint), *fresh;

	if (!known ||
	    (!known->endpoint.from_ifindex && IN6_IS_ADDR_UNSPECIFIED(&known->endpoint.from.v6)))
		return;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return;
	fresh->endpoint.to = known->endpoint.to;
	/* Where the peer was heard elsewhere meanwhile, that counts. */
	if (rcu_cmpxchg_pointer(&r->endpoint, known, fresh) == known)
		call_rcu(&known->rcu, release);
	else
		free(fresh);
}
