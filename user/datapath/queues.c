/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of the uplink, lent to the workers. */
#include <errno.h>

#include "datapath/wire_xdp.h"
#include "datapath/worker.h"

static void withdraw(struct datapath *d, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		programs_divert_socket(d->params.programs, i, -1);
}

int datapath_queues_open(struct datapath *d, const struct datapath_uplink *u)
{
	const unsigned int n = u->queues < d->n_workers ? u->queues : d->n_workers;
	struct wire_xdp *queues[PV_MAX_WORKERS] = {NULL};
	unsigned int i;
	int err = n ? 0 : -ENODEV;

	for (i = 0; i < n && !err; i++) {
		const struct wire_xdp_params p = {
			.ifindex = u->ifindex,
			.queue = i,
			.zero_copy = u->zero_copy,
			.fwmark = u->fwmark,
			.wanted = u->wanted,
		};

		err = wire_xdp_open(&p, &queues[i]);
		if (!err)
			err = programs_divert_socket(d->params.programs, i, wire_xdp_fd(queues[i]));
	}
	if (err) {
		withdraw(d, i);
		for (i = 0; i < n; i++)
			wire_xdp_close(queues[i]);
		return err;
	}
	for (i = 0; i < n; i++)
		worker_queue(d->workers[i], queues[i]);
	return 0;
}

bool datapath_queues_waiting(const struct datapath *d)
{
	for (unsigned int i = 0; i < d->n_workers; i++)
		if (d->workers[i]->queue && wire_xdp_waiting(d->workers[i]->queue))
			return true;
	return false;
}

void datapath_queues_close(struct datapath *d)
{
	struct wire_xdp *old[PV_MAX_WORKERS] = {NULL};

	withdraw(d, d->n_workers);
	for (unsigned int i = 0; i < d->n_workers; i++) {
		old[i] = d->workers[i]->queue;
		worker_queue(d->workers[i], NULL);
	}
	synchronize_rcu();
	for (unsigned int i = 0; i < d->n_workers; i++)
		wire_xdp_close(old[i]);
}
