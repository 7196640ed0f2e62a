/* SPDX-License-Identifier: Apache-2.0 */
#include "device/wg/request_server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/peer_user.h"

/* Bytes. A request with ten thousand peers of ten prefixes each fits, or 260,000 prefixes of
 * one. */
#define MAX_REQUEST (16u << 20)
/* Bytes of news that a client may leave unread. */
#define MAX_NEWS (1u << 20)
/* For one client more, the one that has been idle longest is closed. */
#define MAX_CLIENTS 32

struct request_client {
	struct request_server *server;
	struct bufferevent *stream;
	size_t searched; /* the first bytes of the input, in which no request ends */
	bool closing;	 /* close it when the answer is written */
	bool listens;	 /* to request_server_tell() */
	TAILQ_ENTRY(request_client) list;
};

struct request_server {
	struct request_server_params params;
	struct evconnlistener *listener;
	unsigned int n_clients;
	TAILQ_HEAD(client_list, request_client) clients; /* idle for longest first */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat file; /* identifies the file that we made */
};

void request_put_errno(struct evbuffer *out, int err)
{
	evbuffer_add_printf(out, "errno=%d\n\n", err);
}

bool request_has_line(const char **text, size_t *len, const char *line)
{
	const size_t n = strlen(line);

	if (*len <= n || memcmp(*text, line, n) != 0 || (*text)[n] != '\n')
		return false;
	*text += n + 1;
	*len -= n + 1;
	return true;
}

/* --- clients --- */

static void client_free(struct request_client *c)
{
	c->server->n_clients--;
	TAILQ_REMOVE(&c->server->clients, c, list);
	bufferevent_free(c->stream);
	free(c);
}

static void set_timeouts(struct request_client *c)
{
	const struct timeval idle = {.tv_sec = c->server->params.idle_seconds};
	const struct timeval *limit = idle.tv_sec && !c->listens ? &idle : NULL;

	bufferevent_set_timeouts(c->stream, limit, limit);
}

/* Sends a last answer, reads no more, and closes when the answer is written. */
static void give_up(struct request_client *c, int err)
{
	struct evbuffer *in = bufferevent_get_input(c->stream);

	request_put_errno(bufferevent_get_output(c->stream), err);
	bufferevent_disable(c->stream, EV_READ);
	evbuffer_drain(in, evbuffer_get_length(in));
	c->closing = true;
}

/* The length of the first request, or 0 if it is not complete. Each byte is searched once, because
 * a long request arrives in many parts. */
static size_t request_length(struct request_client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->stream);
	struct evbuffer_ptr from, end;

	evbuffer_ptr_set(in, &from, c->searched, EVBUFFER_PTR_SET);
	end = evbuffer_search(in, "\n\n", 2, &from);
	if (end.pos >= 0) {
		c->searched = 0;
		return (size_t)end.pos + 2;
	}
	/* The last byte may be the first half of "\n\n". */
	c->searched = evbuffer_get_length(in);
	c->searched -= c->searched > 0;
	return 0;
}

/* Answers one request after the other. Waits until the client has read an answer before the
 * next. */
static void on_read(struct bufferevent *stream, void *context)
{
	struct request_client *c = context;
	struct evbuffer *in = bufferevent_get_input(stream);
	struct evbuffer *out = bufferevent_get_output(stream);
	size_t len;
	char *text;

	TAILQ_REMOVE(&c->server->clients, c, list);
	TAILQ_INSERT_TAIL(&c->server->clients, c, list);
	while (!c->closing && !evbuffer_get_length(out) && (len = request_length(c))) {
		text = (char *)evbuffer_pullup(in, (ev_ssize_t)len);
		if (!text) {
			give_up(c, -ENOMEM);
			break;
		}
		if (!c->server->params.answer(c->server->params.context, c, text, len, out)) {
			give_up(c, -EINVAL);
			break;
		}
		sodium_memzero(text, len); /* keys were in it */
		evbuffer_drain(in, len);
		/* A client is not idle while it waits for us. */
		set_timeouts(c);
	}
	if (c->closing)
		return;
	if (evbuffer_get_length(out))
		bufferevent_disable(stream, EV_READ);
	else if (evbuffer_get_length(in) >= MAX_REQUEST)
		give_up(c, -E2BIG);
}

