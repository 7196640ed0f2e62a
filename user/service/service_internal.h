/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the tunnel process share. */
#ifndef SERVICE_SERVICE_INTERNAL_H
#define SERVICE_SERVICE_INTERNAL_H

#include "device/handover/predecessor.h"
#include "handover/instances.h"
#include "service/hosted.h"
#include "service/service.h"

struct service {
	struct event_base *base;
	struct request_server *server;
	int lock_file;
	const char *instance;	  /* "": none */
	const char *capabilities; /* NULL: all */
	struct instances handed_over;
	struct predecessor *predecessor;	    /* NULL: nobody can take over */
	struct hosted *waiting[RECORD_MAX_DEVICES]; /* for devices that are being taken over */
	unsigned int n_hosted;
	TAILQ_HEAD(hosted_list, hosted) hosted;
};

/* Gets lock, sockets, and what a living process has. As service_new(). *step: what failed. */
int service_begin(struct service *s, bool take_over, const char **step);
/* `listener`: that of the process before; -1: a new one. */
int service_open(struct service *s, int listener);
/* hosted.news */
void service_publish(struct hosted *h, enum hosted_event e, void *context);

#endif
