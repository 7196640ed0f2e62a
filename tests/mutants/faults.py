# SPDX-License-Identifier: Apache-2.0
"""Deliberate faults: what is put in the place of what, and which tests should notice.

A test is a program below build/, or what pytest takes. Whoever writes a check that matters adds the fault that leaves it out.
"""
from collections import namedtuple

Fault = namedtuple("Fault", "name file before after tests")


def fault(name, file, before, after, *tests):
    return Fault(name, file, before, after, list(tests))


SOURCES = "tests/e2e/test_sources.py"
TRUST = "tests/store/test_etcd_trust.py"

FAULTS = [
    # --- the data path ---
    fault("any-known-peer-may-speak", "user/datapath/ingress.c",
          "return last->owner == r;", "return last->owner && r;",
          f"{SOURCES}::test_a_peer_speaks_for_its_own_addresses_alone"),
    fault("source-remembered-for-ever", "user/datapath/ingress.c",
          "\tin->source.version = 0;\n", "",
          f"{SOURCES}::test_who_owns_an_address_may_change"),
    fault("straggler-moves-a-peer", "user/datapath/ingress.c",
          "message->counter >= t.newest", "true",
          f"{SOURCES}::test_a_straggler_does_not_move_a_peer"),
    fault("no-reject-after-time", "user/datapath/keypair.c",
          "elapsed(k->birth, now) < REJECT_AFTER_TIME", "elapsed(k->birth, now) < UINT64_MAX",
          "build/tests/test_keypair"),
    fault("no-reject-after-messages", "user/datapath/keypair.c",
          "start >= REJECT_AFTER_MESSAGES - n", "start == UINT64_MAX - n",
          "build/tests/test_keypair"),
    fault("keypair-not-wiped", "user/datapath/keypair.c",
          "\tsodium_memzero(k, sizeof(*k));\n", "",
          "build/tests/test_keypair"),
    # --- what threads share of a session ---
    fault("ages-underflow", "user/protocol/elapsed.h",
          "now > since ? now - since : 0", "now - since",
          "build/tests/test_sessions"),
    fault("first-answer-under-old-keys", "user/datapath/remote.h",
          "next && keypair_confirmed(next) ? next : ", "next == (void *)1 ? next : ",
          "build/tests/test_sessions",
          "tests/e2e/test_sessions.py::test_the_first_answer_belongs_to_the_session_that_it_answers"),
    fault("replaced-keypair-may-send", "user/device/session.c",
          "!keypair_withdraw(r->next)", "false",
          "build/tests/test_sessions"),
    fault("forgotten-source-undoes-a-roam", "user/datapath/remote.c",
          "rcu_cmpxchg_pointer(&r->endpoint, known, fresh) == known",
          "(known = rcu_xchg_pointer(&r->endpoint, fresh))",
          "build/tests/test_sessions"),
    fault("asleep-and-online", "user/datapath/datapath.c",
          "\tif (online)\n\t\trcu_thread_offline();\n", "",
          "build/tests/test_sessions"),
    fault("plaintext-left-where-the-tag-is-wrong", "user/crypto/lanes.c",
          "\t\tif (at_once && !ops[i].ok)\n\t\t\tmemset(ops[i].dst, 0, ops[i].len);\n", "",
          "build/tests/test_aead"),
    fault("tag-half-compared", "user/crypto/lanes.c",
          "(low ^ t.low[i]) | (high ^ t.high[i])", "(low ^ t.low[i]) | (high & 0)",
          "build/tests/test_aead"),
    # --- stores ---
    fault("tls-not-verified", "user/store/credentials.c",
          "\tif (as->insecure) {\n\t\tcurl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);",
          "\tif (as->server) {\n\t\tcurl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);",
          f"{TRUST}::test_an_authority_that_does_not_vouch_for_it"),
    fault("host-name-not-verified", "user/store/credentials.c",
          "\tif (as->user) {\n", "\tcurl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);\n\tif (as->user) {\n",
          f"{TRUST}::test_a_name_that_is_not_in_its_certificate"),
    fault("proxies-obeyed", "user/store/connections.c",
          "\tcurl_easy_setopt(transfer, CURLOPT_NOPROXY, \"*\");\n", "",
          f"{TRUST}::test_no_proxy_stands_between"),
    fault("lease-of-our-record-ignored", "user/store/etcd_lease.c",
          "lease == l->id && !strcmp(value, l->value)", "(lease || l->id) && !strcmp(value, l->value)",
          "tests/store/test_etcd_record.py"),
    fault("back-off-not-scattered", "user/store/backoff.h",
          "ms / 2 + (uint64_t)random % (ms / 2 + 1)", "ms + (uint64_t)random * 0",
          "build/tests/test_backoff"),
    # --- the node ---
    fault("anybody-may-ask-the-status-socket", "user/node/status.c",
          "chmod(STATUS_SOCKET, 0600)", "chmod(STATUS_SOCKET, 0666)",
          "tests/e2e/test_repair.py::test_a_lost_key_is_replaced_and_peers_follow"),
    fault("who-leaves-goes-on-publishing", "user/node/agent.c",
          "\tif (a->schedule)\n\t\tschedule_stop(a->schedule);\n", "",
          "tests/kubernetes/test_own_node.py::test_an_agent_that_leaves_does_not_publish_its_key_again"),
    fault("condition-without-pace", "user/store/node_status.c",
          "turn / 2 + randombytes_uniform(turn)", "turn * 0",
          "build/tests/test_node_status"),
    fault("events-without-a-budget", "user/store/node_events.c",
          "if (!budget_take(&e->budget, now, every, &wait)) {", "if (!budget_take(&e->budget, now, every, &wait) && !n) {",
          "build/tests/test_node_status"),
    fault("health-waits-for-the-control-thread", "user/observe/http.c",
          "\t\telse if (!d->make)\n\t\t\tanswer_health", "\t\telse if (!d->make)\n\t\t\tawait(h, request, 1);\n\t\telse if (h->full && !d->make)\n\t\t\tanswer_health",
          "build/tests/test_http"),
    fault("hung-control-thread-is-well", "user/observe/http.c",
          "if (silence <= h->params.hang_ms) {", "if (silence <= h->params.hang_ms || silence) {",
          "build/tests/test_http"),
    fault("untaken-answers-without-bound", "user/observe/http.c",
          "h->untaken + len > MAX_UNTAKEN", "h->untaken + len > SIZE_MAX / 2",
          "build/tests/test_http"),
    fault("oldest-client-goes-whoever-it-is", "user/observe/clients.c",
          "drop(c, first_to_go(c))", "drop(c, 0 * first_to_go(c))",
          "build/tests/test_http"),
    fault("peers-are-shown-to-everybody", "user/node/documents.c",
          "\"application/json\", .make = get_status, .local = true", "\"application/json\", .make = get_status, .local = false",
          "tests/e2e/test_http.py::test_who_may_see_what"),
]
