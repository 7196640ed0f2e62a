/* SPDX-License-Identifier: Apache-2.0 */
/* podveil verify: captures on the uplink, and reports whether pod traffic is encrypted there. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/agent_status.h"
#include "cli/cli.h"
#include "cli/verify/evidence.h"
#include "cli/verify/probe.h"
#include "netlink/link.h"
#include "protocol/elapsed.h"
#include "protocol/limits.h"

#define DEFAULT_SECONDS 5
#define MAX_SECONDS	86400
#define MAX_TARGETS	64
#define ROUNDS		3 /* of probes */

/* The values are the exit codes. */
enum verdict { ENCRYPTED = 0, PLAINTEXT = 1, UNKNOWN = 2 };
static const char *const verdicts[] = {"encrypted", "plaintext", "unknown"};

struct target {
	const struct evidence_node *node;
	struct cidr to;
	unsigned int sent, answered;
	int err; /* of the last attempt */
};

struct verification {
	const char *peer, *uplink;
	unsigned int seconds;
	bool generate, json;

	json_t *status;
	char uplink_name[IF_NAMESIZE];
	struct evidence *evidence;
	struct wiretap *tap;
	struct probe *probe;
	struct target targets[MAX_TARGETS];
	size_t n_targets;
	uint64_t begin, end; /* monotonic ns */
	uint64_t missed;
	bool gone; /* the uplink disappeared */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

static bool apply(void *context, int option, const char *value)
{
	struct verification *v = context;
	char *end;
	long n;

	switch (option) {
	case OPT_SECONDS:
		n = strtol(value, &end, 10);
		if (*value < '0' || *value > '9' || *end || n < 1 || n > MAX_SECONDS) {
			fprintf(stderr, "podveil verify: --seconds %s: not a number from 1 to %d\n",
				value, MAX_SECONDS);
			return false;
		}
		v->seconds = (unsigned int)n;
		return true;
	case OPT_PEER:
		v->peer = value;
		return true;
	case OPT_UPLINK:
		v->uplink = value;
		return true;
	case OPT_GENERATE:
		v->generate = true;
		return true;
	case OPT_JSON:
		v->json = true;
		return true;
	default:
		return false;
	}
}

/* --- preparation --- */

static int prepare(struct verification *v)
{
	const char *name;
	struct link_info link;
	int err;

	v->status = agent_status_fetch("verify");
	if (!v->status)
		return -ENOENT;
	err = evidence_new(v->status, &v->evidence);
	if (err) {
		fprintf(stderr, "podveil verify: the agent's status cannot be used: %s\n",
			err == -EPROTO ? "it comes from another version of podveil"
				       : strerror(-err));
		return err;
	}
	if (v->peer) {
		v->evidence->only = evidence_find(v->evidence, v->peer);
		if (!v->evidence->only) {
			fprintf(stderr,
				"podveil verify: --peer %s: the agent does not know this node;",
				v->peer);
			for (size_t i = 0; i < v->evidence->n_nodes && i < 10; i++)
				fprintf(stderr, " %s", v->evidence->nodes[i].name);
			fprintf(stderr, "%s\n", v->evidence->n_nodes > 10 ? " ..." : "");
			return -ENOENT;
		}
	}
	name = v->uplink ? v->uplink : member_text(v->status, "uplink");
	err = link_get(name, &link);
	if (err) {
		fprintf(stderr, "podveil verify: no device \"%s\": give the uplink with --uplink\n",
			name);
		return err;
	}
	memcpy(v->uplink_name, link.name, sizeof(v->uplink_name));
	err = wiretap_open(link.ifindex, &v->tap);
	if (err == -EPERM)
		fprintf(stderr, "podveil verify: not permitted to capture: run as root, or with "
				"CAP_NET_RAW\n");
	else if (err)
		fprintf(stderr, "podveil verify: cannot capture on %s: %s\n", link.name,
			err == -ENOTSUP ? "its frames are not Ethernet's" : strerror(-err));
	return err;
}

static void aim(struct verification *v)
{
	for (size_t i = 0; i < v->evidence->n_nodes; i++) {
		const struct evidence_node *n = &v->evidence->nodes[i];

		for (int k = 0; k < 2 && v->n_targets < MAX_TARGETS; k++)
			if (n->tunnel[k].family && (!v->evidence->only || v->evidence->only == n))
				v->targets[v->n_targets++] =
					(struct target){.node = n, .to = n->tunnel[k]};
	}
}

static int load(struct verification *v)
{
	static const char word[] = "podveil-verify-";
	struct evidence *e = v->evidence;
	uint8_t random[(EVIDENCE_MARKER - sizeof(word) + 1) / 2];
	char text[EVIDENCE_MARKER + 2];
	int err;

	randombytes_buf(random, sizeof(random));
	memcpy(text, word, sizeof(word));
	sodium_bin2hex(text + sizeof(word) - 1, sizeof(text) - sizeof(word) + 1, random,
		       sizeof(random));
	memset(e->marker, '.', sizeof(e->marker));
	memcpy(e->marker, text, strlen(text));
	e->marked = true;
	aim(v);
	err = probe_new(e->marker, sizeof(e->marker), &v->probe);
	if (err)
		fprintf(stderr, "podveil verify: cannot send probes: %s\n", strerror(-err));
	return err;
}

/* --- capture --- */

static void see(void *context, const struct wiretap_frame *f)
{
	evidence_add(context, f);
}

static void send_round(struct verification *v)
{
	for (size_t i = 0; i < v->n_targets; i++) {
		struct target *t = &v->targets[i];
		int err = probe_send(v->probe, &t->to, (uint16_t)i);

		if (err)
			t->err = err;
		else
			t->sent++;
	}
}

static void receive_answers(struct verification *v, int family)
{
	int target;

	while ((target = probe_receive(v->probe, family)) >= 0)
		if ((size_t)target < v->n_targets)
			v->targets[target].answered++;
}

static void watch(struct verification *v)
{
	const uint64_t all = v->seconds * NSEC_PER_SEC, step = all / (ROUNDS + 2);
	struct pollfd fds[3] = {
		{.fd = wiretap_fd(v->tap), .events = POLLIN},
		{.fd = v->probe ? probe_fd(v->probe, AF_INET) : -1, .events = POLLIN},
		{.fd = v->probe ? probe_fd(v->probe, AF_INET6) : -1, .events = POLLIN}};
	unsigned int rounds = 0;

	v->begin = clock_now();
	for (uint64_t now = v->begin; now - v->begin < all && !interrupted; now = clock_now()) {
		uint64_t next = v->begin + all;
		int got;

		if (v->probe && rounds < ROUNDS) {
			if (now >= v->begin + rounds * step) {
				send_round(v);
				rounds++;
			}
			if (rounds < ROUNDS)
				next = v->begin + rounds * step;
		}
		if (poll(fds, 3, (int)(elapsed(now, next) / NSEC_PER_MSEC) + 1) <= 0)
			continue;
		got = fds[0].revents ? wiretap_read(v->tap, see, v->evidence) : 0;
		if (got < 0) {
			v->gone = true;
			break;
		}
		if (fds[1].revents)
			receive_answers(v, AF_INET);
		if (fds[2].revents)
			receive_answers(v, AF_INET6);
	}
	v->end = clock_now();
	v->missed = wiretap_missed(v->tap);
}

/* --- result --- */

static enum verdict judge(const struct verification *v)
{
	if (v->evidence->plain || v->evidence->marker_seen)
		return PLAINTEXT;
	return evidence_data(v->evidence) ? ENCRYPTED : UNKNOWN;
}

static const char *wrap_text(enum dissected_wrap wrap)
{
	static const char *const names[] = {"bare", "in VXLAN", "in IP"};

	return names[wrap];
}

static const char *protocol_text(const struct dissected_layer *l, char out[16])
{
	switch (l->protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return "icmp";
	}
	snprintf(out, 16, "protocol %u", l->protocol);
	return out;
}

static bool concerns(const struct verification *v, const struct evidence_node *n)
{
	return !v->evidence->only || v->evidence->only == n;
}

static void print_nodes(const struct verification *v)
{
	size_t silent = 0;
	bool head = false;

	for (size_t i = 0; i < v->evidence->n_nodes; i++) {
		const struct evidence_node *n = &v->evidence->nodes[i];

		if (!concerns(v, n))
			continue;
		if (!n->sent.bytes && !n->received.bytes && !n->plain) {
			silent++;
			continue;
		}
		if (!head)
			printf("  %-32s %12s %12s %12s %8s\n", "PEER", "ENCRYPTED TO", "AND FROM",
			       "HANDSHAKES", "PLAIN");
		head = true;
		printf("  %-32s %12llu %12llu %12llu %8llu%s\n", n->name,
		       (unsigned long long)n->sent.data, (unsigned long long)n->received.data,
		       (unsigned long long)(n->sent.others + n->received.others),
		       (unsigned long long)n->plain, n->peer ? "" : "  (no peer)");
	}
	if (silent)
		printf("  %zu %s without traffic\n", silent, silent == 1 ? "node" : "nodes");
}

static void print_examples(const struct evidence *e)
{
	for (unsigned int i = 0; i < e->n_examples; i++) {
		const struct evidence_example *x = &e->examples[i];
		char from[CIDR_TEXT], to[CIDR_TEXT], protocol[16];

		cidr_format(&x->layer.source, true, from);
		cidr_format(&x->layer.destination, true, to);
		printf("  plain: %s %s -> %s", protocol_text(&x->layer, protocol), from, to);
		if (x->layer.ports)
			printf(" port %u -> %u", x->layer.source_port, x->layer.destination_port);
		printf(", %s, %s, pod of %s\n", wrap_text(x->layer.wrap),
		       x->outgoing ? "leaving" : "arriving", x->node->name);
	}
	if (e->plain > e->n_examples)
		printf("  plain: ... and %llu more\n",
		       (unsigned long long)(e->plain - e->n_examples));
}

static void print_probes(const struct verification *v)
{
	if (!v->probe)
		return;
	printf("  marker: %.*s\n", EVIDENCE_MARKER, (const char *)v->evidence->marker);
	for (size_t i = 0; i < v->n_targets; i++) {
		const struct target *t = &v->targets[i];
		char to[CIDR_TEXT];

		printf("  probe: %s at %s: sent %u, answered %u%s%s\n", t->node->name,
		       cidr_format(&t->to, true, to), t->sent, t->answered, t->err ? ", " : "",
		       t->err ? strerror(-t->err) : "");
	}
	if (!v->n_targets)
		printf("  probe: no peer has a tunnel address, so nothing was sent\n");
	printf("  marker seen on %s: %llu times\n", v->uplink_name,
	       (unsigned long long)v->evidence->marker_seen);
}

/* Capture sockets are above AF_XDP: they see only those messages that the kernel itself sends and
 * receives. */
static bool through_af_xdp(const struct verification *v)
{
	return !strcmp(member_text(v->status, "wire"), "xdp");
}

static void print_verdict(const struct verification *v, enum verdict verdict)
{
	const unsigned long long data = evidence_data(v->evidence);

	switch (verdict) {
	case ENCRYPTED:
		printf("verdict: ENCRYPTED: %llu WireGuard messages with content, and no packet of "
		       "a remote pod in plain\n",
		       data);
		break;
	case PLAINTEXT:
		printf("verdict: PLAINTEXT: %llu packets of remote pods were readable on %s%s\n",
		       (unsigned long long)v->evidence->plain, v->uplink_name,
		       v->evidence->marker_seen ? ", and so was the marker" : "");
		break;
	case UNKNOWN:
		if (through_af_xdp(v)) {
			printf("verdict: UNKNOWN: a capture here does not see AF_XDP: capture at the other end of the uplink, or set podveilWire to socket\n");
			break;
		}
		printf("verdict: UNKNOWN: no traffic with pods of %s was seen: send some, or use "
		       "--generate\n",
		       v->peer ? v->peer : "other nodes");
		break;
	}
}

static bool encryption_on(const json_t *status)
{
	const json_t *t;
	size_t i;

	json_array_foreach (json_object_get(status, "tunnels"), i, t)
		if (!strcmp(member_text(t, "state"), "on"))
			return true;
	return false;
}

static void print(const struct verification *v, enum verdict verdict)
{
	printf("captured on %s of %s for %.1f s: %llu IP packets\n", v->uplink_name,
	       member_text(v->status, "node"), (double)(v->end - v->begin) / (double)NSEC_PER_SEC,
	       (unsigned long long)v->evidence->frames);
	if (!encryption_on(v->status))
		printf("  encryption is off on this node: podveil enable\n");
	if (through_af_xdp(v))
		printf("  wire: xdp: a capture here sees only some WireGuard messages, but all other packets\n");
	print_nodes(v);
	print_examples(v->evidence);
	print_probes(v);
	if (v->missed)
		printf("  missed: %llu packets came faster than they could be read\n",
		       (unsigned long long)v->missed);
	if (v->gone)
		printf("  %s was removed during the capture\n", v->uplink_name);
	print_verdict(v, verdict);
}

static json_t *traffic_json(const struct evidence_traffic *t)
{
	return json_pack("{s:I, s:I, s:I}", "data", (json_int_t)t->data, "others",
			 (json_int_t)t->others, "bytes", (json_int_t)t->bytes);
}

static json_t *example_json(const struct evidence_example *x)
{
	char from[CIDR_TEXT], to[CIDR_TEXT], protocol[16];

	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:s}", "source",
			 cidr_format(&x->layer.source, true, from), "destination",
			 cidr_format(&x->layer.destination, true, to), "protocol",
			 protocol_text(&x->layer, protocol), "sourcePort",
			 x->layer.ports ? json_integer(x->layer.source_port) : json_null(),
			 "destinationPort",
			 x->layer.ports ? json_integer(x->layer.destination_port) : json_null(),
			 "wrapped", wrap_text(x->layer.wrap), "direction",
			 x->outgoing ? "leaving" : "arriving", "node", x->node->name);
}