static void on_written(struct bufferevent *stream, void *context)
{
	struct request_client *c = context;

	if (c->closing) {
		client_free(c);
		return;
	}
	bufferevent_enable(stream, EV_READ);
	on_read(stream, c);
}

static void on_end(struct bufferevent *stream, short what, void *context)
{
	struct request_client *c = context;

	/* The rest of a request did not come in time: answer with an error. */
	if (what & BEV_EVENT_TIMEOUT && what & BEV_EVENT_READING && !c->closing &&
	    evbuffer_get_length(bufferevent_get_input(stream))) {
		give_up(c, -ETIMEDOUT);
		return;
	}
	/* The client sends no more, but may still read the answers. */
	if (what & BEV_EVENT_EOF && what & BEV_EVENT_READING &&
	    evbuffer_get_length(bufferevent_get_output(stream))) {
		c->closing = true;
		return;
	}
	client_free(c);
}

/* One that listens is idle for good reason: it goes last. */
static struct request_client *idle_longest(struct request_server *s)
{
	struct request_client *c;

	TAILQ_FOREACH (c, &s->clients, list)
		if (!c->listens)
			return c;
	return TAILQ_FIRST(&s->clients);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int len, void *context)
{
	struct request_server *s = context;
	struct request_client *c = calloc(1, sizeof(*c));

	(void)listener;
	(void)address;
	(void)len;
	if (c && peer_user_is_trusted(fd))
		c->stream = bufferevent_socket_new(s->params.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->stream) {
		free(c);
		close(fd);
		return;
	}
	if (s->n_clients == MAX_CLIENTS)
		client_free(idle_longest(s));
	c->server = s;
	s->n_clients++;
	TAILQ_INSERT_TAIL(&s->clients, c, list);
	bufferevent_setcb(c->stream, on_read, on_written, on_end, c);
	bufferevent_setwatermark(c->stream, EV_READ, 0, MAX_REQUEST);
	set_timeouts(c);
	bufferevent_enable(c->stream, EV_READ | EV_WRITE);
}

/* --- news --- */

void request_client_listen(struct request_client *client)
{
	client->listens = true;
}

void request_server_tell(struct request_server *s, const char *text)
{
	struct request_client *c, *next;

	for (c = TAILQ_FIRST(&s->clients); c; c = next) {
		next = TAILQ_NEXT(c, list);
		if (!c->listens || c->closing)
			continue;
		if (evbuffer_get_length(bufferevent_get_output(c->stream)) > MAX_NEWS)
			client_free(c);
		else
			bufferevent_write(c->stream, text, strlen(text));
	}
}

/* --- the socket --- */

static int address_of(const char *path, struct sockaddr_un *out)
{
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(out->sun_path))
		return -ENAMETOOLONG;
	memcpy(out->sun_path, path, strlen(path) + 1);
	return 0;
}

/* Does a process answer on this path? */
static bool is_live(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* EAGAIN: it exists, but its queue of connections is full. */
	bool live = fd >= 0 && (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) ||
				errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return live;
}

static void make_directory(const char *path, mode_t mode)
{
	char directory[PATH_MAX];
	const char *end = strrchr(path, '/');

	if (!end || end == path)
		return;
	snprintf(directory, sizeof(directory), "%.*s", (int)(end - path), path);
	mkdir(directory, mode); /* if it fails, bind() fails as well */
}

static int bind_listener(const char *path, const struct sockaddr_un *address, int *out)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
	mode_t mask;

	if (fd < 0)
		return -errno;
	unlink(path);
	mask = umask(0077);
	err = bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
	umask(mask);
	if (!err && listen(fd, MAX_CLIENTS))
		err = -errno;
	if (err)
		close(fd);
	*out = fd;
	return err;
}

