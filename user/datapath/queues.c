/* SPDX-License-Identifier: Apache-2.0 */
/* Opens queues of the uplink and gives them to the workers. */
#include "datapath/worker.h"
#include "wire/wire_xdp.h"

static void withdraw(struct datapath *d, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		programs_set_divert_socket(d->params.programs, i, -1);
}

static int open_queue(struct datapath *d, const struct datapath_uplink *u, unsigned int i,
		      struct wire_xdp **out)
{
	const struct wire_xdp_params p = {
		.ifindex = u->ifindex,
		.queue = i,
		.zero_copy = u->zero_copy,
		.fwmark = u->fwmark,
		.path_missing_fd = u->path_missing_fd,
	};
	int err = wire_xdp_open(&p, out);

	if (err)
		return err;
	err = programs_set_divert_socket(d->params.programs, i, wire_xdp_fd(*out));
	if (err) {
		wire_xdp_close(*out);
		*out = NULL;
	}
	return err;
}

int datapath_queues_open(struct datapath *d, const struct datapath_uplink *u)
{
	struct wire_xdp *queues[PV_MAX_WORKERS] = {NULL};
	unsigned int n = 0;
	int err = 0;

	/* The device may have fewer queues than there are workers. */
	while (n < d->n_workers && !err) {
		err = open_queue(d, u, n, &queues[n]);
		n += !err;
	}
	for (unsigned int i = 0; i < n; i++)
		worker_set_queue(d->workers[i], queues[i]);
	return n ? (int)n : err;
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
		worker_set_queue(d->workers[i], NULL);
	}
	synchronize_rcu();
	for (unsigned int i = 0; i < d->n_workers; i++)
		wire_xdp_close(old[i]);
}
