# SPDX-License-Identifier: Apache-2.0
"""Deliberate faults: what is put in the place of what, and which tests should notice.

A test is a program below build/, or what pytest takes. Whoever writes a check that matters adds the fault that leaves it out.
"""
from collections import namedtuple

Fault = namedtuple("Fault", "name file before after tests")


def fault(name, file, before, after, *tests):
    return Fault(name, file, before, after, list(tests))


SOURCES = "tests/e2e/test_sources.py"
FIRST_LINE = "tests/e2e/test_first_line.py"
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
          "now - k->birth < REJECT_AFTER_TIME", "now >= k->birth",
          "build/tests/test_keypair"),
    fault("no-reject-after-messages", "user/datapath/keypair.c",
          "start >= REJECT_AFTER_MESSAGES - n", "start == UINT64_MAX - n",
          "build/tests/test_keypair"),
    fault("keypair-not-wiped", "user/datapath/keypair.c",
          "\tsodium_memzero(k, sizeof(*k));\n", "",
          "build/tests/test_keypair"),
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
    # --- strict mode's first line ---
    fault("remote-pods-are-thrown", "user/node/first_line.c",
          "m->kind == RANGE_REMOTE ? ROUTE_UNREACHABLE : ROUTE_THROW", "m->kind == RANGE_REMOTE ? ROUTE_THROW : ROUTE_THROW",
          f"{FIRST_LINE}::test_nothing_leaves"),
    fault("nftables-judges-no-source", "user/node/ip_filter.c",
          "nft_match_address(b, chain == INWARD,", "nft_match_address(b, false,",
          f"{FIRST_LINE}::test_nobody_is_heard_in_a_pods_name"),
    fault("marked-packets-are-forwarded", "user/node/ip_filter.c",
          ".drop_marked = want->drop_marked,", ".drop_marked = false,",
          f"{FIRST_LINE}::test_a_marked_packet_is_for_this_node_or_for_nobody"),
    fault("first-line-waits-for-the-store", "user/node/agent.c",
          "\tbegin_first_line(a);\n\tstep = \"store\";", "\tstep = \"store\";",
          f"{FIRST_LINE}::test_from_the_first_moment_to_the_last"),
    fault("a-node-opens-anybodys-range", "user/node/remote_ranges.c",
          "strcmp(r->name, node->name) || ", "",
          "build/tests/test_remote_ranges"),
    # --- the node ---
    fault("anybody-may-ask-the-status-socket", "user/node/status.c",
          "chmod(STATUS_SOCKET, 0600)", "chmod(STATUS_SOCKET, 0666)",
          "tests/e2e/test_repair.py::test_a_lost_key_is_replaced_and_peers_follow"),
]
