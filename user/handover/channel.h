/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket between a process and the one that takes over from it: /run/podveil/NAME.handover, for
 * its owner only. In this order:
 *
 *   HELLO   new   its version and its name (instances.h), as texts; a pidfd of the new process
 *   OFFER   old   versions, network namespace, what is to be prepared for each device
 *   TAKE    new   all is prepared. The old process stops its threads
 *   RECORD  old   the record (record.h) in a memfd, a pidfd of the old process, all descriptors;
 *                 and the names of all that have handed over, its own among them
 *   READY   new   all stands, and nothing was sent or received
 *   GO      old
 *   RUNS    new   said before it begins. The old process ends
 *
 * ABORT, with a reason, from either side. The old process says it before it goes on after RECORD. So
 * if the socket ends without an ABORT, and the old process with it, the new one may begin. And if
 * the new one has ended without RUNS, it never sent anything. Instead of OFFER, it says that the old
 * process does not hand over to this one.
 *
 * What is behind the bytes of a message that a version knows, it skips.
 */
#ifndef HANDOVER_CHANNEL_H
#define HANDOVER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fd_message.h"

#define CHANNEL_VERSION 1
#define CHANNEL_FDS	FD_MESSAGE_MAX
#define CHANNEL_MORE	8 /* descriptors of a RECORD that are no device's, beside the first three */
#define CHANNEL_ROOM	1024

enum channel_type {
	CHANNEL_HELLO = 1,
	CHANNEL_OFFER,
	CHANNEL_TAKE,
	CHANNEL_RECORD,
	CHANNEL_READY,
	CHANNEL_GO,
	CHANNEL_RUNS,
	CHANNEL_ABORT,
};

struct channel_message {
	uint32_t type; /* enum channel_type */
	size_t length;
	uint8_t bytes[CHANNEL_ROOM];
	size_t n_fds;
	int fds[CHANNEL_FDS]; /* the receiver's to close */
};

/* /run/podveil/NAME.handover */
void channel_path(const char *name, char *out, size_t room);
/* A listening socket on that path, in place of a dead process' one; or -errno. */
int channel_listen(const char *name);
/* Connects to the process that listens. The socket, or -errno: -ENOENT and -ECONNREFUSED where nobody does. */
int channel_connect(const char *name);
/* The user of the process that listens. Where nobody does, both stay as they are. */
void channel_user(const char *name, uid_t *user, gid_t *group);
/* Is the process at the other end of our user, or root? */
bool channel_is_trusted(int fd);
/* From here on the other side cannot send: it gets -EPIPE. What it has sent can still be received. */
void channel_shut(int fd);

/* Does not wait. 0 or -errno (-EPIPE: the other side has closed). */
int channel_send(int fd, enum channel_type type, const void *bytes, size_t length, const int *fds,
		 size_t n_fds);
/* Waits for a message for at most `ms`. 0; -ETIMEDOUT; -EPIPE: the other side has closed, and there are no
 * more messages; or -errno. */
int channel_receive(int fd, int ms, struct channel_message *out);
void channel_close_fds(struct channel_message *m);

/* For tests: PODVEIL_TEST_HANDOVER=SIDE:STEP:kill (or :stop) ends or stops this process at a step of
 * the side "old" or "new"; "old:truncate", "old:state" and "old:format" spoil the record; with "old:deaf" RUNS is not heard. Once. */
void channel_step(const char *side, int step);
bool channel_test(const char *what);

#endif
