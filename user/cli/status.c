/* SPDX-License-Identifier: Apache-2.0 */
/* podveil status: shows the status of this node's agent. */
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/agent_status.h"
#include "cli/cli.h"
#include "cli/paint.h"

#define WATCH_MS 1000

/* --- pieces --- */

static const char *age_text(long long since, long long now, char out[32])
{
	const long long s = now > since ? now - since : 0;

	if (!since)
		return "never";
	if (s < 120)
		snprintf(out, 32, "%lld s ago", s);
	else if (s < 7200)
		snprintf(out, 32, "%lld min ago", s / 60);
	else if (s < 172800)
		snprintf(out, 32, "%lld h ago", s / 3600);
	else
		snprintf(out, 32, "%lld d ago", s / 86400);
	return out;
}

static const char *bytes_text(double n, char *out, size_t room)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	size_t i = 0;

	for (; n >= 1024 && i < sizeof(units) / sizeof(*units) - 1; i++)
		n /= 1024;
	snprintf(out, room, i && n < 100 ? "%.1f %s" : "%.0f %s", n, units[i]);
	return out;
}

/* The same peer in the earlier status. NULL: it was not there. */
static const json_t *peer_before(const json_t *before, size_t tunnel, size_t i, const json_t *p)
{
	const json_t *t = json_array_get(json_object_get(before, "tunnels"), tunnel);
	const json_t *was = json_array_get(json_object_get(t, "peers"), i);

	return was && !strcmp(member_text(was, "publicKey"), member_text(p, "publicKey")) ? was
											  : NULL;
}

/* Formats the traffic: with --watch, bytes per second since the last status; otherwise the
 * total. */
static const char *traffic_text(const json_t *p, const json_t *was, const char *member,
				double seconds, char out[32])
{
	char bytes[24];

	if (!was)
		return bytes_text((double)member_number(p, member), out, 32);
	bytes_text((double)(member_number(p, member) - member_number(was, member)) / seconds, bytes,
		   sizeof(bytes));
	snprintf(out, 32, "%s/s", bytes);
	return out;
}

/* --- the screen --- */

struct view {
	const json_t *now, *before; /* before: NULL: there is no earlier one */
	double seconds;		    /* between the two */
	struct paint paint;
	unsigned int room; /* lines of peers for each tunnel; 0: no limit */
};

static void print_peers(const struct view *v, size_t tunnel, const json_t *peers)
{
	const long long now = member_number(v->now, "time");
	const size_t n = json_array_size(peers);
	const json_t *p;
	size_t i, shown = 0;

	if (n)
		printf("%s  %-32s %-10s %-8s %-12s %12s %12s%s\n", v->paint.quiet, "PEER",
		       "TRAFFIC", "SESSION", "HANDSHAKE", "SENT", "RECEIVED", v->paint.end);
	json_array_foreach (peers, i, p) {
		const bool encrypting = member_true(p, "encrypting");
		const json_t *was = peer_before(v->before, tunnel, i, p);
		char age[32], sent[32], received[32];

		if (v->room && shown == v->room)
			break;
		shown++;
		printf("  %-32s %s%-10s%s %-8s %-12s %12s %12s\n", member_text(p, "node"),
		       encrypting ? v->paint.good : v->paint.bad,
		       encrypting ? "encrypted" : "plain", v->paint.end,
		       member_true(p, "session") ? "active" : "none",
		       age_text(member_number(p, "lastHandshake"), now, age),
		       traffic_text(p, was, "sent", v->seconds, sent),
		       traffic_text(p, was, "received", v->seconds, received));
		if (json_is_string(json_object_get(p, "silence")))
			printf("    %s%s%s\n", v->paint.bad, member_text(p, "silence"),
			       v->paint.end);
	}
	if (shown < n)
		printf("  ... and %zu more\n", n - shown);
}

static void print_drops(const char *where, const json_t *drops)
{
	const char *reason;
	json_t *n;

	if (!json_object_size(drops))
		return;
	printf("drops: %s", where);
	json_object_foreach ((json_t *)drops, reason, n)
		printf("  %s %lld", reason, json_integer_value(n));
	printf("\n");
	if (json_object_get(drops, "source"))
		printf("  source: the source address is not in the peer's allowed IPs. Often a node answers a pod without masquerade: set natOutgoing for the pool, or wireguardHostEncryptionEnabled\n");
}

