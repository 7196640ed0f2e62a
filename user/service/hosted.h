/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that the tunnel process has for an owner: its key, the device, and its wg(8) socket. The
 * key is there before the device is made and after it is gone. Thread: control. Errors: negative
 * errno.
 */
#ifndef SERVICE_HOSTED_H
#define SERVICE_HOSTED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "service/service_request.h"

struct event;
struct event_base;
struct wg_socket;

enum hosted_event { HOSTED_SESSIONS, HOSTED_RENAMED, HOSTED_ENDED };

struct hosted {
	char id[SERVICE_ID_MAX + 1]; /* also the name of the key's file */
	struct event_base *base;
	struct device *device; /* NULL: none */
	struct wg_socket *socket;
	bool has_key;
	int key_error; /* -errno: its file could not be written, which was logged */
	uint8_t private_key[32], public_key[32];
	struct event *ended; /* frees a device that somebody deleted */
	void (*news)(struct hosted *h, enum hosted_event e, void *context);
	void *context;
	TAILQ_ENTRY(hosted) list;
};

struct hosted *hosted_new(struct event_base *base, const char *id); /* NULL: no memory */
/* The tunnel device stays, and packets for it are dropped (fail closed). */
void hosted_free(struct hosted *h);

/* Loads the key, or makes one, unless that was done. */
int hosted_load_key(struct hosted *h);
/* Takes over the key of the kernel's WireGuard device `from`. A device of ours uses it after the next
 * request `set` with own_key. */
int hosted_take_key(struct hosted *h, const char *from);
/* Removes the key's file and forgets the key. -EBUSY: the device uses it. */
int hosted_forget_key(struct hosted *h);

/* Makes the device of a request `make`, unless it is there. *made: it was not. */
int hosted_make(struct hosted *h, const struct service_request *r, bool *made);
/* Parameters of a device that another tunnel process hands over. */
void hosted_params(struct hosted *h, struct device_params *out);
/* Takes such a device, which is held still, and its wg socket (-1: makes one). */
int hosted_take_device(struct hosted *h, struct device *d, int wg_fd);
/* Removes the device. */
void hosted_drop(struct hosted *h);
/* It has a device, and nobody has deleted that. */
bool hosted_runs(const struct hosted *h);
/* Carries out a request `set`. On error nothing has changed (device.h names the exception). The
 * request's configuration is changed: our key is put in. */
int hosted_set(struct hosted *h, struct service_request *r);
/* Restores what others changed: key file, programs, pins. The number of things, or -errno. */
int hosted_repair(struct hosted *h);

#endif
