/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor/felix.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/key_text.h"
#include "cli/doctor/felix_objects.h"
#include "cli/doctor/felix_traces.h"
#include "netlink/link.h"
#include "netlink/wireguard.h"
#include "tunnel/takeover.h"

#define MAX_BYTES (256u << 10)

/* Felix's defaults. */
#define DEFAULT_RANGES "1-250"
#define DEFAULT_NAME4  "wireguard.cali"
#define DEFAULT_NAME6  "wg-v6.cali"

#define FELIX_OFF                                                                                  \
	"kubectl patch felixconfiguration default --type=merge -p '{\"spec\":{\"wireguardEnabled\":false}}'"

/* Reads a file in /proc: strings, each with a zero at its end. The caller frees it. NULL: cannot be
 * read. */
static char *strings(const char *proc, const char *pid, const char *file, size_t *len)
{
	char path[PATH_MAX], *text;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", proc, pid, file);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	text = malloc(MAX_BYTES + 1);
	*len = text ? fread(text, 1, MAX_BYTES, f) : 0;
	fclose(f);
	if (text)
		text[*len] = 0;
	return text;
}

static bool is_felix(const char *proc, const char *pid)
{
	size_t len;
	char *line = strings(proc, pid, "cmdline", &len);
	const char *name = line ? strrchr(line, '/') : NULL;
	bool felix = false;

	if (!line)
		return false;
	name = name ? name + 1 : line;
	if (!strcmp(name, "calico-felix"))
		felix = true;
	else if (!strcmp(name, "calico-node"))
		for (const char *at = line; at < line + len; at += strlen(at) + 1)
			felix |= !strcmp(at, "-felix") || !strcmp(at, "--felix");
	free(line);
	return felix;
}

static const char *variable(const char *all, size_t len, const char *name)
{
	const size_t n = strlen(name);

	for (const char *at = all; at < all + len; at += strlen(at) + 1)
		if (!strncmp(at, name, n) && at[n] == '=')
			return at + n + 1;
	return NULL;
}

static bool is_off(const char *value)
{
	static const char *const words[] = {"false", "0", "no", "n", "f"};

	for (size_t i = 0; value && i < sizeof(words) / sizeof(*words); i++)
		if (!strcasecmp(value, words[i]))
			return true;
	return false;
}

/* Is the table in ranges such as "2-250,300-400"? */
static bool contains(const char *ranges, unsigned long table)
{
	while (ranges && *ranges) {
		char *end;
		const unsigned long from = strtoul(ranges, &end, 10);
		const unsigned long to = *end == '-' ? strtoul(end + 1, &end, 10) : from;

		if (table >= from && table <= to)
			return true;
		while (*end && !isdigit((unsigned char)*end))
			end++;
		ranges = end;
	}
	return false;
}

static void want(FILE *out, const char *assignment)
{
	fprintf(out, "%s%s", ftell(out) ? " " : "", assignment);
}

/* Felix changes the device with its WireGuard's name, and rules to its routing tables. Writes the
 * assignments that its environment needs. Writes nothing if Felix does not disturb us. */
static void judge(const char *all, size_t len, const struct settings *s, FILE *out)
{
	const char *interface4 = variable(all, len, "FELIX_WIREGUARDINTERFACENAME");
	const char *interface6 = variable(all, len, "FELIX_WIREGUARDINTERFACENAMEV6");
	const char *ranges = variable(all, len, "FELIX_ROUTETABLERANGES");
	const bool table = contains(ranges ? ranges : DEFAULT_RANGES, s->route_table);
	const bool like4 = !strcmp(DEFAULT_NAME4, s->interface4);
	const bool like6 = !strcmp(DEFAULT_NAME6, s->interface6);

	/* If we use other names, its WireGuard does not disturb us; it is off by default. */
	if ((like4 || table) && !is_off(variable(all, len, "FELIX_WIREGUARDENABLED")))
		want(out, "FELIX_WIREGUARDENABLED=false");
	if ((like6 || table) && !is_off(variable(all, len, "FELIX_WIREGUARDENABLEDV6")))
		want(out, "FELIX_WIREGUARDENABLEDV6=false");
	if (!strcmp(interface4 ? interface4 : DEFAULT_NAME4, s->interface4))
		want(out, "FELIX_WIREGUARDINTERFACENAME=felix-wg.off");
	if (!strcmp(interface6 ? interface6 : DEFAULT_NAME6, s->interface6))
		want(out, "FELIX_WIREGUARDINTERFACENAMEV6=felix-wg6.off");
	if (table)
		want(out, "FELIX_ROUTETABLERANGES=2-250");
}

/* --- is Felix here? --- */

struct sight {
	bool process;	 /* its process was found; else only traces */
	char trace[96];	 /* how it was found; empty: it is not here */
	char lacks[200]; /* variables that it needs in its environment */
	struct felix_objects objects;
};

static void judge_environment(const char *all, size_t len, const struct settings *s,
			      struct sight *out)
{
	FILE *text = fmemopen(out->lacks, sizeof(out->lacks), "w");

	if (!text)
		return;
	judge(all, len, s, text);
	fclose(text);
}

