/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a device is held for one peer at a time: handshakes do not wait for all peers. */
#include <dlfcn.h>

#include "bare_device.h"

#define PEERS 100

static pthread_mutex_t *counted;
static _Atomic unsigned int times;

/* Replaces libc's function in the whole program. */
int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	static int (*real)(pthread_mutex_t *);

	if (!real)
		real = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
	if (mutex == counted)
		times++;
	return real(mutex);
}

static void a_device_that_goes_down_has_the_lock_for_one_peer_at_a_time(void **state)
{
	static const uint8_t no_psk[KEY_SIZE];
	struct bare_device *f = *state;
	struct device *d = &f->device;
	struct peer *peers[PEERS];

	for (unsigned int i = 0; i < PEERS; i++) {
		struct noise_keys keys = {.initiator = true, .local_index = session_index(d)};

		peers[i] = peer_new(d, &d->identity, f->other.public_key, no_psk);
		assert_non_null(peers[i]);
		remote_init(&peers[i]->remote, i, 1);
		timers_up(&peers[i]->remote.timers, true);
		assert_int_equal(session_install(peers[i], &keys, clock_now()), 0);
		TAILQ_INSERT_TAIL(&d->peers, peers[i], list);
	}
	counted = &d->lock;
	rcu_thread_offline();
	device_set_carrier(d, false);
	rcu_thread_online();
	counted = NULL;
	assert_true(times > PEERS);
	assert_false(d->up);
	for (unsigned int i = 0; i < PEERS; i++) {
		/* The session is forgotten, and a new one is requested when the device goes up. */
		assert_null(peers[i]->remote.current);
		assert_true(peers[i]->handshake_wanted);
		assert_true(peers[i]->attention);
		peer_free(peers[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_device_that_goes_down_has_the_lock_for_one_peer_at_a_time, bare_set_up,
			bare_tear_down),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
