/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions count as new after a tunnel was switched off and on again. */
#include "check.h"
#include "device/device.h"
#include "tunnel/tunnel_peers.h"

#define NONE UINT64_MAX

/* A device's report: the number of sessions since the peer was made, the age of the last one, and
 * the time of the clock. */
static bool see(struct tunnel_peer *m, uint64_t sessions, uint64_t age_ns, int64_t clock_s)
{
	const struct peer_view v = {
		.sessions = sessions,
		.session_age_ns = age_ns,
		.last_handshake = {.tv_sec = clock_s},
	};

	return tunnel_peer_observe(m, &v);
}

static void only_new_sessions_count_after_a_new_beginning(void **state)
{
	struct tunnel_peer m = {.routed = true};

	(void)state;
	assert_false(tunnel_peer_has_fresh_session(&m));
	see(&m, 3, 5, 1000);
	assert_true(tunnel_peer_has_fresh_session(&m));
	tunnel_peer_require_new_session(&m);
	assert_false(m.routed);
	assert_false(tunnel_peer_has_fresh_session(&m));
	see(&m, 3, 6, 1000);
	assert_false(tunnel_peer_has_fresh_session(&m));
	see(&m, 4, 0, 1001);
	assert_true(tunnel_peer_has_fresh_session(&m));
	see(&m, 4, NONE, 1001);
	assert_false(tunnel_peer_has_fresh_session(&m));
}

static void whatever_the_clock_shows(void **state)
{
	struct tunnel_peer m = {.routed = false};

	(void)state;
	see(&m, 1, 5, 1000);
	/* A clock that is set back or forward does not make an old session look new. */
	tunnel_peer_require_new_session(&m);
	see(&m, 2, 0, 10);
	assert_true(tunnel_peer_has_fresh_session(&m));
	tunnel_peer_require_new_session(&m);
	see(&m, 2, 1, 99999);
	assert_false(tunnel_peer_has_fresh_session(&m));
}

static void a_recreated_peer_counts_from_zero(void **state)
{
	struct tunnel_peer m = {.routed = false};

	(void)state;
	see(&m, 7, 5, 1000);
	tunnel_peer_require_new_session(&m);
	see(&m, 1, 0, 1001);
	assert_true(tunnel_peer_has_fresh_session(&m));
}

static void a_peer_is_unanswered_until_there_is_a_session(void **state)
{
	struct tunnel_peer m = {.routed = false};
	struct peer_view v = {.session_age_ns = NONE, .attempts = 2};

	(void)state;
	assert_true(tunnel_peer_observe(&m, &v));
	assert_true(m.unanswered);
	v.attempts = 0; /* it begins once more */
	assert_false(tunnel_peer_observe(&m, &v));
	assert_true(m.unanswered);
	v.sessions = 1; /* last_handshake is unchanged: the clock may have been set back */
	assert_true(tunnel_peer_observe(&m, &v));
	assert_false(m.unanswered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_new_sessions_count_after_a_new_beginning),
		cmocka_unit_test(whatever_the_clock_shows),
		cmocka_unit_test(a_recreated_peer_counts_from_zero),
		cmocka_unit_test(a_peer_is_unanswered_until_there_is_a_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
