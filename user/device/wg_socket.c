/* SPDX-License-Identifier: Apache-2.0 */
#include "device/wg_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define DIRECTORY "/var/run/wireguard"

/* Bytes. A request with ten thousand peers of ten prefixes each fits, or 260,000 prefixes of
 * one. */
#define MAX_REQUEST (16u << 20)
/* For one client more, the one that has been idle longest is closed. */
#define MAX_CLIENTS  32
#define IDLE_SECONDS 30

struct client {
	struct wg_socket *socket;
	struct bufferevent *stream;
	size_t searched; /* the first bytes of the input, in which no request ends */
	bool closing;	 /* close it when the answer is written */
	TAILQ_ENTRY(client) list;
};

struct wg_socket {
	struct event_base *base;
	struct device *device;
	struct evconnlistener *listener;
	unsigned int n_clients;
	TAILQ_HEAD(client_list, client) clients; /* idle for longest first */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat file; /* identifies the file that we made */
};

/* --- answering --- */

static void put_key(struct evbuffer *out, const char *name, const uint8_t key[KEY_SIZE])
{
	char hex[2 * KEY_SIZE + 1];

	sodium_bin2hex(hex, sizeof(hex), key, KEY_SIZE);
	evbuffer_add_printf(out, "%s=%s\n", name, hex);
	sodium_memzero(hex, sizeof(hex));
}

static void put_device(const struct device_view *v, void *context)
{
	struct evbuffer *out = context;

	if (v->has_key)
		put_key(out, "private_key", v->private_key);
	if (v->listen_port)
		evbuffer_add_printf(out, "listen_port=%u\n", v->listen_port);
	if (v->fwmark)
		evbuffer_add_printf(out, "fwmark=%" PRIu32 "\n", v->fwmark);
}

static void put_endpoint(struct evbuffer *out, const struct endpoint *e)
{
	char address[INET6_ADDRSTRLEN];

	if (e->to.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &e->to.v4.sin_addr, address, sizeof(address));
		evbuffer_add_printf(out, "endpoint=%s:%u\n", address, ntohs(e->to.v4.sin_port));
	} else if (e->to.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &e->to.v6.sin6_addr, address, sizeof(address));
		if (e->to.v6.sin6_scope_id)
			evbuffer_add_printf(out, "endpoint=[%s%%%" PRIu32 "]:%u\n", address,
					    e->to.v6.sin6_scope_id, ntohs(e->to.v6.sin6_port));
		else
			evbuffer_add_printf(out, "endpoint=[%s]:%u\n", address,
					    ntohs(e->to.v6.sin6_port));
	}
}

static void put_peer(const struct peer_view *v, void *context)
{
	struct evbuffer *out = context;
	char address[INET6_ADDRSTRLEN];

	put_key(out, "public_key", v->public_key);
	if (v->has_preshared_key)
		put_key(out, "preshared_key", v->preshared_key);
	evbuffer_add_printf(out, "protocol_version=1\n");
	put_endpoint(out, &v->endpoint);
	evbuffer_add_printf(out,
			    "last_handshake_time_sec=%lld\nlast_handshake_time_nsec=%ld\n"
			    "tx_bytes=%" PRIu64 "\nrx_bytes=%" PRIu64
			    "\npersistent_keepalive_interval=%u\n",
			    (long long)v->last_handshake.tv_sec, v->last_handshake.tv_nsec,
			    v->tx_bytes, v->rx_bytes, v->keepalive);
	for (size_t i = 0; i < v->n_allowed; i++) {
		inet_ntop(v->allowed[i].family, v->allowed[i].address, address, sizeof(address));
		evbuffer_add_printf(out, "allowed_ip=%s/%u\n", address, v->allowed[i].prefix_len);
	}
}

/* `err` is negative, as in wireguard-go's answers: wg(8) uses the value as its return code. */
static void put_errno(struct evbuffer *out, int err)
{
	evbuffer_add_printf(out, "errno=%d\n\n", err);
}

