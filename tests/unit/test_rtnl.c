/* SPDX-License-Identifier: Apache-2.0 */
/* A netlink socket that is kept for many questions: each gets its own answer, or an error. */
#include "check.h"

#include <errno.h>
#include <linux/rtnetlink.h>

#include "netlink/rtnl.h"

#define LOOPBACK 1 /* its ifindex in every network namespace */
#define NO_LINK	 0x7ffffff0

static struct nlmsghdr *question(char *buffer, int ifindex)
{
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, RTM_GETLINK, 0, &body, sizeof(struct ifinfomsg));

	((struct ifinfomsg *)body)->ifi_index = ifindex;
	return m;
}

static int on_link(const struct nlmsghdr *m, void *ifindex)
{
	*(int *)ifindex = ((const struct ifinfomsg *)mnl_nlmsg_get_payload(m))->ifi_index;
	return MNL_CB_STOP;
}

/* The ifindex in the answer, or -errno. */
static int ask(struct rtnl_socket *s, int ifindex)
{
	char buffer[RTNL_BUFFER];
	int answered = 0;
	const int err = rtnl_ask(s, question(buffer, ifindex), on_link, &answered);

	return err ? err : answered;
}

static void questions_share_a_socket(void **state)
{
	struct rtnl_socket s = {.socket = NULL};
	const struct mnl_socket *first;
	unsigned int port;

	(void)state;
	assert_int_equal(ask(&s, LOOPBACK), LOOPBACK);
	first = s.socket;
	assert_non_null(first);
	port = mnl_socket_get_portid(first);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ask(&s, LOOPBACK), LOOPBACK);
		assert_ptr_equal(s.socket, first);
		assert_int_equal(mnl_socket_get_portid(s.socket), port);
	}
	rtnl_close(&s);
	assert_null(s.socket);
	rtnl_close(&s);
}

static void after_an_error_a_question_is_answered(void **state)
{
	struct rtnl_socket s = {.socket = NULL};

	(void)state;
	assert_int_equal(ask(&s, NO_LINK), -ENODEV);
	assert_int_equal(ask(&s, LOOPBACK), LOOPBACK);
	rtnl_close(&s);
}

/* An answer was left in the socket. */
static void an_old_answer_is_taken_for_no_other(void **state)
{
	struct rtnl_socket s = {.socket = NULL};
	char buffer[RTNL_BUFFER];
	struct nlmsghdr *old = question(buffer, LOOPBACK);

	(void)state;
	assert_int_equal(ask(&s, LOOPBACK), LOOPBACK);
	old->nlmsg_seq = s.asked;
	assert_true(mnl_socket_sendto(s.socket, old, old->nlmsg_len) > 0);
	assert_int_equal(ask(&s, NO_LINK), -EPROTO);
	assert_int_equal(ask(&s, NO_LINK), -ENODEV);
	assert_int_equal(ask(&s, LOOPBACK), LOOPBACK);
	rtnl_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_share_a_socket),
		cmocka_unit_test(after_an_error_a_question_is_answered),
		cmocka_unit_test(an_old_answer_is_taken_for_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
