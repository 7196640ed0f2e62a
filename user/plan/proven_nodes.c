/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/proven_nodes.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/files.h"

#define MAX_BYTES (64u << 20)

static int by_name(const void *name, const void *proven_node)
{
	return strcmp(name, (*(struct proven_node *const *)proven_node)->name);
}

struct proven_node *proven_nodes_find(const struct proven_nodes *h, const char *name)
{
	struct proven_node **found =
		h->n ? bsearch(name, h->all, h->n, sizeof(*h->all), by_name) : NULL;

	return found ? *found : NULL;
}

static void drop(struct proven_node *h)
{
	if (!h)
		return;
	for (int f = 0; f < REGISTRY_FAMILIES; f++)
		free(h->proofs[f].ranges);
	free(h);
}

static struct proven_node *make(const char *name)
{
	struct proven_node *h = calloc(1, sizeof(*h));

	if (h)
		snprintf(h->name, sizeof(h->name), "%s", name);
	return h;
}

static bool has_proof(const struct proven_node *h)
{
	return h->proofs[REGISTRY_IPV4].order || h->proofs[REGISTRY_IPV6].order;
}

int proven_nodes_follow(struct proven_nodes *h, const struct node_record *const *nodes, size_t n)
{
	struct proven_node **all = calloc(n ? n : 1, sizeof(*all));
	size_t old = 0;

	for (size_t i = 0; all && i < n; i++) {
		struct proven_node *there = proven_nodes_find(h, nodes[i]->name);

		all[i] = there ? there : make(nodes[i]->name);
		if (all[i])
			continue;
		/* No memory: free only the new entries, and keep the old ones. */
		while (i--)
			if (!proven_nodes_find(h, all[i]->name))
				drop(all[i]);
		free(all);
		all = NULL;
	}
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; old < h->n; old++) {
		while (i < n && strcmp(all[i]->name, h->all[old]->name) < 0)
			i++;
		if (i < n && all[i] == h->all[old])
			continue;
		h->changed |= has_proof(h->all[old]);
		drop(h->all[old]);
	}
	free(h->all);
	h->all = all;
	h->n = n;
	return 0;
}

void proven_nodes_fini(struct proven_nodes *h)
{
	for (size_t i = 0; i < h->n; i++)
		drop(h->all[i]);
	free(h->all);
	*h = (struct proven_nodes){.all = NULL};
}

bool proof_covers(const struct proof *p, const struct cidr *range)
{
	for (size_t i = 0; p->order && i < p->n_ranges; i++)
		if (cidr_contains(&p->ranges[i], range))
			return true;
	return false;
}

int proof_add(struct proof *p, const struct cidr *range)
{
	if (ARRAY_GROW(p->ranges, p->n_ranges, p->room))
		return -ENOMEM;
	p->ranges[p->n_ranges++] = *range;
	return 0;
}

/* --- the file: a list of records, each with what its node proved --- */

static int take(struct proven_nodes *h, const struct node_record *r)
{
	struct proven_node *to = proven_nodes_find(h, r->name);
	int err = 0;

	for (size_t i = 0; i < r->n_pod_cidrs && !err; i++)
		err = proof_add(&to->proofs[r->pod_cidrs[i].family == AF_INET6], &r->pod_cidrs[i]);
	for (int f = 0; f < REGISTRY_FAMILIES; f++) {
		struct proof *p = &to->proofs[f];
		const uint8_t *key = f == REGISTRY_IPV4 ? r->key4 : r->key6;

		memcpy(p->key, key, sizeof(p->key));
		p->address = f == REGISTRY_IPV4 ? r->address4 : r->address6;
		if (p->n_ranges || !sodium_is_zero(key, sizeof(p->key)))
			p->order = ++h->last_order;
	}
	return err;
}

static int by_record_name(const void *a, const void *b)
{
	return strcmp((*(struct node_record *const *)a)->name,
		      (*(struct node_record *const *)b)->name);
}

static int parse_one(const json_t *o, struct node_record *out)
{
	char problem[200], *text = json_dumps(o, JSON_COMPACT);
	int err = text ? record_parse(text, strlen(text), out, problem, sizeof(problem)) : -ENOMEM;

	free(text);
	return err;
}

static int parse(struct proven_nodes *h, const json_t *list)
{
	const size_t n = json_array_size(list);
	struct node_record *records = calloc(n ? n : 1, sizeof(*records));
	const struct node_record **sorted = calloc(n ? n : 1, sizeof(*sorted));
	size_t parsed = 0;
	int err = records && sorted ? 0 : -ENOMEM;

	for (; parsed < n && !err; parsed++) {
		err = parse_one(json_array_get(list, parsed), &records[parsed]);
		sorted[parsed] = &records[parsed];
	}
	if (!err && n)
		qsort(sorted, n, sizeof(*sorted), by_record_name);
	for (size_t i = 1; i < n && !err; i++)
		if (!by_record_name(&sorted[i - 1], &sorted[i]))
			err = -EINVAL;
	if (!err)
		err = proven_nodes_follow(h, sorted, n);
	for (size_t i = 0; i < n && !err; i++)
		err = take(h, sorted[i]);
	for (size_t i = 0; i < parsed; i++)
		record_fini(&records[i]);
	free(records);
	free(sorted);
	return err;
}

int proven_nodes_load(struct proven_nodes *h, const char *file)
{
	char *text = NULL;
	json_t *list;
	size_t len;
	int err = file_read(file, MAX_BYTES, &text, &len);

	if (err)
		return err;
	list = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	err = json_is_array(list) ? parse(h, list) : -EINVAL;
	json_decref(list);
	free(text);
	if (err)
		proven_nodes_fini(h);
	return err;
}

static char *format_one(const struct proven_node *h)
{
	const struct proof *v4 = &h->proofs[REGISTRY_IPV4], *v6 = &h->proofs[REGISTRY_IPV6];
	struct node_record r = {.address4 = v4->address, .address6 = v6->address};
	char *text = NULL;

	snprintf(r.name, sizeof(r.name), "%s", h->name);
	memcpy(r.key4, v4->key, sizeof(r.key4));
	memcpy(r.key6, v6->key, sizeof(r.key6));
	r.pod_cidrs = calloc(v4->n_ranges + v6->n_ranges + 1, sizeof(*r.pod_cidrs));
	for (int f = 0; r.pod_cidrs && f < REGISTRY_FAMILIES; f++)
		for (size_t i = 0; i < h->proofs[f].n_ranges; i++)
			r.pod_cidrs[r.n_pod_cidrs++] = h->proofs[f].ranges[i];
	if (r.pod_cidrs)
		text = record_format(&r);
	record_fini(&r);
	return text;
}

int proven_nodes_save(struct proven_nodes *h, const char *file)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	const char *separator = "";
	int err = f ? 0 : -ENOMEM;

	if (f)
		fputs("[\n", f);
	for (size_t i = 0; i < h->n && !err; i++) {
		char *one = has_proof(h->all[i]) ? format_one(h->all[i]) : NULL;

		if (one)
			fprintf(f, "%s%s", separator, one);
		else if (has_proof(h->all[i]))
			err = -ENOMEM;
		if (one)
			separator = ",";
		free(one);
	}
	if (f) {
		fputs("]\n", f);
		if (fclose(f))
			err = -ENOMEM;
	}
	if (!err)
		err = file_write(file, 0600, text, len);
	free(text);
	h->changed &= err != 0;
	return err;
}
