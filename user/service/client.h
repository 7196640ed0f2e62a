/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent's side of the tunnel process: starts one if there is none, and has its devices there.
 * The functions of a device are those of device.h; what differs is said here.
 *
 * Requests are synchronous, with a deadline. That is simple, and nothing waits for it but the
 * agent's control thread: packets are the tunnel process's business, and health checks that of the
 * HTTP thread. The answers take a fraction of a millisecond (a device takes some tens to be made).
 * News comes on a connection of its own.
 *
 * If the tunnel process ends, requests fail with -ENOTCONN until another one answers; all devices
 * have ended then. Thread: control. Errors: negative errno.
 */
#ifndef SERVICE_CLIENT_H
#define SERVICE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/device.h"

struct client;
struct client_device;

struct client_params {
	struct event_base *base;
	/* Have it start a tunnel process whenever none answers (starter.h). -1: wait for one that
	 * somebody else starts. */
	int starter;
	/* The tunnel process ended, or does not answer. All devices have ended. */
	void (*lost)(void *context);
	/* A tunnel process answers, after it did not. It has no devices yet, or those of an earlier
	 * agent. Both run from the event loop, never out of a request. */
	void (*connected)(void *context);
	void *context;
};

/* Looks for a tunnel process, and has one started if none answers. 0 also if there is none yet;
 * -ENOMEM. `base` NULL: no news, and no second attempt. */
int client_new(const struct client_params *params, struct client **out);
/* Waits some seconds for the one that was started. */
void client_wait(struct client *c);
/* The tunnel process and its devices go on. */
void client_free(struct client *c);
bool client_connected(const struct client *c);
/* What the tunnel process may do, in its own words. NULL: none answers. */
struct client_rights {
	char user[16];		/* its number; "": the process is older and does not say */
	bool limited;		/* it gave up all capabilities but these: */
	char capabilities[512]; /* "NET_ADMIN NET_RAW" */
};
const struct client_rights *client_rights(const struct client *c);
/* How it logs. Remembered for the next tunnel process, too. */
void client_set_log(struct client *c, enum log_level level, enum log_format format);
/* Ends the tunnel process, and waits until it has ended. -EBUSY: it has devices. */
int client_quit(struct client *c);

/* --- keys, by ID --- */

int client_key(struct client *c, const char *id, uint8_t public_key[KEY_SIZE]);
int client_take_key(struct client *c, const char *id, const char *from,
		    uint8_t public_key[KEY_SIZE]);
int client_forget_key(struct client *c, const char *id);
/* Removes the device and the key of an ID, if they are there. */
int client_remove(struct client *c, const char *id);

/* --- devices --- */

struct client_device_params {
	const char *id, *name, *inner_name;
	unsigned int workers;
	uint32_t mtu;
	/* As in struct device_params. If the tunnel process ends, none of them is called. */
	void (*ended)(struct client_device *d, void *context);
	void (*renamed)(struct client_device *d, void *context);
	void (*sessions)(struct client_device *d, void *context);
	void *context;
};

/* Makes the device, adopts that of a dead process, or takes the one that the tunnel process has, as
 * it is. */
int client_device_make(struct client *c, const struct client_device_params *params,
		       struct client_device **out);
/* Forgets the device. `remove`: the tunnel process removes it; else it goes on there. */
void client_device_free(struct client_device *d, bool remove);

/* 0; -ENOSPC: the pair has too few queues. */
int client_device_set_workers(struct client_device *d, unsigned int workers);
int client_device_set_wire(struct client_device *d, enum wire_mode wire, int uplink);
int client_device_set_low_latency(struct client_device *d, bool on);
/* As device_configure(), but without a private key. `own_key`: sets the one that is kept. */
int client_device_configure(struct client_device *d, const struct device_config *config,
			    bool own_key);
/* Has somebody else configured it since we made it, or since the last client_device_forgive()? Each
 * answer says how often it was configured, so a change between two requests of ours is seen, too. */
bool client_device_configured_by_others(struct client_device *d);
void client_device_forgive(struct client_device *d);
int client_device_repair(struct client_device *d); /* also the key's file */

const char *client_device_name(const struct client_device *d); /* follows renames */
int client_device_ifindex(const struct client_device *d);
bool client_device_ended(const struct client_device *d);

/* As device_report(), without secrets and allowed IPs. May be a tenth of a second old; if the tunnel
 * process does not answer, as old as its last answer. */
void client_device_report(struct client_device *d,
			  void (*device)(const struct device_view *, void *context),
			  void (*peer)(const struct peer_view *, void *context), void *context);
struct pv_counters;
void client_device_counters(struct client_device *d, struct pv_counters *sum);
void client_device_worker_counters(struct client_device *d, unsigned int worker,
				   struct pv_counters *out);
/* Starts handshakes with several peers: device_start_handshake(). */
int client_device_start_handshakes(struct client_device *d, const uint8_t (*keys)[KEY_SIZE],
				   size_t n, bool anyway);

#endif
