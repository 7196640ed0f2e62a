/* SPDX-License-Identifier: Apache-2.0 */
/* podveil status: what the agent of this node says of itself. */
#include "node/status.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

static FILE *connect_agent(void)
{
	const struct sockaddr_un where = {.sun_family = AF_UNIX, .sun_path = STATUS_SOCKET};
	const struct timeval patience = {5, 0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *f;

	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&where, sizeof(where))) {
		close(fd);
		return NULL;
	}
	f = fdopen(fd, "r");
	if (!f)
		close(fd);
	return f;
}

static const char *text(const json_t *o, const char *member)
{
	const char *t = json_string_value(json_object_get(o, member));

	return t ? t : "-";
}

static long long number(const json_t *o, const char *member)
{
	return json_integer_value(json_object_get(o, member));
}

static bool yes(const json_t *o, const char *member)
{
	return json_is_true(json_object_get(o, member));
}

static void print_peers(const json_t *peers)
{
	const time_t now = time(NULL);
	const json_t *p;
	size_t i;

	if (json_array_size(peers))
		printf("  %-32s %-10s %-8s %s\n", "PEER", "TRAFFIC", "SESSION", "HANDSHAKE");
	json_array_foreach (peers, i, p) {
		const long long since = number(p, "lastHandshake");
		char age[32] = "never";

		if (since)
			snprintf(age, sizeof(age), "%lld s ago", (long long)now - since);
		printf("  %-32s %-10s %-8s %s\n", text(p, "node"),
		       yes(p, "encrypting") ? "encrypted" : "plain",
		       yes(p, "session") ? "stands" : "none", age);
	}
}

static void print_tunnel(const json_t *t)
{
	printf("%s: %s", text(t, "family"), text(t, "state"));
	if (json_object_get(t, "interface"))
		printf("  %s %s port %lld mtu %lld  %s%s", text(t, "interface"), text(t, "address"),
		       number(t, "port"), number(t, "mtu"), text(t, "cipher"),
		       yes(t, "superpackets") ? ", superpackets" : ", per packet");
	printf("\n");
	print_peers(json_object_get(t, "peers"));
}

static void print(const json_t *o)
{
	const json_t *store = json_object_get(o, "store"), *guard = json_object_get(o, "guard");
	const json_t *v;
	size_t i;

	printf("node: %s  uplink: %s  store: %s %s\n", text(o, "node"), text(o, "uplink"),
	       text(store, "name"), yes(store, "synced") ? "in sync" : "not read yet");
	json_array_foreach (json_object_get(o, "tunnels"), i, v)
		print_tunnel(v);
	printf("guard: %s  leaks %lld, dropped %lld  inward: plain %lld, dropped %lld\n",
	       yes(guard, "stands") ? "stands" : "off", number(guard, "leaks"),
	       number(guard, "dropLeak"), number(guard, "plainInward"),
	       number(guard, "dropPlainInward"));
	json_array_foreach (json_object_get(o, "conflicts"), i, v)
		printf("conflict: %s\n", json_string_value(v));
	if (json_is_string(json_object_get(o, "refused")))
		printf("refused: %s\n", text(o, "refused"));
	if (number(store, "errors"))
		printf("store errors: %lld, last: %s\n", number(store, "errors"),
		       text(store, "lastError"));
	if (yes(o, "failed"))
		printf("not everything could be done: see the agent's log; it tries again\n");
}

static bool apply(void *context, int option, const char *value)
{
	(void)option;
	(void)value;
	*(bool *)context = true;
	return true;
}

int status_main(int argc, char **argv)
{
	json_error_t error;
	bool raw = false;
	int result = cli_parse(argc, argv, apply, &raw, NULL);
	json_t *o;
	FILE *f;

	if (result >= 0)
		return result;
	f = connect_agent();
	if (!f) {
		fprintf(stderr,
			"podveil status: no agent answers at %s (%s): is podveil agent "
			"running on this node?\n",
			STATUS_SOCKET, strerror(errno));
		return EXIT_FAILED;
	}
	o = json_loadf(f, 0, &error);
	fclose(f);
	if (!o) {
		fprintf(stderr, "podveil status: the agent's answer cannot be read: %s\n",
			error.text);
		return EXIT_FAILED;
	}
	if (raw)
		json_dumpf(o, stdout, JSON_INDENT(2));
	else
		print(o);
	if (raw)
		printf("\n");
	json_decref(o);
	return EXIT_DONE;
}