static void look_for_process(const char *proc, const struct settings *s, struct sight *out)
{
	DIR *d = opendir(proc);
	struct dirent *e;

	while (d && !out->process && (e = readdir(d))) {
		size_t len = 0;
		char *all;

		if (!isdigit((unsigned char)e->d_name[0]) || !is_felix(proc, e->d_name))
			continue;
		all = strings(proc, e->d_name, "environ", &len);
		out->process = true;
		snprintf(out->trace, sizeof(out->trace), "process %.20s", e->d_name);
		judge_environment(all ? all : "", len, s, out);
		free(all);
	}
	if (d)
		closedir(d);
}

static void look_for_it(const char *proc, const struct settings *s, struct sight *out)
{
	memset(out, 0, sizeof(*out));
	felix_objects_read(&out->objects);
	look_for_process(proc, s, out);
	if (out->process)
		return;
	judge_environment("", 0, s, out);
	if (!felix_traces(out->trace, sizeof(out->trace)) && *out->objects.annotation)
		snprintf(out->trace, sizeof(out->trace), "annotation %s, maybe an old one",
			 out->objects.annotation);
}

/* --- its WireGuard --- */

enum wireguard {
	WIREGUARD_OFF,
	WIREGUARD_ON,	     /* its key is in the Node, or the Node is unknown */
	WIREGUARD_ABANDONED, /* the device exists, but its key is not in the Node */
};

/* Felix's device is the kernel's WireGuard with a mark. The bit of the mark depends on Felix's
 * version. */
static enum wireguard look_at_wireguard(const char *name, const char *published, bool asked)
{
	struct wireguard_info info;
	struct link_info link;
	char key[KEY_TEXT];
	bool is_one;

	if (link_get(name, &link) || strcmp(link.kind, "wireguard"))
		return WIREGUARD_OFF;
	is_one = !wireguard_get(link.ifindex, &info) && info.fwmark;
	key_format(info.public_key, key);
	sodium_memzero(&info, sizeof(info));
	if (!is_one)
		return WIREGUARD_OFF;
	return !asked || !strcmp(key, published) ? WIREGUARD_ON : WIREGUARD_ABANDONED;
}

static const char *wireguard_name(const struct felix_objects *o, bool v6)
{
	const char *told = v6 ? o->interface6 : o->interface4;

	return *told ? told : v6 ? DEFAULT_NAME6 : DEFAULT_NAME4;
}

/* --- the effect on us --- */

static void is_on(const char *name, const struct settings *s, struct felix_seen *out)
{
	const bool same = !strcmp(name, s->interface4) || !strcmp(name, s->interface6);
	const size_t used = strlen(out->found);

	out->verdict = FELIX_WORTH_A_LOOK;
	out->todo = same ? FELIX_PATCH : FELIX_OFF;
	snprintf(out->found + used, sizeof(out->found) - used, "its WireGuard is on (%s): %s", name,
		 same ? "the agent does not touch it, and waits"
		      : "if both encrypt, packets use Podveil's tunnel");
}

static void is_abandoned(const char *name, const struct settings *s, struct felix_seen *out)
{
	const bool v6 = !strcmp(name, s->interface6);
	const bool taken = v6 ? s->enabled6 : s->enabled4 && !strcmp(name, s->interface4);
	const size_t used = strlen(out->found);

	out->verdict = taken ? FELIX_WORTH_A_LOOK : FELIX_IN_THE_WAY;
	out->todo = taken ? "kubectl apply -k deploy/kubernetes/calico"
			  : "ip link delete wireguard.cali (or the name of that device)";
	snprintf(out->found + used, sizeof(out->found) - used,
		 "its WireGuard is abandoned (device %s, its key is not in the Node): %s", name,
		 taken ? "the agent takes it over, with its key"
		       : "no node can decrypt what goes through it");
}

static void is_off_now(const struct sight *seen, struct felix_seen *out)
{
	const size_t used = strlen(out->found);
	const size_t room = sizeof(out->found) - used;
	char *text = out->found + used;
	const struct felix_objects *o = &seen->objects;

	out->verdict = !*seen->lacks   ? FELIX_APART
		       : seen->process ? FELIX_IN_THE_WAY
				       : FELIX_WORTH_A_LOOK;
	if (!*seen->lacks)
		snprintf(text, room, "its WireGuard is off, and it leaves ours alone");
	else if (seen->process)
		snprintf(text, room, "lacks %s", seen->lacks);
	else
		snprintf(
			text, room,
			"its WireGuard is off%s; its environment is not visible from here: if calico-node is not patched, Felix deletes our device",
			o->enabled4 || o->enabled6 ? ", though FelixConfiguration enables it" : "");
	if (*seen->lacks)
		out->todo = FELIX_PATCH;
}

void felix_detect(const char *proc, const struct settings *s, struct felix_seen *out)
{
	struct sight seen;

	*out = (struct felix_seen){.verdict = FELIX_ABSENT, .found = "none on this machine"};
	look_for_it(proc, s, &seen);
	if (*seen.trace)
		snprintf(out->found, sizeof(out->found), "here (%s): ", seen.trace);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct felix_objects *o = &seen.objects;
		const char *name = wireguard_name(o, v6);
		const enum wireguard state =
			look_at_wireguard(name, v6 ? o->key6 : o->key4, o->node);

		if (state == WIREGUARD_OFF)
			continue;
		if (!*seen.trace)
			snprintf(out->found, sizeof(out->found), "here (device %s): ", name);
		if (state == WIREGUARD_ON)
			is_on(name, s, out);
		else
			is_abandoned(name, s, out);
		return;
	}
	if (*seen.trace)
		is_off_now(&seen, out);
}
