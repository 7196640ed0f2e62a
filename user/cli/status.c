/* SPDX-License-Identifier: Apache-2.0 */
/* podveil status: what the agent of this node says of itself. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/cli.h"

static void print_peers(const json_t *peers)
{
	const time_t now = time(NULL);
	const json_t *p;
	size_t i;

	if (json_array_size(peers))
		printf("  %-32s %-10s %-8s %s\n", "PEER", "TRAFFIC", "SESSION", "HANDSHAKE");
	json_array_foreach (peers, i, p) {
		const long long since = ask_number(p, "lastHandshake");
		char age[32] = "never";

		if (since)
			snprintf(age, sizeof(age), "%lld s ago", (long long)now - since);
		printf("  %-32s %-10s %-8s %s\n", ask_text(p, "node"),
		       ask_yes(p, "encrypting") ? "encrypted" : "plain",
		       ask_yes(p, "session") ? "stands" : "none", age);
	}
}

static void print_tunnel(const json_t *t)
{
	printf("%s: %s", ask_text(t, "family"), ask_text(t, "state"));
	if (json_object_get(t, "interface"))
		printf("  %s %s port %lld mtu %lld  %s%s", ask_text(t, "interface"),
		       ask_text(t, "address"), ask_number(t, "port"), ask_number(t, "mtu"),
		       ask_text(t, "cipher"),
		       ask_yes(t, "superpackets") ? ", superpackets" : ", per packet");
	printf("\n");
	print_peers(json_object_get(t, "peers"));
}

static void print(const json_t *o)
{
	const json_t *store = json_object_get(o, "store"), *guard = json_object_get(o, "guard");
	const json_t *v;
	size_t i;

	printf("node: %s  uplink: %s  store: %s %s\n", ask_text(o, "node"), ask_text(o, "uplink"),
	       ask_text(store, "name"), ask_yes(store, "synced") ? "in sync" : "not read yet");
	json_array_foreach (json_object_get(o, "tunnels"), i, v)
		print_tunnel(v);
	printf("guard: %s  leaks %lld, dropped %lld  inward: plain %lld, dropped %lld\n",
	       ask_yes(guard, "stands") ? "stands" : "off", ask_number(guard, "leaks"),
	       ask_number(guard, "dropLeak"), ask_number(guard, "plainInward"),
	       ask_number(guard, "dropPlainInward"));
	json_array_foreach (json_object_get(o, "conflicts"), i, v)
		printf("conflict: %s\n", json_string_value(v));
	if (json_is_string(json_object_get(o, "refused")))
		printf("refused: %s\n", ask_text(o, "refused"));
	if (ask_number(store, "errors"))
		printf("store errors: %lld, last: %s\n", ask_number(store, "errors"),
		       ask_text(store, "lastError"));
	if (ask_yes(o, "failed"))
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
	bool raw = false;
	int result = cli_parse(argc, argv, apply, &raw, NULL);
	json_t *o;

	if (result >= 0)
		return result;
	o = ask_agent("status");
	if (!o)
		return EXIT_FAILED;
	if (raw)
		json_dumpf(o, stdout, JSON_INDENT(2));
	else
		print(o);
	if (raw)
		printf("\n");
	json_decref(o);
	return EXIT_DONE;
}