static int open_listener(struct request_server *s)
{
	struct evconnlistener *fresh;
	struct sockaddr_un address;
	struct stat file;
	int fd = -1, err = address_of(s->path, &address);

	if (err)
		return err;
	make_directory(s->path, s->params.directory_mode);
	if (is_live(&address))
		return -EADDRINUSE;
	err = bind_listener(s->path, &address, &fd);
	if (err)
		return err;
	fresh = evconnlistener_new(s->params.base, on_accept, s, LEV_OPT_CLOSE_ON_FREE, -1, fd);
	if (!fresh || lstat(s->path, &file)) {
		if (fresh)
			evconnlistener_free(fresh);
		else
			close(fd);
		return -ENOMEM;
	}
	if (s->listener)
		evconnlistener_free(s->listener);
	s->listener = fresh;
	s->file = file;
	return 0;
}

/* Goes on with the listening socket of the process before. */
static int adopt_listener(struct request_server *s)
{
	s->listener = evconnlistener_new(s->params.base, on_accept, s, LEV_OPT_CLOSE_ON_FREE, 0,
					 s->params.listener);
	if (!s->listener)
		return -ENOMEM;
	/* If somebody removed the file, none is ours. */
	if (lstat(s->path, &s->file))
		memset(&s->file, 0, sizeof(s->file));
	return 0;
}

/* Is the file at our path the one that we made? Another process may have replaced it. */
static bool is_ours(const struct request_server *s)
{
	struct stat now;

	return !lstat(s->path, &now) && now.st_dev == s->file.st_dev &&
	       now.st_ino == s->file.st_ino;
}

static int set_path(struct request_server *s, const char *path)
{
	struct sockaddr_un address;
	const int err = address_of(path, &address);

	if (!err)
		memcpy(s->path, address.sun_path, sizeof(s->path));
	return err;
}

int request_server_new(const struct request_server_params *params, struct request_server **out)
{
	struct request_server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->params = *params;
	s->params.path = s->path;
	TAILQ_INIT(&s->clients);
	err = set_path(s, params->path);
	if (!err)
		err = params->listener >= 0 ? adopt_listener(s) : open_listener(s);
	if (err) {
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

int request_server_listener(const struct request_server *s)
{
	return evconnlistener_get_fd(s->listener);
}

void request_server_free(struct request_server *s)
{
	struct request_client *c;

	if (!s)
		return;
	while ((c = TAILQ_FIRST(&s->clients)))
		client_free(c);
	evconnlistener_free(s->listener);
	if (is_ours(s))
		unlink(s->path);
	free(s);
}

void request_server_remove_dead(const char *path)
{
	struct sockaddr_un address;

	if (!address_of(path, &address) && !is_live(&address))
		unlink(path);
}

int request_server_repair(struct request_server *s)
{
	int err;

	if (is_ours(s))
		return 0;
	err = open_listener(s);
	return err ? err : 1;
}

int request_server_rename(struct request_server *s, const char *path)
{
	char old[sizeof(s->path)];
	struct sockaddr_un address;
	int err;

	memcpy(old, s->path, sizeof(old));
	if (!is_ours(s))
		return -ENOENT;
	err = address_of(path, &address);
	if (err || !strcmp(old, path))
		return err;
	set_path(s, path);
	if (is_live(&address))
		err = -EADDRINUSE;
	/* Remove the file of a dead process. RENAME_NOREPLACE keeps a file that is made
	 * meanwhile. */
	if (!err && unlink(s->path) && errno != ENOENT)
		err = -errno;
	if (!err && renameat2(AT_FDCWD, old, AT_FDCWD, s->path, RENAME_NOREPLACE))
		err = -errno;
	if (err)
		memcpy(s->path, old, sizeof(old));
	return err;
}
