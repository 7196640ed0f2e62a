/* SPDX-License-Identifier: Apache-2.0 */
/* A device without sockets, programs and threads that takes handshake messages; and its peer. */
#ifndef UNIT_BARE_DEVICE_H
#define UNIT_BARE_DEVICE_H

#include "base/clock.h"
#include "check.h"
#include "datapath/worker.h"
#include "device/peer.h"

struct bare_device {
	struct datapath datapath;
	struct worker worker; /* has no wire: nothing is really sent */
	struct device device;
	struct noise_identity other; /* the peer's, or a stranger's */
	struct peer *peer;	     /* NULL until bare_peer(); only in the keypairs' table */
};

static void fresh_identity(struct noise_identity *identity)
{
	uint8_t key[KEY_SIZE];

	randombytes_buf(key, sizeof(key));
	noise_identity_set(identity, key);
}

static int bare_set_up(void **state)
{
	struct bare_device *f = calloc(1, sizeof(*f));
	struct device *d = &f->device;

	rcu_register_thread();
	f->datapath.keypairs =
		cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE, &urcu_qsbr_flavor, NULL);
	f->datapath.workers[0] = &f->worker;
	d->by_index = cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE, &urcu_qsbr_flavor, NULL);
	d->by_key = cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE, &urcu_qsbr_flavor, NULL);
	pthread_mutex_init(&d->lock, NULL);
	TAILQ_INIT(&d->peers);
	TAILQ_INIT(&d->attention);
	TAILQ_INIT(&d->removals);
	d->datapath = &f->datapath;
	d->up = true;
	fresh_identity(&d->identity);
	fresh_identity(&f->other);
	cookie_checker_init(&d->checker, d->identity.public_key);
	*state = f;
	return 0;
}

static __attribute__((unused)) int bare_set_up_peer(void **state)
{
	static const uint8_t no_psk[KEY_SIZE];
	struct bare_device *f;

	bare_set_up(state);
	f = *state;
	f->peer = peer_new(&f->device, &f->device.identity, f->other.public_key, no_psk);
	assert_non_null(f->peer);
	remote_init(&f->peer->remote, 0, 1);
	timers_up(&f->peer->remote.timers, true);
	return 0;
}

static int bare_tear_down(void **state)
{
	struct bare_device *f = *state;

	if (f->peer) {
		session_clear(f->peer);
		rcu_quiescent_state();
		peer_free(f->peer);
	}
	rcu_thread_offline();
	rcu_barrier();
	rcu_thread_online();
	cds_lfht_destroy(f->datapath.keypairs, NULL);
	cds_lfht_destroy(f->device.by_index, NULL);
	cds_lfht_destroy(f->device.by_key, NULL);
	rcu_unregister_thread();
	free(f);
	return 0;
}

#endif
