# SPDX-License-Identifier: Apache-2.0
"""Deliberate faults: what is put in the place of what, and which tests should notice.

A test is a program below build/, or what pytest takes. Whoever writes a check that matters adds the fault that leaves it out.
"""
from collections import namedtuple

Fault = namedtuple("Fault", "name file before after tests")


def fault(name, file, before, after, *tests):
    return Fault(name, file, before, after, list(tests))


SOURCES = "tests/e2e/test_sources.py"
REGISTRY = "build/tests/test_registry"
ADMISSION = "deploy/kubernetes/admission/own-node.yaml"
RIGHTS = "tests/kubernetes/test_rights.py::test_an_agent_changes_its_keys_and_condition_and_nothing_else[plain]"
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
    # --- no node speaks for another ---
    fault("a-proof-does-not-count", "user/node/claims.c",
          "if (!a->proof == !b->proof)", "if (!a->own && !b->own)", REGISTRY),
    fault("wide-ranges-taken", "user/node/claims.c",
          " || cidr_contains(range, &never[i].range)", "", REGISTRY),
    fault("who-answers-takes-over-at-once", "user/node/claims.c",
          "return holder->silent && other->answers;", "return holder->proof && other->answers;", REGISTRY),
    fault("a-victims-key-is-anybodys", "user/node/review_keys.c",
          "\tif (holder == i)\n\t\treturn;", "\tif (holder == i || f == REGISTRY_IPV4)\n\t\treturn;", REGISTRY),
    fault("a-shared-key-proves", "user/node/registry.c",
          "\t\tif (!p->shared)\n\t\t\tprove(", "\t\tif (p)\n\t\t\tprove(", REGISTRY),
    fault("a-missing-key-is-no-key", "user/node/review_keys.c",
          "if (none(key) && held) {", "if (none(key) && held && p->shared) {", REGISTRY),
    fault("a-condition-does-not-count", "user/node/review_keys.c",
          "(p->unanswered && !r->encrypts)", "(p->unanswered && *r->name)", REGISTRY),
    fault("who-leaves-is-held", "user/node/review_keys.c",
          "none(p->key) || left ||", "none(p->key) || (left && !r) ||", REGISTRY),
    fault("tunnels-addresses-taken-as-said", "user/node/review_ranges.c",
          "if (!r->assigned || covered(r, address)) {", "if (!r->assigned || *r->name) {",
          REGISTRY),
    fault("a-tunnels-address-outlives-its-range", "user/node/review_ranges.c",
          "\tif (c->tunnel)\n\t\t*tunnel", "\tif (c->tunnel && contested)\n\t\t*tunnel", REGISTRY),
    fault("addresses-among-pods", "user/node/review_addresses.c",
          "p->order && !again ? p->address", "p->order ? p->address", REGISTRY),
    fault("what-was-proved-is-forgotten", "user/node/holdings.c",
          "\t\terr = take(h, sorted[i]);", "\t\terr = n ? 0 : take(h, sorted[i]);", REGISTRY),
    fault("any-node", ADMISSION, '\n        request.userInfo.extra["authentication.kubernetes.io/node-name"][0] == request.name',
          "\n        true", RIGHTS),
    fault("any-label", ADMISSION, "k in oldObject.metadata && object.metadata[k] == oldObject.metadata[k]", "true", RIGHTS),
    fault("any-annotation", ADMISSION, "k in variables.oldAnnotations && variables.annotations[k] == variables.oldAnnotations[k]",
          "true", RIGHTS),
    fault("annotations-removed", ADMISSION, "k in variables.ours || k in variables.annotations", "true", RIGHTS),
    fault("any-status", ADMISSION, "k in variables.oldStatus && variables.status[k] == variables.oldStatus[k]", "true", RIGHTS),
    fault("status-removed", ADMISSION, 'k == "conditions" || k in variables.status)', "true)", RIGHTS),
    fault("any-condition", ADMISSION, 'c.type == "PodveilReady" || c in variables.oldConditions', "true", RIGHTS),
    fault("conditions-removed", ADMISSION, 'c.type == "PodveilReady" || c in variables.conditions', "true", RIGHTS),
    fault("events-of-any-node", "deploy/kubernetes/admission/own-events.yaml",
          'object.involvedObject.?name.orValue("") == request.userInfo.extra["authentication.kubernetes.io/node-name"][0]',
          "true", RIGHTS),
    # --- the node ---
    fault("anybody-may-ask-the-status-socket", "user/node/status.c",
          "chmod(STATUS_SOCKET, 0600)", "chmod(STATUS_SOCKET, 0666)",
          "tests/e2e/test_repair.py::test_a_lost_key_is_replaced_and_peers_follow"),
]
