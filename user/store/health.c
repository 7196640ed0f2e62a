/* SPDX-License-Identifier: Apache-2.0 */
#include "store/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* health_text() lists at most this many problems: a directory may be full of broken files. */
#define LINES 8

struct health_problem {
	char *subject, *what;
	enum health_extent extent;
	uint64_t since;
	struct health_problem *next; /* oldest first */
};

static struct health_problem **find(struct store_health *h, const char *subject)
{
	struct health_problem **at = &h->problems;

	while (*at && strcmp((*at)->subject, subject) != 0)
		at = &(*at)->next;
	return at;
}

static void count(struct store_health *h)
{
	h->n_problems = 0;
	h->blind = false;
	for (const struct health_problem *t = h->problems; t; t = t->next) {
		h->n_problems++;
		h->blind |= t->extent == HEALTH_BLIND;
	}
}

static void drop(struct health_problem *t)
{
	free(t->subject);
	free(t->what);
	free(t);
}

bool health_set_problem(struct store_health *h, enum health_extent extent, const char *subject,
			const char *what)
{
	struct health_problem **at = find(h, subject), *t = *at;
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

bool health_clear_problem(struct store_health *h, const char *subject)
{
	struct health_problem **at = find(h, subject), *t = *at;

	if (!t)
		return false;
	*at = t->next;
	drop(t);
	count(h);
	return true;
}

uint64_t health_stale_since(const struct store_health *h)
{
	return h->problems ? h->problems->since : 0;
}

char *health_text(const struct store_health *h)
{
	char *text = NULL;
	size_t len, n = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (const struct health_problem *t = h->problems; t && n < LINES; t = t->next, n++)
		fprintf(f, "%s%s: %s", n ? "\n" : "", t->subject, t->what);
	if (h->n_problems > n)
		fprintf(f, "\nand %zu more", h->n_problems - n);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

void health_fini(struct store_health *h)
{
	struct health_problem *next;

	for (struct health_problem *t = h->problems; t; t = next) {
		next = t->next;
		drop(t);
	}
	h->problems = NULL;
	count(h);
}
