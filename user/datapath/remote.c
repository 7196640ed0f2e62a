/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/remote.h"

#include <string.h>

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
	destination_fini(&r->destination);
	memset(r, 0, sizeof(*r));
}