static void print_json(const struct verification *v, enum verdict verdict)
{
	const struct evidence *e = v->evidence;
	json_t *nodes = json_array(), *plain = json_array(), *probes = json_array(), *o;
	char to[CIDR_TEXT];

	for (size_t i = 0; i < e->n_nodes; i++)
		if (concerns(v, &e->nodes[i]))
			json_array_append_new(
				nodes, json_pack("{s:s, s:b, s:o, s:o, s:I}", "node",
						 e->nodes[i].name, "peer", e->nodes[i].peer, "sent",
						 traffic_json(&e->nodes[i].sent), "received",
						 traffic_json(&e->nodes[i].received), "plain",
						 (json_int_t)e->nodes[i].plain));
	for (unsigned int i = 0; i < e->n_examples; i++)
		json_array_append_new(plain, example_json(&e->examples[i]));
	for (size_t i = 0; v->probe && i < v->n_targets; i++)
		json_array_append_new(probes, json_pack("{s:s, s:s, s:i, s:i}", "node",
							v->targets[i].node->name, "address",
							cidr_format(&v->targets[i].to, true, to),
							"sent", (int)v->targets[i].sent, "answered",
							(int)v->targets[i].answered));
	o = json_pack("{s:i, s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:o, s:o, s:o}", "version", 1,
		      "verdict", verdicts[verdict], "node", member_text(v->status, "node"),
		      "uplink", v->uplink_name, "seconds",
		      (double)(v->end - v->begin) / (double)NSEC_PER_SEC, "packets",
		      (json_int_t)e->frames, "plain", (json_int_t)e->plain, "missed",
		      (json_int_t)v->missed, "nodes", nodes, "examples", plain, "probes", probes);
	json_object_set_new(o, "wire", json_string(member_text(v->status, "wire")));
	if (v->probe)
		json_object_set_new(o, "markerSeen", json_integer((json_int_t)e->marker_seen));
	json_dumpf(o, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(o);
}

int verify_main(int argc, char **argv)
{
	struct verification v = {.seconds = DEFAULT_SECONDS};
	const struct sigaction on_signal = {.sa_handler = on_interrupt};
	int result = cli_parse(argc, argv, apply, &v, NULL);
	enum verdict verdict = UNKNOWN;

	if (result >= 0)
		return result;
	if (sodium_init() < 0)
		return UNKNOWN;
	if (prepare(&v) || (v.generate && load(&v)))
		goto out;
	/* When it is ended early, it reports what it has seen. */
	sigaction(SIGINT, &on_signal, NULL);
	sigaction(SIGTERM, &on_signal, NULL);
	watch(&v);
	verdict = judge(&v);
	if (v.json)
		print_json(&v, verdict);
	else
		print(&v, verdict);
out:
	probe_free(v.probe);
	wiretap_close(v.tap);
	evidence_free(v.evidence);
	json_decref(v.status);
	return (int)verdict;
}
