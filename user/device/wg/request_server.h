/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Unix socket that answers requests of lines KEY=VALUE. A request ends with an empty line; a
 * request that is not complete is never carried out. Slow or hostile clients are limited in number,
 * size and time, and never block the event loop. The next request of a client waits until the client
 * has read the answer before. Only root may connect, and the user that started the process. Thread: that of the
 * event loop.
 */
#ifndef DEVICE_REQUEST_SERVER_H
#define DEVICE_REQUEST_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct evbuffer;
struct event_base;
struct request_client;
struct request_server;

struct request_server_params {
	struct event_base *base;
	const char *path;	   /* of the socket file */
	int listener;		   /* the listening socket of the process before; -1: none */
	mode_t directory_mode;	   /* of its directory, should that have to be made */
	unsigned int idle_seconds; /* a client that is silent for so long is closed; 0: never */
	/* Appends the answer to one request. `text` ends with the empty line, and is wiped after the
	 * call. False: this is no request; -EINVAL is answered, and the connection closed. */
	bool (*answer)(void *context, struct request_client *client, const char *text, size_t len,
		       struct evbuffer *out);
	void *context;
};

/* 0 or -errno. -EADDRINUSE: another running process answers there. The socket file of a dead one is
 * replaced. After an error, params->listener
 * is still the caller's. */
int request_server_new(const struct request_server_params *params, struct request_server **out);
void request_server_free(struct request_server *s); /* removes the file if it is still ours */
/* Gives the file another name. -EADDRINUSE: a running process serves that name. On this and every
 * other error the file keeps its name. */
int request_server_rename(struct request_server *s, const char *path);
/* The listening socket; it stays the server's. */
int request_server_listener(const struct request_server *s);
/* Makes the socket file again if somebody removed it. 0: it is there, 1: made again, or -errno. */
int request_server_repair(struct request_server *s);
/* Removes a socket file, unless a process answers there. */
void request_server_remove_dead(const char *path);

/* From now on this client gets what request_server_tell() sends. Only from answer(). */
void request_client_listen(struct request_client *client);
/* Sends text to all clients that listen. One that does not read is closed: it would miss news. */
void request_server_tell(struct request_server *s, const char *text);

/* Ends an answer: "errno=N" and an empty line. `err` is negative, as in wireguard-go's answers:
 * wg(8) uses the value as its return code. */
void request_put_errno(struct evbuffer *out, int err);
/* If the text begins with this line, skips it. */
bool request_has_line(const char **text, size_t *len, const char *line);

#endif
