/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfig files are accepted, or refused with a reason. Streams of an API server give the same
 * objects however they are cut. After objects of any shape, a cluster can be queried and freed, and
 * an overview of it can be printed. */
#include <stdlib.h>
#include <string.h>

#include "cli/cluster/installation.h"
#include "cli/cluster/overview.h"
#include "store/kubernetes/cluster.h"
#include "store/kubernetes/kubeconfig.h"
#include "store/kubernetes/splitter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_node(void *context, const char *name, const struct node_record *r)
{
	(void)context;
	if (node_name_problem(name) || (r && strcmp(r->name, name) != 0))
		abort();
}

static void on_problem(void *context, const char *object, const char *what)
{
	(void)context;
	if (!strchr(object, '/') || !*what)
		abort();
}

struct world {
	struct cluster *cluster;
	struct overview *overview;
	struct installation installation;
	size_t objects, bytes;
};

static void on_object(void *context, const char *text, size_t len)
{
	struct world *w = context;
	json_t *o = json_loadb(text, len, 0, NULL);

	w->objects++;
	w->bytes += len;
	if (w->cluster && json_is_object(o)) {
		const bool gone = json_is_true(json_object_get(o, "gone"));

		for (int kind = w->objects % 2 ? CLUSTER_NODES : CLUSTER_BLOCKS;
		     kind < CLUSTER_KINDS; kind++)
			cluster_object(w->cluster, kind, o, gone);
		/* Sources and confirmations come at any moment. */
		if (w->objects % 3 == 0)
			cluster_use(w->cluster, 1 + w->objects % (ROUTE_SOURCE_COUNT - 1));
		if (w->objects % 5 == 0)
			cluster_confirm_deletions(w->cluster, CLUSTER_CILIUM_NODES);
		overview_node(w->overview, o);
		overview_agent(w->overview, o);
		overview_settings(w->overview, o);
		installation_daemon_set(&w->installation, o);
	}
	json_decref(o);
}

/* All of it can be written as JSON, and no line writes to the terminal's controls. */
static void print_overview(struct overview *o)
{
	static const struct paint paint = {"", "", "", ""};
	json_t *document = overview_document(o, "server", "resource", true);
	char *json = json_dumps(document, 0), *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!json || !f)
		abort();
	overview_print(document, true, &paint, f);
	fclose(f);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 && text[i] != '\n')
			abort();
	free(text);
	free(json);
	json_decref(document);
	overview_free(o);
}

static struct world split(const char *member, const uint8_t *data, size_t size, size_t piece,
			  struct cluster *c, char **rest)
{
	struct world w = {.cluster = c, .overview = overview_new()};
	struct splitter s;
	int err = 0;

	splitter_init(&s, member, on_object, &w);
	for (size_t at = 0; at < size && !err; at += piece)
		err = splitter_feed(&s, (const char *)data + at,
				    size - at < piece ? size - at : piece);
	*rest = strdup(splitter_rest(&s));
	splitter_fini(&s);
	print_overview(w.overview);
	return w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct cluster_events events = {.node = on_node, .problem = on_problem};
	struct credentials as = {.insecure = false};
	char problem[300] = "", *whole, *pieces;
	const char *member = size && data[0] % 2 ? "items" : NULL;
	struct cluster *c = cluster_new(&events);
	struct world a, b;

	if (kubeconfig_parse((const char *)data, size, "/", &as, problem, sizeof(problem))) {
		if (!*problem)
			abort();
	} else {
		credentials_fini(&as);
	}
	if (size) {
		data++;
		size--;
	}
	cluster_use(c, ROUTE_SOURCE_CALICO_IPAM);
	for (int kind = 0; kind < CLUSTER_KINDS; kind++) {
		cluster_list_begin(c, kind);
		cluster_list_end(c, kind, true);
	}
	a = split(member, data, size, size ? size : 1, c, &whole);
	for (int kind = CLUSTER_BLOCKS; kind < CLUSTER_KINDS; kind++) {
		cluster_list_begin(c, kind);
		cluster_list_end(c, kind, true);
	}
	b = split(member, data, size, 1 + size / 7, NULL, &pieces);
	if (a.objects != b.objects || a.bytes != b.bytes || strcmp(whole, pieces) != 0)
		abort();
	free(whole);
	free(pieces);
	cluster_free(c);
	return 0;
}
