/* SPDX-License-Identifier: Apache-2.0 */
#include "store/etcd/etcd_records.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define CALL_MS	     5000
#define ASK_AGAIN_MS 300
#define ASK_TRIES    20
#define RAN_OUT	     "its lease expired: its agent does not reach etcd"

struct etcd_record {
	char *name; /* of the node */
	int64_t lease, revision;
	bool has_key;		  /* the record has a WireGuard key */
	struct rest_call *asking; /* the question whether its lease expired */
	struct event *ask_again;  /* NULL: no question is under way */
	unsigned int tries;
	struct etcd_records *records;
	TAILQ_ENTRY(etcd_record) in_list;
};

static struct etcd_record *find(struct etcd_records *rs, const char *name)
{
	struct etcd_record *record;

	TAILQ_FOREACH (record, &rs->all, in_list)
		if (!strcmp(record->name, name))
			return record;
	return NULL;
}

/* Stops asking: the record is back, or was forgotten. */
static void stop_asking(struct etcd_record *record)
{
	rest_cancel(record->asking);
	record->asking = NULL;
	if (record->ask_again)
		event_free(record->ask_again);
	record->ask_again = NULL;
	record->tries = 0;
}

static void forget(struct etcd_record *record)
{
	TAILQ_REMOVE(&record->records->all, record, in_list);
	stop_asking(record);
	free(record->name);
	free(record);
}

/* --- leases that expired --- */

static void delete_record(struct etcd_record *record)
{
	memory_delete(record->records->place->memory, MEMORY_NODES, record->name);
	forget(record);
}

static void hold_record(struct etcd_record *record)
{
	log_warn(
		"a node's lease expired because its agent does not reach etcd: its last known record stays in force",
		"node=%s", record->name);
	memory_hold(record->records->place->memory, MEMORY_NODES, record->name, RAN_OUT);
	forget(record);
}

static void ask_about_lease(struct etcd_record *record);

static void ask_later(struct etcd_record *record)
{
	const struct timeval wait = {0, ASK_AGAIN_MS * 1000};

	/* If etcd does not answer, hold the record: this leaks nothing. */
	if (++record->tries >= ASK_TRIES || evtimer_add(record->ask_again, &wait))
		hold_record(record);
}

static void on_ask_again(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ask_about_lease(context);
}

/* TTL -1: the lease expired, or its node revoked it. */
static void on_lease_asked(void *context, const struct rest_answer *a)
{
	struct etcd_record *record = context;
	char problem[200];
	json_t *o = etcd_answer(record->records->client, a, problem, sizeof(problem));

	record->asking = NULL;
	if (!o)
		ask_later(record);
	else if (etcd_number(o, "TTL") <= 0)
		hold_record(record);
	else
		delete_record(record);
	json_decref(o);
}

static void ask_about_lease(struct etcd_record *record)
{
	const struct rest_request q = {
		.timeout_ms = CALL_MS, .done = on_lease_asked, .context = record};
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)record->lease);
	record->asking = etcd_start(record->records->client, "/v3/lease/timetolive",
				    json_pack("{s:s}", "ID", id), q);
	if (!record->asking)
		ask_later(record);
}

/* A record without a key is no peer, so it can be forgotten at once. */
static void record_gone(struct etcd_record *record)
{
	if (!record->has_key || !record->lease) {
		delete_record(record);
		return;
	}
	if (record->ask_again)
		return;
	record->ask_again = evtimer_new(record->records->place->base, on_ask_again, record);
	if (record->ask_again)
		ask_about_lease(record);
	else
		hold_record(record);
}

static struct etcd_record *find_or_add(struct etcd_records *rs, const char *name)
{
	struct etcd_record *record = find(rs, name);

	if (record)
		return record;
	record = calloc(1, sizeof(*record));
	if (!record)
		return NULL;
	record->name = strdup(name);
	if (!record->name) {
		free(record);
		return NULL;
	}
	record->records = rs;
	TAILQ_INSERT_TAIL(&rs->all, record, in_list);
	return record;
}

static bool has_key(const struct node_record *r)
{
	static const uint8_t none[32];

	return memcmp(r->key4, none, 32) != 0 || memcmp(r->key6, none, 32) != 0;
}

int etcd_records_put(struct etcd_records *rs, const char *name, const struct etcd_key *at,
		     char *problem, size_t room)
{
	struct etcd_record *record = find(rs, name);
	struct node_record r;
	int err;

	if (record) {
		rs->older |= at->revision < record->revision;
		record->revision = at->revision;
	}
	err = record_parse(at->value, at->len, &r, problem, room);
	if (err)
		return err;
	if (strcmp(r.name, name) != 0) {
		snprintf(problem, room, "name: \"%.80s\" is not the name in the key", r.name);
		record_fini(&r);
		return -EINVAL;
	}
	record = find_or_add(rs, name);
	if (record) {
		record->lease = at->lease;
		record->revision = at->revision;
		record->has_key = has_key(&r);
		stop_asking(record);
		memory_put_node(rs->place->memory, &r);
	}
	record_fini(&r);
	return record ? 0 : -ENOMEM;
}

void etcd_records_gone(struct etcd_records *rs, const char *name)
{
	struct etcd_record *record = find(rs, name);

	if (record)
		record_gone(record);
}

bool etcd_records_missing(void *context, const struct memory_entry *entry)
{
	struct etcd_records *rs = context;
	struct etcd_record *record = find(rs, entry->name);

	if (record && record->has_key && record->lease) {
		record_gone(record);
		return false;
	}
	if (record) {
		forget(record);
		return true;
	}
	if (has_key(&entry->record))
		memory_hold(rs->place->memory, MEMORY_NODES, entry->name, RAN_OUT);
	return !has_key(&entry->record);
}

void etcd_records_init(struct etcd_records *rs, const struct store_place *place,
		       struct etcd_client *client)
{
	rs->place = place;
	rs->client = client;
	TAILQ_INIT(&rs->all);
}

void etcd_records_fini(struct etcd_records *rs)
{
	struct etcd_record *record;

	while ((record = TAILQ_FIRST(&rs->all)))
		forget(record);
}
