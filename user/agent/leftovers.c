/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "device/device.h"
#include "device/wg/wg_socket.h"
#include "netlink/our_routes.h"
#include "programs/pins.h"
#include "strict/exit_filters.h"
#include "strict/first_line.h"
#include "strict/ip_filter.h"
#include "tunnel/pair.h"
#include "tunnel/source_check.h"

#define STATE_DIRECTORY "/run/podveil"

static const int families[] = {AF_INET, AF_INET6};

#define N_FAMILIES (sizeof(families) / sizeof(*families))

/* Walks through everything, and lists or removes each thing that is not wanted. */
struct walk {
	const struct leftovers_wanted *wanted;
	FILE *list; /* NULL: remove */
	int err;
};

static void outcome(struct walk *w, int err, const char *what, const char *which)
{
	if (!err)
		return;
	log_warn("a leftover of an agent could not be removed",
		 "what=\"%s %s\" errno=%d error=\"%s\"", what, which, -err, strerror(-err));
	w->err = w->err ? w->err : err;
}

/* --- rules, routes, devices --- */

static void rules(struct walk *w, size_t family)
{
	const struct leftovers_wanted *wanted = w->wanted;
	struct our_rule *all;
	size_t n;
	char text[64];

	outcome(w, our_rules(families[family], &all, &n), "rules", "(cannot be read)");
	for (size_t i = 0; i < n; i++) {
		if (all[i].table == FIRST_LINE_TABLE
			    ? wanted->first_line
			    : wanted->tunnel[family] &&
				      (wanted->others || (all[i].priority == wanted->priority &&
							  all[i].table == wanted->table)))
			continue;
		snprintf(text, sizeof(text), "%u lookup %u (%s)", all[i].priority, all[i].table,
			 family ? "IPv6" : "IPv4");
		if (w->list)
			fprintf(w->list, "rule %s\n", text);
		else
			outcome(w, our_rule_delete(&all[i]), "rule", text);
	}
	free(all);
}

static void routes(struct walk *w, size_t family)
{
	const struct leftovers_wanted *wanted = w->wanted;
	struct our_route *all;
	size_t n;
	char text[OUR_ROUTE_TEXT];

	outcome(w, our_routes(families[family], pair_tunnel(families[family]), &all, &n), "routes",
		"(cannot be read)");
	for (size_t i = 0; i < n; i++) {
		if (all[i].table == FIRST_LINE_TABLE
			    ? wanted->first_line
			    : wanted->tunnel[family] &&
				      (wanted->others || all[i].table == wanted->table))
			continue;
		our_route_text(&all[i], text);
		if (w->list)
			fprintf(w->list, "route %s\n", text);
		else
			outcome(w, our_route_delete(&all[i]), "route", text);
	}
	free(all);
}

static void device(struct walk *w, size_t family)
{
	struct link_info tunnel, inner;

	if (w->wanted->tunnel[family] || pair_find(families[family], &tunnel, &inner))
		return;
	if (w->list)
		fprintf(w->list, "device %s, %s\n", inner.name,
			tunnel.ifindex ? tunnel.name : "its other end in another namespace");
	else
		outcome(w, link_delete(inner.ifindex), "device", inner.name);
	if (!w->list && tunnel.ifindex && !device_is_served(tunnel.name))
		wg_socket_remove(tunnel.name);
}

/* --- things with the name of a tunnel device --- */

/* Did a dead agent leave this name? True if no process serves it and no device of others has it. */
static bool is_left(const struct walk *w, const char *name)
{
	struct link_info there, tunnel, inner;

	for (size_t i = 0; i < N_FAMILIES; i++)
		if (w->wanted->tunnel[i] && !strcmp(name, w->wanted->name[i]))
			return false;
	if (device_is_served(name))
		return false;
	if (link_get(name, &there))
		return true;
	for (size_t i = 0; i < N_FAMILIES; i++)
		if (!pair_find(families[i], &tunnel, &inner) && tunnel.ifindex == there.ifindex)
			return true;
	return false;
}

