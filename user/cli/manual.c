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
		paragraph("Each setting (see SETTINGS) is an option, too, for this node alone.");
	paragraph(c->ending);
}

static void settings(void)
{
	char range[SETTING_RANGE];

	printf(".SH SETTINGS\n");
	text("In the order in which a later one wins: the cluster's in the store, the node's "
	     "there, "
	     "the environment (PODVEIL_ and the name in capitals), a flag of podveil agent. A "
	     "change takes effect at once; a value that is refused is named in the log and in "
	     "podveil status, and the last valid one stays.");
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
	{"version", "of this document: 1. It gets new members, and loses none"},
	{"program", "version of podveil"},
	{"time", "now; all times are Unix times in seconds, 0: never"},
	{"node, uplink", "of this node"},
	{"store.name, .synced, .lastSync, .errors, .lastError",
	 "where records and settings are from, and how it went; synced: all was read, and changes "
	 "are seen"},
	{"store.trouble, .since, .why, .count",
	 "null, or what is wrong with it now, and how many things that are"},
	{"store.held, .kind, .node, .why",
	 "what stands though the store does not show it any more: a record, or settings (of the "
	 "cluster: node is null)"},
	{"tunnels", "two: that of IPv4 pods and that of IPv6 pods"},
	{"tunnels.family, .state", "ipv4 or ipv6; off, on, or ending (still decrypts)"},
	{"tunnels.problem", "null, or what keeps it from being as the settings say"},
	{"tunnels.interface, .address, .publicKey, .port, .mtu, .workers, .cipher, .superpackets, "
	 ".drops",
	 "where there is a device; drops is an object of the reasons that occurred, with how "
	 "often"},
	{"tunnels.wire, .wireWhy, .wireRefused",
	 "socket or xdp; how, or why not xdp; podveilWire is xdp, and that cannot be"},
	{"tunnels.lowLatency, .lowLatencyLacks",
	 "podveilLowLatency; what of it cannot be had, or null"},
	{"tunnels.peers.node, .publicKey, .endpoint, .tunnelAddress", "another node with a key"},
	{"tunnels.peers.encrypting, .encryptingSince",
	 "whether, and since when, what goes to its pods is encrypted"},
	{"tunnels.peers.session, .sessionAge, .lastHandshake",
	 "a session that can send stands; its age in seconds, null without one"},
	{"tunnels.peers.sent, .received", "bytes of WireGuard messages"},
	{"tunnels.ranges.cidr, .node, .peer, .host",
	 "whose pods are where; peer: that node has a key; host: it is the node's own address"},
	{"firstLine.wanted, .routing, .nftables, .dropInward, .dropOutward, .dropMarked",
	 "of strict mode: whether it is on, which part stands, and what the table podveil of nftables "
	 "dropped since it was made"},
	{"guard.stands, .leaks, .dropLeak, .plainInward, .dropPlainInward, .dropWireShort, .drops",
	 "first on all devices that lead out of the node; packets in plain that left, were kept from "
	 "leaving, came in, were kept out; malformed messages"},
	{"guard.leaked, .plainBeforeEncryption, .leakedInward, .plainInwardBeforeEncryption",
	 "what leaks and plainInward consist of: packets in plain although encryption with their "
	 "node stood, and before it first did"},
	{"guard.method, .devices.device, .stands, .before",
	 "tcx or clsact; where, whether first there, and whose filter last ran before it, or null"},
	{"guard.displaced", "how often such a filter was found, and the guard put first again"},
	{"strict, wire", "podveilStrictMode; xdp where one of the tunnels has it, else socket"},
	{"conflicts", "keys, ranges and addresses that several nodes claim, a text each"},
	{"recordsRefused.node, .reason, .range, .other, .text",
	 "parts of nodes' records that are refused, the first hundred; a range that is empty: a "
	 "key"},
	{"refused", "the setting that is refused, and why, or null"},
	{"failed", "the last attempt to apply records and settings failed"},
	{"http", "where the agent answers over HTTP, as --http has it, or null"},
	{"rights.parts.part, .inForce, .missing",
	 "what the agent gave up of its rights, in six parts; what the system refused, or null"},
	{"rights.capabilities", "those that it kept, or null with --unconfined"},
	{"settings.NAME.value, .from",
	 "what is in force, and from where: default, cluster, node, environment or flag"},
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
			{"SIGTERM, SIGINT", "end"},
			{"SIGUSR1, SIGUSR2",
			 "of agent and device: log more, log less, by one level"},
		},
	  files[] = {
		  {"/run/podveil/", "keys, locks and the agent's socket; mode 0700"},
		  {"/var/run/wireguard/IFNAME.sock", "where wg(8) configures and shows a device"},
		  {"/sys/fs/bpf/podveil/", "the maps of the programs, for bpftool(8)"},
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
	text("Encrypts the traffic between the pods of a cluster's nodes with WireGuard. TC and "
	     "XDP "
	     "programs classify it and hand it to an AF_XDP loop that encrypts in userspace; no "
	     "kernel module is needed.");
	printf("\n.SH SUBCOMMANDS\n");
	for (const struct subcommand *c = subcommands; c->name; c++)
		subcommand(c);
	settings();
	status_document();
	signals_and_files();
	printf(".SH SEE ALSO\n.BR wg (8),\n.BR ip (8),\n.BR bpftool (8),\n.BR tcpdump (8)\n");
	return EXIT_DONE;
}
