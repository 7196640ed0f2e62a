/* SPDX-License-Identifier: Apache-2.0 */
#include "store/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A directory full of broken files is told by its first ones. */
#define LINES 8

struct health_trouble {
	char *subject, *what;
	enum health_extent extent;
	uint64_t since;
	struct health_trouble *next; /* the oldest first */
};

static struct health_trouble **find(struct store_health *h, const char *subject)
{
	struct health_trouble **at = &h->troubles;

	while (*at && strcmp((*at)->subject, subject) != 0)
		at = &(*at)->next;
	return at;
}

static void count(struct store_health *h)
{
	h->n_troubles = 0;
	h->blind = false;
	for (const struct health_trouble *t = h->troubles; t; t = t->next) {
		h->n_troubles++;
		h->blind |= t->extent == HEALTH_BLIND;
	}
}

static void drop(struct health_trouble *t)
{
	free(t->subject);
	free(t->what);
	free(t);
}

bool health_trouble(struct store_health *h, enum health_extent extent, const char *subject,
		    const char *what)
{
	struct health_trouble **at = find(h, subject), *t = *at;
	char *text = strdup(what);
	bool news;

	h->errors++;
	snprintf(h->last_error, sizeof(h->last_error), "%.300s: %.200s", subject, what);
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (t)
			t->subject = strdup(subject);
		if (!t || !t->subject || !text) {
			if (t)
				drop(t);
			free(text);
			return true;
		}
		t->since = (uint64_t)time(NULL);
		*at = t;
	}
	news = !t->what || !text || strcmp(t->what, text) != 0;
	if (text) {
		free(t->what);
		t->what = text;
	}
	t->extent = extent;
	count(h);
	return news;
}

bool health_well(struct store_health *h, const char *subject)
{
	struct health_trouble **at = find(h, subject), *t = *at;

	if (!t)
		return false;
	*at = t->next;
	drop(t);
	count(h);
	return true;
}

uint64_t health_stale_since(const struct store_health *h)
{
	return h->troubles ? h->troubles->since : 0;
}

char *health_text(const struct store_health *h)
{
	char *text = NULL;
	size_t len, n = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (const struct health_trouble *t = h->troubles; t && n < LINES; t = t->next, n++)
		fprintf(f, "%s%s: %s", n ? "\n" : "", t->subject, t->what);
	if (h->n_troubles > n)
		fprintf(f, "\nand %zu more", h->n_troubles - n);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

void health_fini(struct store_health *h)
{
	struct health_trouble *next;

	for (struct health_trouble *t = h->troubles; t; t = next) {
		next = t->next;
		drop(t);
	}
	h->troubles = NULL;
	count(h);
}