static void pins(const char *name, void *context)
{
	struct walk *w = context;

	if (!strcmp(name, "guard") || !is_left(w, name))
		return;
	if (w->list)
		fprintf(w->list, "pins %s\n", name);
	else
		pins_remove(name);
}

static bool has_suffix(const char *name, const char *suffix)
{
	const size_t n = strlen(name), s = strlen(suffix);

	return n > s && !strcmp(name + n - s, suffix);
}

/* A lock file that no process holds, and the wg(8) socket of the same name. */
static void lock(struct walk *w, int directory, const char *file)
{
	char name[256];

	snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(".lock")), file);
	if (!strcmp(file, "agent.lock") || !is_left(w, name))
		return;
	if (w->list) {
		fprintf(w->list, "lock %s\n", name);
		return;
	}
	wg_socket_remove(name);
	outcome(w, unlinkat(directory, file, 0) ? -errno : 0, "file", file);
}

/* --- files --- */

static void state_file(struct walk *w, int directory, const char *file)
{
	if (w->wanted->files)
		return;
	if (w->list)
		fprintf(w->list, "file " STATE_DIRECTORY "/%s\n", file);
	else if (unlinkat(directory, file, 0) && errno == EISDIR)
		outcome(w, unlinkat(directory, file, AT_REMOVEDIR) ? -errno : 0, "file", file);
}

/* The socket by which another process takes over a device, if no process serves it. */
static void handover_socket(struct walk *w, int directory, const char *file)
{
	char name[256];

	snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(".handover")), file);
	if (is_left(w, name))
		state_file(w, directory, file);
}

static void files(struct walk *w)
{
	DIR *d = opendir(STATE_DIRECTORY);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (has_suffix(e->d_name, ".lock"))
			lock(w, dirfd(d), e->d_name);
		else if (has_suffix(e->d_name, ".handover"))
			handover_socket(w, dirfd(d), e->d_name);
		else if (e->d_name[0] != '.')
			state_file(w, dirfd(d), e->d_name);
	if (d)
		closedir(d);
}

/* --- the lines of strict mode --- */

static void nftables(struct walk *w)
{
	if (w->wanted->first_line || !ip_filter_exists())
		return;
	if (w->list)
		fprintf(w->list, "nftables table inet podveil\n");
	else
		outcome(w, ip_filter_remove(), "nftables table", "inet podveil");
}

static void guard(struct walk *w)
{
	if (w->wanted->guard)
		return;
	if (w->list)
		exit_filters_list(w->list);
	else
		outcome(w, exit_filters_cleanup(), "guard and shield", "(on some device)");
}

/* --- the whole --- */

static void walk(struct walk *w)
{
	for (size_t i = 0; i < N_FAMILIES; i++) {
		rules(w, i);
		routes(w, i);
		device(w, i);
	}
	pins_each(pins, w);
	nftables(w);
	guard(w);
	files(w);
}

int leftovers_remove(const struct leftovers_wanted *wanted)
{
	struct walk w = {.wanted = wanted};

	/* This comes first, because it reads one of the files. */
	if (!wanted->files)
		source_check_by_mark(false);
	walk(&w);
	return w.err;
}

/* Lists everything that is not wanted, one line each. Allocated; empty: nothing. NULL: no
 * memory. */
static char *list(const struct leftovers_wanted *wanted)
{
	char *text = NULL;
	size_t len;
	struct walk w = {.wanted = wanted, .list = open_memstream(&text, &len)};

	if (!w.list)
		return NULL;
	walk(&w);
	if (fclose(w.list)) {
		free(text);
		return NULL;
	}
	return text;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; text && *text; text++)
		n += *text == '\n';
	return n;
}

int leftovers_clear(struct leftovers_remains *r)
{
	const struct leftovers_wanted nothing = {.guard = false};
	char *before = list(&nothing);
	int err = leftovers_remove(&nothing);

	r->found = count_lines(before);
	r->remaining = list(&nothing);
	free(before);
	if (!r->remaining)
		return -ENOMEM;
	return !*r->remaining ? 0 : err ? err : -EBUSY;
}