static void print_tunnel(const struct view *v, size_t i, const json_t *t)
{
	printf("%s: %s", member_text(t, "family"), member_text(t, "state"));
	if (json_object_get(t, "interface"))
		printf("  %s %s port %lld mtu %lld  %s%s, %s%s", member_text(t, "interface"),
		       member_text(t, "address"), member_number(t, "port"), member_number(t, "mtu"),
		       member_text(t, "cipher"),
		       member_true(t, "superpackets") ? ", superpackets" : ", per packet",
		       member_text(t, "wire"), member_true(t, "lowLatency") ? ", low latency" : "");
	printf("\n");
	print_peers(v, i, json_object_get(t, "peers"));
}

/* Is the text among the conflicts, which are printed already? */
static bool names_conflict(const json_t *o, const char *text)
{
	const json_t *conflict;
	size_t i;

	json_array_foreach (json_object_get(o, "conflicts"), i, conflict)
		if (!strcmp(json_string_value(conflict), text))
			return true;
	return false;
}

static void print_store_problem(const json_t *o, const json_t *trouble)
{
	const char *line = member_text(trouble, "why");

	printf("store: a problem for %lld s; what is known stays in force\n",
	       member_number(o, "time") - member_number(trouble, "since"));
	while (*line) {
		const size_t len = strcspn(line, "\n");

		printf("  %.*s\n", (int)len, line);
		line += len + (line[len] != 0);
	}
}

/* Rights that the agent has and does not use. */
static void print_rights(const json_t *rights)
{
	const json_t *user = json_object_get(json_object_get(rights, "tunnel"), "user");
	const json_t *part;
	size_t i;

	json_array_foreach (json_object_get(rights, "parts"), i, part)
		if (json_is_string(json_object_get(part, "missing")))
			printf("rights: %s %s: %s\n", member_text(part, "part"),
			       member_true(part, "inForce") ? "are limited in part"
							    : "are not limited",
			       member_text(part, "missing"));
	if (json_is_integer(user) && !json_integer_value(user))
		printf("rights: the tunnel process runs as root\n");
}

static void print_problems(const struct view *v)
{
	const json_t *o = v->now, *store = json_object_get(o, "store"), *conflict, *t;
	size_t i;

	fputs(v->paint.bad, stdout);
	json_array_foreach (json_object_get(o, "tunnels"), i, t)
		if (member_true(t, "wireRefused"))
			printf("%s: messages use sockets, not xdp: %s\n",
			       member_text(t, "interface"), member_text(t, "wireWhy"));
	json_array_foreach (json_object_get(o, "tunnels"), i, t)
		if (json_is_string(json_object_get(t, "lowLatencyLacks")))
			printf("%s: low latency is available in part only: %s\n",
			       member_text(t, "interface"), member_text(t, "lowLatencyLacks"));
	json_array_foreach (json_object_get(o, "tunnels"), i, t)
		if (json_is_string(json_object_get(t, "problem")))
			printf("%s: %s\n", member_text(t, "family"), member_text(t, "problem"));
	json_array_foreach (json_object_get(o, "conflicts"), i, conflict)
		printf("conflict: %s\n", json_string_value(conflict));
	json_array_foreach (json_object_get(o, "recordsRefused"), i, t)
		if (!names_conflict(o, member_text(t, "text")))
			printf("record refused: %s\n", member_text(t, "text"));
	if (json_is_string(json_object_get(o, "refused")))
		printf("refused: %s\n", member_text(o, "refused"));
	if (json_is_object(json_object_get(store, "trouble")))
		print_store_problem(o, json_object_get(store, "trouble"));
	print_rights(json_object_get(o, "rights"));
	if (member_true(o, "failed"))
		printf("some changes failed: see the agent's log; it tries again\n");
	fputs(v->paint.end, stdout);
}

/* Prints where the guard is, and which filters ran before it. */
static void print_guard(const json_t *guard)
{
	const json_t *devices = json_object_get(guard, "devices"), *d;
	const size_t n = json_array_size(devices);
	size_t i;

	if (!n) {
		printf("guard: off\n");
		return;
	}
	printf("guard: %s\n", member_true(guard, "stands") ? "active" : "MISSING ON A DEVICE");
	printf("  outward: leaked %lld, plain before encryption %lld, dropped %lld\n",
	       member_number(guard, "leaked"), member_number(guard, "plainBeforeEncryption"),
	       member_number(guard, "dropLeak"));
	printf("  inward:  leaked %lld, plain before encryption %lld, dropped %lld\n",
	       member_number(guard, "leakedInward"),
	       member_number(guard, "plainInwardBeforeEncryption"),
	       member_number(guard, "dropPlainInward"));
	printf("  on (%s):", member_text(guard, "method"));
	json_array_foreach (devices, i, d)
		printf(" %s%s", member_text(d, "device"),
		       member_true(d, "stands") ? "" : " (MISSING)");
	printf("\n");
	json_array_foreach (devices, i, d)
		if (json_is_string(json_object_get(d, "before")))
			printf("  on %s the filter \"%s\" ran before it; the guard was put first again\n",
			       member_text(d, "device"), member_text(d, "before"));
}

