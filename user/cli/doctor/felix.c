/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor/felix.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/doctor/felix_traces.h"

#define MAX_BYTES (256u << 10)

/* What Felix takes where nothing is set. */
#define DEFAULT_RANGES "1-250"
#define DEFAULT_NAME4  "wireguard.cali"
#define DEFAULT_NAME6  "wg-v6.cali"

/* A file of /proc: strings, each with its terminating zero. Allocated; NULL: it cannot be read. */
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

/* "2-250,300-400" */
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

/* Felix touches a device of its own WireGuard's name, and rules to its tables. */
static enum felix judge(const char *all, size_t len, const struct settings *s, FILE *out)
{
	const char *interface4 = variable(all, len, "FELIX_WIREGUARDINTERFACENAME");
	const char *interface6 = variable(all, len, "FELIX_WIREGUARDINTERFACENAMEV6");
	const char *ranges = variable(all, len, "FELIX_ROUTETABLERANGES");
	const bool table = contains(ranges ? ranges : DEFAULT_RANGES, s->route_table);
	const bool like4 = !strcmp(DEFAULT_NAME4, s->interface4);
	const bool like6 = !strcmp(DEFAULT_NAME6, s->interface6);

	/* With names of our own, its WireGuard is nothing to us, and off unless somebody wants it. */
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
	return ftell(out) ? FELIX_IN_THE_WAY : FELIX_APART;
}

/* Its process is not to be seen from here, nor what it was told. */
static enum felix judge_traces(const char *trace, const struct settings *s, char *found,
			       size_t room)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);
	enum felix verdict = FELIX_UNKNOWN;

	if (out) {
		if (judge("", 0, s, out) == FELIX_APART)
			verdict = FELIX_APART;
		fclose(out);
	}
	if (verdict == FELIX_APART)
		snprintf(found, room, "there (%s), keeps apart", trace);
	else
		snprintf(found, room, "there (%s), its environment is not to be seen from here",
			 trace);
	free(text);
	return verdict;
}

enum felix felix_look(const char *proc, const struct settings *s, char *found, size_t room)
{
	enum felix verdict = FELIX_ABSENT;
	DIR *d = opendir(proc);
	struct dirent *e;
	char trace[64];

	snprintf(found, room, "none on this machine");
	while (d && verdict == FELIX_ABSENT && (e = readdir(d))) {
		char *all, *text = NULL;
		size_t len = 0, n;
		FILE *out;

		if (!isdigit((unsigned char)e->d_name[0]) || !is_felix(proc, e->d_name))
			continue;
		all = strings(proc, e->d_name, "environ", &len);
		out = open_memstream(&text, &n);
		if (out) {
			verdict = judge(all ? all : "", len, s, out);
			fclose(out);
			snprintf(found, room, "%s", verdict == FELIX_APART ? "keeps apart" : text);
		}
		free(text);
		free(all);
	}
	if (d)
		closedir(d);
	if (verdict == FELIX_ABSENT && felix_traces(trace, sizeof(trace)))
		verdict = judge_traces(trace, s, found, room);
	return verdict;
}