static void answer_get(struct client *c)
{
	struct evbuffer *out = bufferevent_get_output(c->stream);

	device_report(c->socket->device, put_device, put_peer, out);
	put_errno(out, 0);
}

static void answer_set(struct client *c, const char *text, size_t len)
{
	struct device_config config;
	const char *problem;
	size_t line;
	int err = wg_request_parse(text, len, &config, &problem, &line);

	if (err) {
		log_warn("wg request was refused", "device=%s line=%zu problem=\"%s\"",
			 device_name(c->socket->device), line + 1, problem);
	} else {
		err = device_configure(c->socket->device, &config);
		if (err)
			log_warn("wg request failed", "device=%s errno=%d",
				 device_name(c->socket->device), -err);
		device_config_fini(&config);
	}
	put_errno(bufferevent_get_output(c->stream), err);
}

/* --- clients --- */

static void client_free(struct client *c)
{
	c->socket->n_clients--;
	TAILQ_REMOVE(&c->socket->clients, c, list);
	bufferevent_free(c->stream);
	free(c);
}

/* Sends a last answer, reads no more, and closes when the answer is written. */
static void give_up(struct client *c, int err)
{
	struct evbuffer *in = bufferevent_get_input(c->stream);

	put_errno(bufferevent_get_output(c->stream), err);
	bufferevent_disable(c->stream, EV_READ);
	evbuffer_drain(in, evbuffer_get_length(in));
	c->closing = true;
}

static bool starts_with(const char *text, size_t len, const char *line)
{
	return len >= strlen(line) && !memcmp(text, line, strlen(line));
}

/* Answers one request; `text` ends with its empty line. */
static void serve(struct client *c, const char *text, size_t len)
{
	if (starts_with(text, len, "get=1\n")) {
		if (len == strlen("get=1\n\n"))
			answer_get(c);
		else
			give_up(c, -EINVAL);
	} else if (starts_with(text, len, "set=1\n")) {
		answer_set(c, text + strlen("set=1\n"), len - strlen("set=1\n"));
	} else {
		log_warn("wg request was refused",
			 "device=%s line=1 problem=\"neither get=1 nor set=1\"",
			 device_name(c->socket->device));
		give_up(c, -EINVAL);
	}
}

/* The length of the first request, or 0 if it is not complete. Each byte is searched once, because
 * a long request arrives in many parts. */
static size_t request_length(struct client *c)
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
	const struct timeval idle = {.tv_sec = IDLE_SECONDS};
	struct client *c = context;
	struct evbuffer *in = bufferevent_get_input(stream);
	struct evbuffer *out = bufferevent_get_output(stream);
	size_t len;
	char *text;

	TAILQ_REMOVE(&c->socket->clients, c, list);
	TAILQ_INSERT_TAIL(&c->socket->clients, c, list);
	while (!c->closing && !evbuffer_get_length(out) && (len = request_length(c))) {
		text = (char *)evbuffer_pullup(in, (ev_ssize_t)len);
		if (!text) {
			give_up(c, -ENOMEM);
			break;
		}
		serve(c, text, len);
		if (c->closing)
			break;
		sodium_memzero(text, len); /* keys were in it */
		evbuffer_drain(in, len);
		/* A client is not idle while it waits for us. */
		bufferevent_set_timeouts(stream, &idle, &idle);
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
	struct client *c = context;

	if (c->closing) {
		client_free(c);
		return;
	}
	bufferevent_enable(stream, EV_READ);
	on_read(stream, c);
}

