/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and closes the UDP port of the workers, and marks what leaves through it. */
#include <urcu-qsbr.h>

#include "datapath/worker.h"
#include "wire/wire_open.h"
#include "wire/wire_xdp.h"

/* Gives all workers new wires. `leave`: the old wires still receive, until
 * datapath_close_old_port(). Else they are closed after a grace period. */
static void replace_wires(struct datapath *d, struct wire *const *fresh, bool leave)
{
	struct wire *old[2 * PV_MAX_WORKERS];
	unsigned int n = 0;

	for (unsigned int i = 0; i < d->n_workers; i++) {
		struct worker *w = d->workers[i];

		old[n++] = w->old_wire;
		if (!leave)
			old[n++] = w->wire;
		worker_set_wire(w, fresh ? fresh[i] : NULL, leave ? w->wire : NULL);
	}
	synchronize_rcu();
	while (n)
		wire_close(old[--n]);
}

void datapath_close_old_port(struct datapath *d)
{
	struct wire *old[PV_MAX_WORKERS];

	if (!datapath_has_old_port(d))
		return;
	for (unsigned int i = 0; i < d->n_workers; i++) {
		old[i] = d->workers[i]->old_wire;
		rcu_assign_pointer(d->workers[i]->old_wire, NULL);
	}
	synchronize_rcu();
	for (unsigned int i = 0; i < d->n_workers; i++)
		wire_close(old[i]);
}

bool datapath_has_old_port(const struct datapath *d)
{
	return d->n_workers && d->workers[0]->old_wire;
}

int datapath_listen(struct datapath *d, uint16_t *port, uint32_t fwmark)
{
	struct wire *fresh[PV_MAX_WORKERS];
	int err;

	/* The old port, which is still open, may be the one that is wanted. */
	datapath_close_old_port(d);
	err = wire_open_all(fresh, d->n_workers, port, fwmark);
	if (!err)
		replace_wires(d, fresh, d->workers[0]->wire);
	return err;
}

void datapath_unlisten(struct datapath *d)
{
	replace_wires(d, NULL, false);
}

int datapath_set_fwmark(struct datapath *d, uint32_t fwmark)
{
	for (unsigned int i = 0; i < d->n_workers; i++) {
		struct wire *wire = d->workers[i]->wire;
		int err = wire ? wire_set_fwmark(wire, fwmark) : 0;

		if (!err && d->workers[i]->queue)
			err = wire_xdp_set_fwmark(d->workers[i]->queue, fwmark);
		if (err)
			return err;
	}
	return 0;
}
