/* SPDX-License-Identifier: Apache-2.0 */
/* What client.c (connection) and client_device.c (devices) share. */
#ifndef SERVICE_CLIENT_INTERNAL_H
#define SERVICE_CLIENT_INTERNAL_H

#include <sys/queue.h>

#include "base/log.h"
#include "service/client.h"
#include "service/report.h"

struct bufferevent;
struct evbuffer;
struct event;

struct client {
	struct client_params params;
	int fd; /* requests; -1: no tunnel process answers */
	struct bufferevent *news;
	struct event *retry;
	struct client_rights rights;
	bool greeted; /* it speaks our protocol */
	bool lost;    /* params.lost() is due */
	uint64_t
		started; /* when we started a tunnel process (clock.h); 0: not since the last ended */
	enum log_level level;
	enum log_format format;
	TAILQ_HEAD(client_devices, client_device) devices;
};

struct client_device {
	struct client *client;
	struct client_device_params params;
	char id[SERVICE_ID_MAX + 1];
	bool ended;
	struct report report;
	uint64_t version;     /* how often it was configured, as far as we know */
	bool by_others;	      /* it was configured more often than we did */
	uint64_t report_time; /* of the last report; 0: it is outdated */
	struct pv_counters counters[PV_COUNTER_SLOTS];
	uint64_t counters_time;
	TAILQ_ENTRY(client_device) list;
};

/* Sends a request and reads the answer. `answer` (or NULL) is freed by the caller; it is set after 0
 * only. */
int client_request(struct client *c, struct evbuffer *request, char **answer);
int client_ask(struct client *c, char **answer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void client_device_news(struct client_device *d, const char *event);

#endif
