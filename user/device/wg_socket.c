/* SPDX-License-Identifier: Apache-2.0 */
#include "device/wg_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
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

#include "observe/log.h"

#define DIRECTORY "/var/run/wireguard"

/* Ten thousand peers with ten prefixes each fit into a request. */
#define MAX_REQUEST  (16u << 20)
#define MAX_CLIENTS  32
#define IDLE_SECONDS 30

struct client {
	struct wg_socket *socket;
	struct bufferevent *stream;
	LIST_ENTRY(client) list;
};

struct wg_socket {
	struct event_base *base;
	struct device *device;
	struct evconnlistener *listener;
	unsigned int n_clients;
	LIST_HEAD(client_list, client) clients;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
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

/* Negative, as wg(8) wants it and wireguard-go says it: it takes the value for a return code. */
static void put_errno(struct evbuffer *out, int err)
{
	evbuffer_add_printf(out, "errno=%d\n\n", err);
}

static void answer_get(struct client *c)
{
	struct evbuffer *out = bufferevent_get_output(c->stream);

	device_look(c->socket->device, put_device, put_peer, out);
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
			log_warn("wg request could not be carried out", "device=%s errno=%d",
				 device_name(c->socket->device), -err);
		device_config_fini(&config);
	}
	put_errno(bufferevent_get_output(c->stream), err);
}

/* --- clients --- */

static void client_free(struct client *c)
{
	c->socket->n_clients--;
	LIST_REMOVE(c, list);
	bufferevent_free(c->stream);
	free(c);
}

static void on_written(struct bufferevent *stream, void *context)
{
	(void)stream;
	client_free(context);
}

static void on_end(struct bufferevent *stream, short what, void *context)
{
	(void)stream;
	(void)what;
	client_free(context);
}

/* The last answer: close when it is written, and read no more. */
static void give_up(struct client *c, int err)
{
	struct evbuffer *in = bufferevent_get_input(c->stream);

	put_errno(bufferevent_get_output(c->stream), err);
	bufferevent_disable(c->stream, EV_READ);
	bufferevent_setcb(c->stream, NULL, on_written, on_end, c);
	evbuffer_drain(in, evbuffer_get_length(in));
}

static bool starts_with(const char *text, size_t len, const char *line)
{
	return len >= strlen(line) && !memcmp(text, line, strlen(line));
}

/* One request, up to and with its empty line. */
static bool serve(struct client *c, char *text, size_t len)
{
	if (starts_with(text, len, "get=1\n")) {
		if (len != strlen("get=1\n\n")) {
			give_up(c, -EINVAL);
			return false;
		}
		answer_get(c);
		return true;
	}
	if (starts_with(text, len, "set=1\n")) {
		answer_set(c, text + strlen("set=1\n"), len - strlen("set=1\n"));
		return true;
	}
	log_warn("wg request was refused", "device=%s line=1 problem=\"neither get=1 nor set=1\"",
		 device_name(c->socket->device));
	give_up(c, -EINVAL);
	return false;
}

static void on_read(struct bufferevent *stream, void *context)
{
	struct client *c = context;
	struct evbuffer *in = bufferevent_get_input(stream);

	for (;;) {
		struct evbuffer_ptr end = evbuffer_search(in, "\n\n", 2, NULL);
		size_t len;
		char *text;
		bool more;

		if (end.pos < 0) {
			if (evbuffer_get_length(in) >= MAX_REQUEST)
				give_up(c, -E2BIG);
			return;
		}
		len = (size_t)end.pos + 2;
		text = (char *)evbuffer_pullup(in, (ev_ssize_t)len);
		if (!text) {
			give_up(c, -ENOMEM);
			return;
		}
		more = serve(c, text, len);
		if (!more)
			return;
		sodium_memzero(text, len); /* keys were in it */
		evbuffer_drain(in, len);
	}
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int len, void *context)
{
	const struct timeval idle = {.tv_sec = IDLE_SECONDS};
	struct wg_socket *s = context;
	struct client *c = s->n_clients < MAX_CLIENTS ? calloc(1, sizeof(*c)) : NULL;

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
	c->socket = s;
	s->n_clients++;
	LIST_INSERT_HEAD(&s->clients, c, list);
	bufferevent_setcb(c->stream, on_read, NULL, on_end, c);
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

/* Does somebody answer on this path? */
static bool is_live(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool live = fd >= 0 && !connect(fd, (const struct sockaddr *)address, sizeof(*address));

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
	if (!s->listener) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

static void set_path(struct wg_socket *s)
{
	snprintf(s->path, sizeof(s->path), DIRECTORY "/%s.sock", device_name(s->device));
}

int wg_socket_new(struct event_base *base, struct device *d, struct wg_socket **out)
{
	struct wg_socket *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->base = base;
	s->device = d;
	LIST_INIT(&s->clients);
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

void wg_socket_free(struct wg_socket *s)
{
	struct client *c;

	if (!s)
		return;
	while ((c = LIST_FIRST(&s->clients)))
		client_free(c);
	evconnlistener_free(s->listener);
	unlink(s->path);
	free(s);
}

void wg_socket_remove(const char *name)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

	if (snprintf(path, sizeof(path), DIRECTORY "/%s.sock", name) < (int)sizeof(path))
		unlink(path);
}

int wg_socket_rename(struct wg_socket *s)
{
	char old[sizeof(s->path)];

	memcpy(old, s->path, sizeof(old));
	set_path(s);
	return rename(old, s->path) ? -errno : 0;
}
