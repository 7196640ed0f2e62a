/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the overview of a cluster as a table, from its document. */
#include <string.h>

#include "cli/cluster/overview.h"

#define PAIRS_SHOWN 10
#define COLUMNS	    8

static const char *text_of(const json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));

	return text && *text ? text : "-";
}

static const char *yes_or_no(const json_t *o, const char *member)
{
	return json_is_true(json_object_get(o, member)) ? "yes" : "no";
}

static const char *agent_text(const json_t *agent)
{
	return !json_is_object(agent)			       ? "-"
	       : json_is_true(json_object_get(agent, "ready")) ? "ready"
							       : "not ready";
}

/* The cells of a node's line; their number. The last one has no fixed width. */
static size_t cells_of(const json_t *node, bool wide, const char *cells[COLUMNS])
{
	const json_t *agent = json_object_get(node, "agent");
	size_t n = 0;

	cells[n++] = text_of(node, "name");
	cells[n++] = yes_or_no(node, "encrypts");
	if (wide) {
		cells[n++] = yes_or_no(node, "ipv4");
		cells[n++] = yes_or_no(node, "ipv6");
		cells[n++] = text_of(node, "address");
		cells[n++] = agent_text(agent);
		cells[n++] = text_of(agent, "image");
	}
	cells[n++] = text_of(node, "why");
	return n;
}

static void print_line(const char *const *cells, const size_t *widths, size_t n, const char *paint,
		       const char *end, FILE *f)
{
	fputs(paint, f);
	for (size_t i = 0; i + 1 < n; i++)
		fprintf(f, "%-*s  ", (int)widths[i], cells[i]);
	fprintf(f, "%s%s\n", cells[n - 1], end);
}

static void print_nodes(const json_t *nodes, bool wide, const struct paint *paint, FILE *f)
{
	static const char *const narrow_head[] = {"NODE", "ENCRYPTS", "WHY"};
	static const char *const wide_head[] = {"NODE",	   "ENCRYPTS", "IPV4",	"IPV6",
						"ADDRESS", "AGENT",    "IMAGE", "WHY"};
	const char *const *head = wide ? wide_head : narrow_head;
	const char *cells[COLUMNS];
	size_t widths[COLUMNS], i, n = wide ? 8 : 3;
	const json_t *node;

	for (size_t k = 0; k < n; k++)
		widths[k] = strlen(head[k]);
	json_array_foreach (nodes, i, node) {
		cells_of(node, wide, cells);
		for (size_t k = 0; k < n; k++)
			if (strlen(cells[k]) > widths[k])
				widths[k] = strlen(cells[k]);
	}
	print_line(head, widths, n, "", "", f);
	json_array_foreach (nodes, i, node) {
		const bool good = json_is_true(json_object_get(node, "encrypts"));

		print_line(cells, widths, cells_of(node, wide, cells),
			   good ? paint->good : paint->bad, paint->end, f);
	}
}

static void print_pairs(const json_t *pairs, const struct paint *paint, FILE *f)
{
	const json_int_t all = json_integer_value(json_object_get(pairs, "all"));
	const json_int_t encrypted = json_integer_value(json_object_get(pairs, "encrypted"));
	const json_t *plain = json_object_get(pairs, "plain"), *pair;
	size_t i;

	fprintf(f, "pairs of nodes: %lld of %lld encrypted\n", (long long)encrypted,
		(long long)all);
	json_array_foreach (plain, i, pair) {
		if (i == PAIRS_SHOWN)
			break;
		fprintf(f, "%s  not encrypted: %s and %s (%s)%s\n", paint->bad, text_of(pair, "a"),
			text_of(pair, "b"), text_of(pair, "why"), paint->end);
	}
	if (all - encrypted > PAIRS_SHOWN)
		fprintf(f, "%s  and %lld more%s\n", paint->bad,
			(long long)(all - encrypted - PAIRS_SHOWN), paint->end);
}

/* A value that others wrote: without the control characters that a string may have. */
static void print_value(const json_t *value, FILE *f)
{
	const char *text = json_string_value(value);

	if (text && !text[strcspn(text, "\" \\")] && *text)
		for (; *text; text++)
			fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, f);
	else
		json_dumpf(value, f, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
}

static void print_settings(const json_t *settings, FILE *f)
{
	const char *resource = text_of(settings, "resource"), *name, *member;
	json_t *objects = json_object_get(settings, "objects"), *spec, *value;
	void *next, *next_value;

	if (!json_is_true(json_object_get(settings, "installed")) || !json_object_size(objects))
		fprintf(f, "settings: none in %s: encryption is off\n", resource);
	json_object_foreach_safe(objects, next, name, spec)
	{
		fprintf(f, "settings: %s/%s:", resource, name);
		json_object_foreach_safe(spec, next_value, member, value)
		{
			fprintf(f, " %s=", member);
			print_value(value, f);
		}
		fprintf(f, "%s\n", json_object_size(spec) ? "" : " none");
	}
}

void overview_print(const json_t *document, bool wide, const struct paint *paint, FILE *f)
{
	const json_t *nodes = json_object_get(document, "nodes"), *node, *problem;
	const json_t *problems = json_object_get(document, "problems");
	size_t i, encrypting = 0;

	if (json_array_size(nodes))
		print_nodes(nodes, wide, paint, f);
	json_array_foreach (nodes, i, node)
		encrypting += json_is_true(json_object_get(node, "encrypts"));
	fprintf(f, "\nnodes: %zu of %zu encrypt\n", encrypting, json_array_size(nodes));
	print_pairs(json_object_get(document, "pairs"), paint, f);
	print_settings(json_object_get(document, "settings"), f);
	json_array_foreach (problems, i, problem)
		fprintf(f, "%sproblem: %s%s\n", paint->bad, json_string_value(problem), paint->end);
}
