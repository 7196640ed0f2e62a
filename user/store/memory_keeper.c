/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memory_keeper.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"

/* Settings are written at once. Records wait 20 times as long as the last write took, so that at
 * most about a twentieth of the time is spent on writing. */
#define WRITE_SHARE    20
#define WRITE_AGAIN_MS 5000
#define MISSED_MS      5000

struct memory_keeper {
	char *path;
	const struct memory_content *content;
	struct store_health *health;
	struct event *on_write, *on_missed;
	uint64_t write_ms; /* how long the last write took */
	bool due;
};

static void write_in(struct memory_keeper *k, long ms)
{
	const struct timeval wait = {ms / 1000, ms % 1000 * 1000};

	evtimer_add(k->on_write, &wait);
	k->due = true;
}

static void write_now(struct memory_keeper *k)
{
	const uint64_t begin = clock_now_ms();
	char *text = memory_format(k->content);
	int err = text ? file_write(k->path, 0600, text, strlen(text)) : -ENOMEM;

	free(text);
	k->write_ms = clock_now_ms() - begin;
	k->due = false;
	if (!err) {
		if (health_clear_problem(k->health, k->path))
			log_info("the file of known records can be written again", "file=%s",
				 k->path);
		return;
	}
	if (health_set_problem(k->health, HEALTH_PART, k->path, strerror(-err)))
		log_warn(
			"the known records cannot be saved: the next agent must wait for the store",
			"file=%s errno=%d error=\"%s\"", k->path, -err, strerror(-err));
	write_in(k, WRITE_AGAIN_MS);
}

static void on_write(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	write_now(context);
}

/* Writes the file again if somebody removed it. */
static void on_missed(evutil_socket_t fd, short what, void *context)
{
	struct memory_keeper *k = context;

	(void)fd;
	(void)what;
	if (!k->due && !TAILQ_EMPTY(&k->content->entries) && access(k->path, F_OK))
		write_in(k, 0);
}

void memory_keeper_changed(struct memory_keeper *k, bool now)
{
	if (k && (now || !k->due))
		write_in(k, now ? 0 : k->write_ms * WRITE_SHARE);
}

int memory_keeper_load(const char *path, struct memory_content *out)
{
	char problem[300] = "", *text;
	size_t len;
	int err = file_read(path, MEMORY_MAX_BYTES, &text, &len);

	if (err)
		return err == -ENOENT ? 0 : err;
	err = memory_parse(text, len, out, problem, sizeof(problem));
	free(text);
	if (err)
		log_error(
			"the file of known records is not valid: nothing is known until the store answers",
			"file=%s problem=\"%s\"", path, problem);
	return 0;
}

struct memory_keeper *memory_keeper_new(struct event_base *base, const char *path,
					const struct memory_content *content,
					struct store_health *health)
{
	const struct timeval often = {MISSED_MS / 1000, 0};
	struct memory_keeper *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->content = content;
	k->health = health;
	k->path = strdup(path);
	k->on_write = evtimer_new(base, on_write, k);
	k->on_missed = event_new(base, -1, EV_PERSIST, on_missed, k);
	if (!k->path || !k->on_write || !k->on_missed || event_add(k->on_missed, &often)) {
		memory_keeper_free(k);
		return NULL;
	}
	return k;
}

void memory_keeper_free(struct memory_keeper *k)
{
	if (!k)
		return;
	if (k->due)
		write_now(k);
	if (k->on_write)
		event_free(k->on_write);
	if (k->on_missed)
		event_free(k->on_missed);
	free(k->path);
	free(k);
}
