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

GUARD = "build/tests/bpf/test_guard"
HOOK = "build/tests/bpf/test_hook"
EXITS = "tests/e2e/test_exits.py"

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
    # --- the node ---
    fault("anybody-may-ask-the-status-socket", "user/node/status.c",
          "chmod(STATUS_SOCKET, 0600)", "chmod(STATUS_SOCKET, 0666)",
          "tests/e2e/test_repair.py::test_a_lost_key_is_replaced_and_peers_follow"),
    # --- guard and shield: what is in a packet ---
    fault("padding-is-read", "bpf/walk.h", "w->at + len > w->end || ", "", GUARD),
    fault("udp-does-not-end", "bpf/walk.h", "\t\tends(w, begin, length);\n", "\t\t(void)begin;\n", GUARD),
    fault("ip4-does-not-end", "bpf/walk.h", "\t\tends(w, begin, bpf_ntohs(h.total));\n", "\t\t(void)begin;\n", GUARD),
    fault("ip6-does-not-end", "bpf/walk.h", "\t\tends(w, w->at, bpf_ntohs(h.length));\n", "\t\t(void)w;\n", GUARD),
    fault("fragment-before-address", "bpf/walk.h",
          "\tif (is_remote(w, 4, w->inward ? h.source : h.destination))\n",
          "\tif (h.fragment & bpf_htons(IP_FRAGMENT_OFFSET))\n\t\treturn NO_POD;\n"
          "\tif (is_remote(w, 4, w->inward ? h.source : h.destination))\n", GUARD),
    fault("ip4-not-judged", "bpf/walk.h",
          "\tif (is_remote(w, 4, w->inward ? h.source : h.destination))\n\t\treturn POD;\n", "", GUARD),
    fault("ip6-not-judged", "bpf/walk.h",
          "\tif (is_remote(w, 6, w->inward ? h.source : h.destination))\n\t\treturn POD;\n", "", GUARD),
    fault("bad-ip4-header-passes", "bpf/walk.h",
          "(h.version_length & 15) < 5)\n\t\treturn UNREADABLE;", "(h.version_length & 15) < 5)\n\t\treturn NO_POD;", GUARD),
    fault("endless-headers-pass", "bpf/walk.h",
          "\t\t\treturn found;\n\t}\n\treturn UNREADABLE;", "\t\t\treturn found;\n\t}\n\treturn NO_POD;", GUARD),
    fault("short-ethernet-passes", "bpf/walk.h",
          "return take(skb, w, &h, sizeof(h)) ? on_type(w, h.h_proto) : UNREADABLE;",
          "return take(skb, w, &h, sizeof(h)) ? on_type(w, h.h_proto) : NO_POD;", GUARD),
    fault("short-tag-passes", "bpf/walk.h",
          "return take(skb, w, h, sizeof(h)) ? on_type(w, h[1]) : UNREADABLE;",
          "return take(skb, w, h, sizeof(h)) ? on_type(w, h[1]) : NO_POD;", GUARD),
    fault("service-tags-pass", "bpf/walk.h", "\tcase bpf_htons(ETH_P_8021AD):\n", "", GUARD),
    fault("mark-excuses-wrapped", "bpf/walk.h", "(w->inward || w->wrapped || !w->marked)", "!w->marked", GUARD),
    fault("mark-excuses-all", "bpf/guard.bpf.c", "\tfound = walk(skb, &w);\n", "\tfound = w.marked ? NO_POD : walk(skb, &w);\n", GUARD),
    fault("routing-header-not-read", "bpf/walk.h", "&& leads_to_a_pod(skb, w, begin))", "&& begin == 1)", GUARD),
    fault("geneve-options-not-skipped", "bpf/walk.h", "\tw->at += (h.version_length & 0x3f) * 4;\n", "", GUARD),
    fault("gre-key-not-skipped", "bpf/walk.h", " + (h[0] & 0x20 ? 4 : 0)", "", GUARD),
    fault("gre-wccp-not-known", "bpf/walk.h", "\tif (first >> 4 != 4)\n\t\tw->at += 4;\n", "", GUARD),
    fault("vxlan-always-ethernet", "bpf/walk.h", "\tif (!(h[0] & 0x04)) {\n", "\tif (1) {\n", GUARD),
    fault("vxlan-without-identifier", "bpf/walk.h", "\tif (!(h[0] & 0x08))", "\tif (0)", GUARD),
    fault("authentication-not-skipped", "bpf/walk.h", "\tcase AUTHENTICATION:\n\t\treturn on_extension(skb, w);\n", "", GUARD),
    fault("strict-lets-unreadable-in", "bpf/shield.bpf.c",
          "\tif (found != NO_POD && s->strict) {", "\tif (found == POD && s->strict) {", GUARD),
    fault("shield-takes-port-from-others", "bpf/shield.bpf.c", "!is_for_node(skb, d))", "0)", GUARD),
    fault("shield-takes-port-from-pods", "bpf/shield.bpf.c",
          "kind_of(d->version, d->destination) == PV_GUARD_LOCAL ||", "0 ||", GUARD),
    fault("shield-marks-nothing", "bpf/shield.bpf.c", "\tskb->mark |= s->fwmark;\n", "", GUARD),
    # --- and where they stand ---
    fault("tcx-behind-others", "user/bpf/tcx.c", "\t\t.flags = FLAG_BEFORE,\n", "", HOOK),
    fault("first-is-not-checked", "user/bpf/hook.c", "\th->first = !ours && e.n;\n", "\th->first = ours < e.n;\n", HOOK),
    fault("link-not-pinned", "user/bpf/hook.c", "pins_mend_link(directory, h->link, pin) : 0;", "*directory * *pin * 0 : 0;", HOOK),
    fault("old-filters-stay", "user/bpf/hook.c", "\t\terr = strip(h->ifindex, h->side, false);\n", "\t\terr = 0;\n", HOOK),
    fault("everybodys-is-ours", "user/bpf/hook.c", "ours = is_map(maps[i], A_MAP);", "ours = true;", HOOK),
    fault("others-are-not-left", "user/bpf/guard.c",
          "int err = d && d->wanted ? 0 : strip_device(l->ifindex);", "int err = d || s->keep ? 0 : strip_device(l->ifindex);", HOOK),
    fault("pods-are-exits", "user/node/exits.c", "kinds[i].use == POD_OR_NODE && link->node", "kinds[i].use == POD_OR_NODE",
          f"{EXITS}::test_nothing_leaves_by_any_device"),
    fault("overlays-are-no-exits", "user/node/exits.c", "\t\t\treturn in->strict;\n", "\t\t\treturn false;\n",
          f"{EXITS}::test_nothing_leaves_by_any_device"),
    fault("fence-follows-nobody", "user/node/fence.c", "f->guard && f->uplink ? follow(f) : 0", "0",
          f"{EXITS}::test_nothing_leaves_by_any_device"),
]
