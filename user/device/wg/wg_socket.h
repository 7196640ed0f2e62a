/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cross-platform userspace protocol of wg(8): /var/run/wireguard/IFNAME.sock, "get=1" and
 * "set=1" requests, "errno=N" answers. Runs on the control thread's event_base. Slow or hostile
 * clients are limited in number, size and time, and never block it. The next request of a client
 * waits until the client has read the answer before.
 */
#ifndef DEVICE_WG_SOCKET_H
#define DEVICE_WG_SOCKET_H

#include "device/device.h"

struct wg_socket;

/* -EADDRINUSE: another running process answers there. The socket file of a dead one is replaced. */
int wg_socket_new(struct event_base *base, struct device *d, struct wg_socket **out);
/* The same with the listening socket of the process before; after an error it stays the caller's. */
int wg_socket_adopt(struct event_base *base, struct device *d, int listener,
		    struct wg_socket **out);
/* The listening socket; it stays the wg socket's. */
int wg_socket_listener(const struct wg_socket *s);
void wg_socket_free(struct wg_socket *s); /* removes the file if it is still ours */
/* Removes the socket file of that name, unless a process answers there. */
void wg_socket_remove(const char *name);
/* Renames the file after the device was renamed. -EADDRINUSE: another process serves that name, in
 * another network namespace. On this and every other error the file keeps its name. */
int wg_socket_rename(struct wg_socket *s);

/* The parser alone, for tests and fuzzing: the lines of one set request (without "set=1" and the
 * final empty line). 0, or -errno with *problem set to a static string that says what is wrong and
 * *line to the line's number from 1. */
int wg_request_parse(const char *text, size_t len, struct device_config *out, const char **problem,
		     size_t *line);

#endif
