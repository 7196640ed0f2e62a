/* SPDX-License-Identifier: Apache-2.0 */
#include "device/wg/wg_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "device/wg/request_server.h"
#include "device/wg/wg_values.h"

#define DIRECTORY "/var/run/wireguard"
#define PATH_ROOM 128

struct wg_socket {
	struct device *device;
	struct request_server *server;
};

/* --- answering --- */

static void put_device(const struct device_view *v, void *context)
{
	struct evbuffer *out = context;

	if (v->has_key)
		wg_put_key(out, "private_key", v->private_key);
	if (v->listen_port)
		evbuffer_add_printf(out, "listen_port=%u\n", v->listen_port);
	if (v->fwmark)
		evbuffer_add_printf(out, "fwmark=%" PRIu32 "\n", v->fwmark);
}

static void put_peer(const struct peer_view *v, void *context)
{
	struct evbuffer *out = context;
	char address[INET6_ADDRSTRLEN];

	wg_put_key(out, "public_key", v->public_key);
	if (v->has_preshared_key)
		wg_put_key(out, "preshared_key", v->preshared_key);
	evbuffer_add_printf(out, "protocol_version=1\n");
	wg_put_endpoint(out, &v->endpoint);
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

static void answer_get(struct wg_socket *s, struct evbuffer *out)
{
	device_report(s->device, put_device, put_peer, out);
	request_put_errno(out, 0);
}

static void answer_set(struct wg_socket *s, const char *text, size_t len, struct evbuffer *out)
{
	struct device_config config;
	const char *problem;
	size_t line;
	int err = wg_request_parse(text, len, &config, &problem, &line);

	if (err) {
		log_warn("wg request was refused", "device=%s line=%zu problem=\"%s\"",
			 device_name(s->device), line + 1, problem);
	} else {
		err = device_configure(s->device, &config);
		if (err)
			log_warn("wg request failed", "device=%s errno=%d", device_name(s->device),
				 -err);
		device_config_fini(&config);
	}
	request_put_errno(out, err);
}

static bool answer(void *context, struct request_client *c, const char *text, size_t len,
		   struct evbuffer *out)
{
	struct wg_socket *s = context;

	(void)c;
	if (request_has_line(&text, &len, "get=1")) {
		if (len != strlen("\n"))
			return false;
		answer_get(s, out);
		return true;
	}
	if (request_has_line(&text, &len, "set=1")) {
		answer_set(s, text, len, out);
		return true;
	}
	log_warn("wg request was refused", "device=%s line=1 problem=\"neither get=1 nor set=1\"",
		 device_name(s->device));
	return false;
}

/* --- the socket --- */

static void path_of(const char *name, char out[PATH_ROOM])
{
	snprintf(out, PATH_ROOM, DIRECTORY "/%s.sock", name);
}

/* `listener`: that of the process before; -1: none. */
static int serve(struct event_base *base, struct device *d, int listener, struct wg_socket **out)
{
	struct wg_socket *s = calloc(1, sizeof(*s));
	char path[PATH_ROOM];
	int err;

	if (!s)
		return -ENOMEM;
	s->device = d;
	path_of(device_served_name(d), path);
	err = request_server_new(&(struct request_server_params){.base = base,
								 .path = path,
								 .listener = listener,
								 .directory_mode = 0755,
								 .idle_seconds = 30,
								 .answer = answer,
								 .context = s},
				 &s->server);
	if (err) {
		log_error("cannot open the wg socket", "path=%s errno=%d error=\"%s\"", path, -err,
			  strerror(-err));
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

int wg_socket_new(struct event_base *base, struct device *d, struct wg_socket **out)
{
	return serve(base, d, -1, out);
}

int wg_socket_adopt(struct event_base *base, struct device *d, int listener, struct wg_socket **out)
{
	return serve(base, d, listener, out);
}

int wg_socket_listener(const struct wg_socket *s)
{
	return request_server_listener(s->server);
}

void wg_socket_free(struct wg_socket *s)
{
	if (!s)
		return;
	request_server_free(s->server);
	free(s);
}

void wg_socket_remove(const char *name)
{
	char path[PATH_ROOM];

	path_of(name, path);
	request_server_remove_dead(path);
}

int wg_socket_rename(struct wg_socket *s)
{
	char path[PATH_ROOM];

	path_of(device_served_name(s->device), path);
	return request_server_rename(s->server, path);
}
