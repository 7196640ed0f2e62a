/* SPDX-License-Identifier: Apache-2.0 */
#include "handover/record_check.h"

#include <stdlib.h>
#include <string.h>

#include "handover/record.h"
#include "podveil/maps.h"

/* What must differ between the peers of a device, in one array to sort. */
struct unique {
	uint8_t bytes[KEY_SIZE];
};

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct unique));
}

static bool all_differ(struct unique *list, size_t n)
{
	qsort(list, n, sizeof(*list), compare);
	for (size_t i = 1; i < n; i++)
		if (!compare(&list[i - 1], &list[i]))
			return false;
	return true;
}

static bool slots_and_keys_differ(const struct record_device *d)
{
	struct unique *list = calloc(d->n_peers ? d->n_peers : 1, sizeof(*list));
	bool differ = list;

	for (uint32_t i = 0; differ && i < d->n_peers; i++)
		memcpy(list[i].bytes, d->peers[i].public_key, KEY_SIZE);
	differ = differ && all_differ(list, d->n_peers);
	for (uint32_t i = 0; differ && i < d->n_peers; i++) {
		memset(&list[i], 0, sizeof(list[i]));
		memcpy(list[i].bytes, &d->peers[i].slot, sizeof(d->peers[i].slot));
	}
	differ = differ && all_differ(list, d->n_peers);
	free(list);
	return differ;
}

/* Local indices of sessions and of initiations under way. */
static bool indices_differ(const struct record_device *d)
{
	const size_t each = RECORD_SESSIONS + 1;
	struct unique *list = calloc(d->n_peers ? d->n_peers * each : 1, sizeof(*list));
	size_t n = 0;
	bool differ;

	if (!list)
		return false;
	for (uint32_t i = 0; i < d->n_peers; i++) {
		const struct record_state *s = d->peers[i].state;

		for (size_t k = 0; s && k < RECORD_SESSIONS; k++)
			if (s->sessions[k].present)
				memcpy(list[n++].bytes, &s->sessions[k].local_index, 4);
		if (s && s->initiation_pending)
			memcpy(list[n++].bytes, &s->pending_index, 4);
	}
	differ = all_differ(list, n);
	free(list);
	return differ;
}

static const char *check_session(const struct record_session *s)
{
	if (!s->present)
		return NULL;
	if (s->trust > KEYPAIR_WITHDRAWN)
		return "a session's state is none";
	if (s->replay.next > REJECT_AFTER_MESSAGES)
		return "a session received more messages than there can be";
	return NULL;
}

static const char *check_peer(const struct record_device *d, const struct record_peer *p)
{
	const char *problem = NULL;

	if (p->slot >= d->n_slots)
		return "a peer's slot is none";
	if (p->generation != d->generations[p->slot])
		return "a peer's generation is not that of its slot";
	for (uint32_t i = 0; i < p->n_allowed; i++)
		if (p->allowed[i].prefix_len > (p->allowed[i].family == AF_INET ? 32 : 128))
			return "an allowed IP is too long";
	if (p->state && p->state->handshake.state > NOISE_RESPONSE_RECEIVED)
		return "a handshake's state is none";
	for (size_t i = 0; p->state && i < RECORD_SESSIONS && !problem; i++)
		problem = check_session(&p->state->sessions[i]);
	return problem;
}

static const char *check_workers(const struct record_device *d)
{
	if (!d->n_workers || d->n_workers > d->room || d->room > d->queues ||
	    d->queues > PV_MAX_QUEUES || d->first_queue + d->n_workers > d->queues)
		return "the workers do not fit the queues";
	for (uint32_t i = 0; i < d->n_workers; i++) {
		if (d->workers[i].has_queue && !d->uplink_open)
			return "a worker has a queue of no uplink";
		if (i && d->workers[i].has_queue && !d->workers[i - 1].has_queue)
			return "the queues of the uplink are not those of the first workers";
		if (d->workers[i].has_udp4 != d->up || (d->workers[i].has_udp6 && !d->up))
			return "UDP sockets do not fit whether the device is up";
		for (uint32_t k = 0; k < d->workers[i].n_staged; k++)
			if (!d->workers[i].staged[k].n_frames)
				return "a staged packet is empty";
	}
	return NULL;
}

static const char *check_device(const struct record_device *d)
{
	const char *problem = check_workers(d);
	size_t allowed = 0;

	if (!*d->name || !*d->inner_name || !*d->served_name || strchr(d->served_name, '/'))
		return "a device has no name";
	if (d->up && !d->listen_port)
		return "a device is up without a port";
	for (uint32_t i = 0; i < d->n_peers && !problem; i++) {
		problem = check_peer(d, &d->peers[i]);
		allowed += d->peers[i].n_allowed;
	}
	if (!problem && allowed > PV_MAX_ALLOWED_IPS)
		problem = "it has too many allowed IPs";
	if (!problem && !slots_and_keys_differ(d))
		problem = "two peers share a key or a slot";
	if (!problem && !indices_differ(d))
		problem = "two sessions share an index";
	return problem;
}

const char *handover_record_check(const struct handover_record *r)
{
	const char *problem = NULL;

	for (uint32_t i = 0; i < r->n_devices && !problem; i++) {
		problem = check_device(&r->devices[i]);
		for (uint32_t k = 0; k < i && !problem; k++)
			if (!strcmp(r->devices[i].served_name, r->devices[k].served_name))
				problem = "two devices have one name";
	}
	return problem;
}