static void on_end(struct bufferevent *stream, short what, void *context)
{
	struct client *c = context;

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

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int len, void *context)
{
	const struct timeval idle = {.tv_sec = IDLE_SECONDS};
	struct wg_socket *s = context;
	struct client *c = calloc(1, sizeof(*c));

	(void)listener;
	(void)address;
	(void)len;
	if (c)
		c->stream = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->stream) {
		free(c);
		close(fd);
		return;
	}
	if (s->n_clients == MAX_CLIENTS)
		client_free(TAILQ_FIRST(&s->clients));
	c->socket = s;
	s->n_clients++;
	TAILQ_INSERT_TAIL(&s->clients, c, list);
	bufferevent_setcb(c->stream, on_read, on_written, on_end, c);
	bufferevent_setwatermark(c->stream, EV_READ, 0, MAX_REQUEST);
	bufferevent_set_timeouts(c->stream, &idle, &idle);
	bufferevent_enable(c->stream, EV_READ | EV_WRITE);
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

static int open_listener(struct wg_socket *s)
{
	struct sockaddr_un address;
	int err = address_of(s->path, &address);
	mode_t mask;
	int fd;

	if (err)
		return err;
	if (mkdir(DIRECTORY, 0755) && errno != EEXIST)
		return -errno;
	if (is_live(&address))
		return -EADDRINUSE;
	unlink(s->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	mask = umask(0077);
	err = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	umask(mask);
	if (!err && listen(fd, MAX_CLIENTS))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	s->listener = evconnlistener_new(s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE, -1, fd);
	if (!s->listener || lstat(s->path, &s->file)) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

/* Is the file at our path the one that we made? Another process may have replaced it. */
static bool is_ours(const struct wg_socket *s)
{
	struct stat now;

	return !lstat(s->path, &now) && now.st_dev == s->file.st_dev &&
	       now.st_ino == s->file.st_ino;
}

static void set_path(struct wg_socket *s)
{
	snprintf(s->path, sizeof(s->path), DIRECTORY "/%s.sock", device_served_name(s->device));
}

int wg_socket_new(struct event_base *base, struct device *d, struct wg_socket **out)
{
	struct wg_socket *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->base = base;
	s->device = d;
	TAILQ_INIT(&s->clients);
	set_path(s);
	err = open_listener(s);
	if (err) {
		log_error("cannot open the wg socket", "path=%s errno=%d error=\"%s\"", s->path,
			  -err, strerror(-err));
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

int wg_socket_adopt(struct event_base *base, struct device *d, int listener, struct wg_socket **out)
{
	struct wg_socket *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->base = base;
	s->device = d;
	TAILQ_INIT(&s->clients);
	set_path(s);
	s->listener = evconnlistener_new(base, on_accept, s, LEV_OPT_CLOSE_ON_FREE, 0, listener);
	if (!s->listener) {
		free(s);
		return -ENOMEM;
	}
	/* If somebody removed the file, none is ours. */
	if (lstat(s->path, &s->file))
		memset(&s->file, 0, sizeof(s->file));
	*out = s;
	return 0;
}

int wg_socket_listener(const struct wg_socket *s)
{
	return evconnlistener_get_fd(s->listener);
}

void wg_socket_free(struct wg_socket *s)
{
	struct client *c;

	if (!s)
		return;
	while ((c = TAILQ_FIRST(&s->clients)))
		client_free(c);
	evconnlistener_free(s->listener);
	if (is_ours(s))
		unlink(s->path);
	free(s);
}

void wg_socket_remove(const char *name)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct sockaddr_un address;

	if (snprintf(path, sizeof(path), DIRECTORY "/%s.sock", name) < (int)sizeof(path) &&
	    !address_of(path, &address) && !is_live(&address))
		unlink(path);
}

int wg_socket_rename(struct wg_socket *s)
{
	char old[sizeof(s->path)];
	struct sockaddr_un address;
	int err;

	memcpy(old, s->path, sizeof(old));
	if (!is_ours(s))
		return -ENOENT;
	set_path(s);
	if (!strcmp(old, s->path))
		return 0;
	err = address_of(s->path, &address);
	if (!err && is_live(&address))
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
