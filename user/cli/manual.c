/* SPDX-License-Identifier: Apache-2.0 */
/* podveil manual: prints the manual page from the table of subcommands (commands.c). */
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cli/cli.h"
#include "plan/settings.h"

/* Escapes characters that are special in roff. */
static void text(const char *t)
{
	if (*t == '.' || *t == '\'')
		fputs("\\&", stdout);
	for (; *t; t++) {
		if (*t == '\\')
			fputs("\\e", stdout);
		else if (*t == '-')
			fputs("\\-", stdout);
		else
			fputc(*t, stdout);
	}
}

static void paragraph(const char *t)
{
	printf(".PP\n");
	text(t);
	printf("\n");
}

static void option(const struct cli_option *o)
{
	printf(".TP\n");
	if (o->letter)
		printf("\\fB\\-%c\\fR, ", o->letter);
	printf("\\fB\\-\\-");
	text(o->name);
	printf("\\fR");
	if (o->argument) {
		printf(" \\fI");
		text(o->argument);
		printf("\\fR");
	}
	printf("\n");
	text(o->meaning);
	printf("\n");
}

static void subcommand(const struct subcommand *c)
{
	printf(".SS podveil %s%s%s%s\n", c->name, c->argument ? " " : "",
	       c->argument ? c->argument : "", c->n_options ? " [OPTIONS]" : "");
	text(c->text);
	printf("\n");
	for (size_t i = 0; i < c->n_options; i++)
		option(&c->options[i]);
	if (c->settings)
		paragraph("Each setting (see SETTINGS) is also an option, for this node only.");
	paragraph(c->ending);
}

static void settings(void)
{
	char range[SETTING_RANGE];

	printf(".SH SETTINGS\n");
	text("A setting can be given in four places; the later one wins: for the cluster in the store, for the node in the store, in the environment (PODVEIL_ and the name in capitals), as an option of podveil agent. A change takes effect at once. The log and podveil status name a value that is refused; the last valid value stays.");
	printf("\n");
	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++) {
		printf(".TP\n\\fB%s\\fR\n", s->name);
		text(s->meaning);
		printf(" (");
		text(setting_range(s, range));
		printf("; default ");
		text(*s->fallback ? s->fallback : "none");
		printf(")\n");
	}
}

/* Members of the status document: `podveil status --json` and /status. Members of an object, or of
 * the objects in a list, follow after a dot. */
static const struct {
	const char *name, *meaning;
} members[] = {
	{"version", "version of this document: 1. Members may be added, none is removed"},
	{"program", "version of podveil"},
	{"time", "the current time; all times are Unix times in seconds, 0 means never"},
	{"node, uplink", "name and uplink of this node"},
	{"store.name, .synced, .lastSync, .errors, .lastError",
	 "where records and settings come from, and how reading went; synced: everything was read, and changes are seen"},
	{"store.trouble, .since, .why, .count",
	 "null, or what is wrong with the store now; count: how many problems"},
	{"store.held, .kind, .node, .why",
	 "what is in force although the store does not show it any more: a record, or settings (node is null: of the cluster)"},
	{"store.routeSource, .name, .why",
	 "null, or the source of the pod addresses of nodes, and why it is used"},
	{"tunnels", "two: one for IPv4 pods and one for IPv6 pods"},
	{"tunnels.family, .state", "ipv4 or ipv6; off, on, or ending (still decrypts)"},
	{"tunnels.problem", "null, or why it is not as the settings say"},
	{"tunnels.interface, .address, .publicKey, .port, .mtu, .workers, .cipher, .superpackets, "
	 ".drops",
	 "only if there is a device; drops: each reason that occurred, and how often"},
	{"tunnels.wire, .wireWhy, .wireRefused",
	 "socket or xdp; how, or why not xdp; wireRefused: podveilWire is xdp, which is not possible"},
	{"tunnels.lowLatency, .lowLatencyLacks",
	 "podveilLowLatency; the part that is not possible, or null"},
	{"tunnels.peers.node, .publicKey, .endpoint, .tunnelAddress", "another node with a key"},
	{"tunnels.peers.encrypting, .encryptingSince",
	 "whether packets to its pods are encrypted, and since when"},
	{"tunnels.peers.session, .sessionAge, .lastHandshake",
	 "whether there is a session that can send; its age in seconds, or null"},
	{"tunnels.peers.sent, .received", "bytes of WireGuard messages"},
	{"tunnels.peers.silence",
	 "null, or why a peer does not answer, as far as this node can see it"},
	{"tunnels.ranges.cidr, .node, .peer, .host",
	 "the node of each pod range; peer: the node has a key; host: it is the node's own address"},
	{"firstLine.wanted, .routing, .nftables, .dropInward, .dropOutward, .dropMarked",
	 "the first line of strict mode: whether strict mode is on, which parts are in place, and what the table podveil of nftables dropped since it was created"},
	{"guard.stands, .leaks, .dropLeak, .plainInward, .dropPlainInward, .dropWireShort, .drops",
	 "stands: the filters are the first ones on all devices that lead out of the node; plaintext packets that left, were dropped when leaving, came in, were dropped when coming in; malformed messages"},
	{"guard.leaked, .plainBeforeEncryption, .leakedInward, .plainInwardBeforeEncryption",
	 "the two parts of leaks and plainInward: plaintext packets after encryption with their node had begun, and before that"},
	{"guard.method, .devices.device, .stands, .before",
	 "tcx or clsact; each device; whether guard and shield are first there; the last other filter that ran before them, or null"},
	{"guard.displaced", "how often such a filter was found, and the guard was put first again"},
	{"strict, wire", "podveilStrictMode; xdp if one of the tunnels uses it, else socket"},
	{"conflicts", "keys, ranges and addresses that several nodes claim; one text each"},
	{"recordsRefused.node, .reason, .range, .other, .text",
	 "parts of nodes' records that are refused, at most a hundred; an empty range: the key is refused"},
	{"refused", "null, or the setting that is refused, and why"},
	{"failed", "the last attempt to apply records and settings failed"},
	{"http", "where the agent answers over HTTP, in the form of --http, or null"},
	{"rights.parts.part, .inForce, .missing",
	 "what the agent gave up of its rights, in six parts; what the system refused, or null"},
	{"rights.capabilities", "those that it kept, or null with --unconfined"},
	{"rights.tunnel.user, .capabilities",
	 "the user of the tunnel process, a number, and the capabilities that it kept, or null with --unconfined"},
	{"settings.NAME.value, .from",
	 "the value in force, and where it comes from: default, cluster, node, environment or flag"},
};