static void print_first_line(const json_t *line)
{
	const bool routing = member_true(line, "routing"), nftables = member_true(line, "nftables");

	if (!member_true(line, "wanted"))
		return;
	printf("first line: %s%s%s  dropped outward %lld, inward %lld\n",
	       routing && nftables ? "active" : "MISSING:", routing ? "" : " routing",
	       nftables ? "" : " nftables", member_number(line, "dropOutward"),
	       member_number(line, "dropInward"));
}

static void print(const struct view *v)
{
	const json_t *o = v->now, *store = json_object_get(o, "store");
	const json_t *guard = json_object_get(o, "guard"), *source, *t;
	size_t i;

	printf("node: %s  uplink: %s  store: %s %s\n", member_text(o, "node"),
	       member_text(o, "uplink"), member_text(store, "name"),
	       member_true(store, "synced")	  ? "in sync"
	       : member_number(store, "lastSync") ? "unreachable"
						  : "not read yet");
	source = json_object_get(store, "routeSource");
	if (json_is_object(source))
		printf("pod addresses: %s (%s)\n", member_text(source, "name"),
		       member_text(source, "why"));
	json_array_foreach (json_object_get(o, "tunnels"), i, t)
		print_tunnel(v, i, t);
	print_first_line(json_object_get(o, "firstLine"));
	print_guard(guard);
	json_array_foreach (json_object_get(o, "tunnels"), i, t)
		print_drops(member_text(t, "interface"), json_object_get(t, "drops"));
	print_drops(member_text(o, "uplink"), json_object_get(guard, "drops"));
	print_problems(v);
}

/* --- once, or repeatedly --- */

struct options {
	bool json, watch;
};

static bool apply(void *context, int option, const char *value)
{
	struct options *o = context;

	(void)value;
	o->json |= option == OPT_JSON;
	o->watch |= option == OPT_WATCH;
	return true;
}

/* The number of peer lines per tunnel that fit on the screen. 0: output is no terminal. */
static unsigned int peer_room(const json_t *status)
{
	struct winsize size;
	const json_t *t;
	size_t i, tunnels = 0;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return 0;
	json_array_foreach (json_object_get(status, "tunnels"), i, t)
		tunnels += json_array_size(json_object_get(t, "peers")) > 0;
	/* Other lines: node, tunnels with their heads, first line, guard, drops, problems. */
	return size.ws_row > 16 ? (size.ws_row - 12u) / (tunnels ? (unsigned int)tunnels : 1) : 4;
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show(const struct options *o, const struct view *v)
{
	if (o->json) {
		/* With --watch: one document per line. */
		json_dumpf(v->now, stdout, o->watch ? JSON_COMPACT : JSON_INDENT(2));
		printf("\n");
	} else {
		print(v);
	}
	fflush(stdout);
}

static int watch(const struct options *o)
{
	const bool screen = isatty(STDOUT_FILENO) && !o->json;
	struct view v = {.paint = paint_choose()};
	json_t *before = NULL, *now;
	double last = 0;

	for (;;) {
		const double at = seconds_now();

		now = agent_status_fetch("status");
		if (screen)
			printf("\033[H\033[J");
		if (now) {
			v.now = now;
			v.before = before;
			v.seconds = at - last;
			v.room = screen ? peer_room(now) : 0;
			show(o, &v);
		}
		json_decref(before);
		before = now;
		last = at;
		if (ferror(stdout))
			break; /* the reader has closed the pipe */
		poll(NULL, 0, WATCH_MS);
	}
	json_decref(before);
	return EXIT_FAILED;
}

int status_main(int argc, char **argv)
{
	struct options o = {.json = false};
	struct view v = {.paint = paint_choose()};
	int result = cli_parse(argc, argv, apply, &o, NULL);
	json_t *now;

	if (result >= 0)
		return result;
	if (o.watch)
		return watch(&o);
	now = agent_status_fetch("status");
	if (!now)
		return EXIT_FAILED;
	v.now = now;
	show(&o, &v);
	json_decref(now);
	return EXIT_DONE;
}