static void status_document(void)
{
	printf(".SH STATUS DOCUMENT\n");
	text("What podveil status --json prints and the agent serves as /status:");
	printf("\n");
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
		printf(".TP\n\\fB");
		text(members[i].name);
		printf("\\fR\n");
		text(members[i].meaning);
		printf("\n");
	}
}

static void signals_and_files(void)
{
	static const struct {
		const char *name, *meaning;
	} signals[] =
		{
			{"SIGTERM, SIGINT", "end the process"},
			{"SIGUSR1, SIGUSR2",
			 "raise or lower the log level of agent and device by one"},
		},
	  files[] = {
		  {"/run/podveil/", "keys, locks and the agent's socket; mode 0700"},
		  {"/var/run/wireguard/IFNAME.sock", "the socket for wg(8)"},
		  {"/sys/fs/bpf/podveil/", "the pinned maps of the programs, for bpftool(8)"},
	  };

	printf(".SH SIGNALS\n");
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		printf(".TP\n\\fB%s\\fR\n%s\n", signals[i].name, signals[i].meaning);
	printf(".SH FILES\n");
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		printf(".TP\n\\fI%s\\fR\n%s\n", files[i].name, files[i].meaning);
}

static bool none(void *context, int id, const char *value)
{
	(void)context;
	(void)id;
	(void)value;
	return false;
}

int manual_main(int argc, char **argv)
{
	int result = cli_parse(argc, argv, none, NULL, NULL);

	if (result >= 0)
		return result;
	printf(".\\\" SPDX-License-Identifier: Apache-2.0\n"
	       ".TH PODVEIL 8 \"\" \"podveil %s\" \"System administration\"\n"
	       ".SH NAME\npodveil \\- WireGuard for pod traffic, in userspace\n"
	       ".SH SYNOPSIS\n\\fBpodveil\\fR \\fISUBCOMMAND\\fR [OPTIONS]\n"
	       ".SH DESCRIPTION\n",
	       PODVEIL_VERSION);
	text("Encrypts the traffic between the pods of a cluster's nodes with WireGuard. TC and XDP programs classify the packets and hand them to a process in userspace, which encrypts them. No kernel module is needed.");
	printf("\n.SH SUBCOMMANDS\n");
	for (const struct subcommand *c = subcommands; c->name; c++)
		subcommand(c);
	settings();
	status_document();
	signals_and_files();
	printf(".SH SEE ALSO\n.BR wg (8),\n.BR ip (8),\n.BR bpftool (8),\n.BR tcpdump (8)\n");
	return EXIT_DONE;
}
