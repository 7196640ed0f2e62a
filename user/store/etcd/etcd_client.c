/* SPDX-License-Identifier: Apache-2.0 */
#include "store/etcd/etcd_client.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define AUTH_MS	      5000
#define MAX_ENDPOINTS 16
/* As etcdctl's watch does: with this header a member without a leader answers with an error instead
 * of waiting for a leader. It also ends a running watch within some seconds. */
#define ASK_FOR_LEADER "Grpc-Metadata-hasleader: true"

struct etcd_client {
	struct rest *rest;
	char *endpoints[MAX_ENDPOINTS];
	size_t n_endpoints, at;
	char *user, *password;
	bool authenticated, refused;
	bool complained[MAX_ENDPOINTS];
	char problem[200]; /* of the last refusal */
	struct rest_call *authenticating;
};

/* --- values --- */

json_t *etcd_bytes(const char *bytes, size_t len)
{
	const size_t room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
	char *encoded = malloc(room);
	json_t *v;

	if (!encoded)
		return NULL;
	sodium_bin2base64(encoded, room, (const unsigned char *)bytes, len,
			  sodium_base64_VARIANT_ORIGINAL);
	v = json_string(encoded);
	free(encoded);
	return v;
}

json_t *etcd_string(const char *text)
{
	return etcd_bytes(text, strlen(text));
}

char *etcd_text(const json_t *v, size_t *len)
{
	const char *encoded = json_string_value(v);
	const size_t room = encoded ? strlen(encoded) : 0;
	char *text = encoded ? malloc(room + 1) : NULL;

	if (!text)
		return NULL;
	if (sodium_base642bin((unsigned char *)text, room, encoded, room, NULL, len, NULL,
			      sodium_base64_VARIANT_ORIGINAL)) {
		free(text);
		return NULL;
	}
	text[*len] = 0;
	return text;
}

int64_t etcd_number(const json_t *o, const char *member)
{
	const json_t *v = json_object_get(o, member);

	return json_is_integer(v)  ? json_integer_value(v)
	       : json_is_string(v) ? strtoll(json_string_value(v), NULL, 10)
				   : 0;
}

json_t *etcd_prefix(const char *prefix)
{
	char *end = strdup(prefix);
	json_t *o;

	if (!end)
		return NULL;
	end[strlen(end) - 1]++; /* '/' becomes '0', the next character */
	o = json_pack("{s:o, s:o}", "key", etcd_string(prefix), "range_end", etcd_string(end));
	free(end);
	return o;
}

/* --- tokens --- */

static void on_authenticated(void *context, const struct rest_answer *a)
{
	struct etcd_client *c = context;
	const size_t at = c->at; /* etcd_answer() may change it */
	json_t *o;
	const char *token;
	char problem[200];

	c->authenticating = NULL;
	o = etcd_answer(c, a, problem, sizeof(problem));
	token = json_string_value(json_object_get(o, "token"));
	if (token && !rest_authorise(c->rest, token)) {
		c->authenticated = true;
		c->refused = false;
		*c->problem = 0;
		memset(c->complained, 0, sizeof(c->complained));
	} else {
		/* Log it once per endpoint, until one accepts us. */
		if (!c->complained[at])
			log_warn(a->status ? "store: etcd refused our user or password"
					   : "store: an endpoint of etcd does not answer",
				 "endpoint=%s user=%s problem=\"%s\"", c->endpoints[at], c->user,
				 *problem ? problem : "no token");
		c->complained[at] = true;
		c->refused = a->status != 0;
		snprintf(c->problem, sizeof(c->problem), "%s", problem);
	}
	json_decref(o);
}

static void authenticate(struct etcd_client *c)
{
	struct rest_request q = {
		.method = "POST",
		.path = "/v3/auth/authenticate",
		.content_type = "application/json",
		.header = ASK_FOR_LEADER,
		.timeout_ms = AUTH_MS,
		.done = on_authenticated,
		.context = c,
	};
	json_t *o = json_pack("{s:s, s:s}", "name", c->user, "password", c->password);
	char *body = json_dumps(o, JSON_COMPACT);

	rest_authorise(c->rest, NULL);
	q.body = body;
	if (body)
		c->authenticating = rest_start(c->rest, &q);
	credentials_wipe(&body);
	json_decref(o);
}

/* --- requests --- */

struct rest_call *etcd_start(struct etcd_client *c, const char *path, json_t *body,
			     struct rest_request q)
{
	struct rest_call *call = NULL;
	char *text = NULL;

	if (c->user && !c->authenticated) {
		if (!c->authenticating)
			authenticate(c);
	} else {
		text = body ? json_dumps(body, JSON_COMPACT) : NULL;
		q.method = "POST";
		q.path = path;
		q.content_type = "application/json";
		q.header = ASK_FOR_LEADER;
		q.body = text;
		call = text ? rest_start(c->rest, &q) : NULL;
	}
	free(text);
	json_decref(body);
	return call;
}

/* Moves on only if the answer came from the present endpoint: another call may have moved on
 * already. */
void etcd_avoid_member(struct etcd_client *c, const struct rest_answer *a)
{
	const size_t len = strlen(c->endpoints[c->at]);

	if (strncmp(a->url, c->endpoints[c->at], len) != 0 || a->url[len] != '/')
		return;
	c->at = (c->at + 1) % c->n_endpoints;
	rest_move(c->rest, c->endpoints[c->at]);
}

json_t *etcd_answer(struct etcd_client *c, const struct rest_answer *a, char *out, size_t room)
{
	json_t *o = json_loadb(a->body, a->len, 0, NULL);
	const char *message = json_string_value(json_object_get(o, "message"));

	if (!message)
		message = json_string_value(json_object_get(o, "error"));
	*out = 0;
	if (a->status / 100 == 2 && json_is_object(o))
		return o;
	if ((!a->status && !a->too_large) || a->status == 503 || a->status == 504)
		etcd_avoid_member(c, a);
	if (a->status == 401)
		c->authenticated = false;
	snprintf(out, room, "%s%.180s", a->status || a->too_large ? "" : "no answer: ",
		 message     ? message
		 : *a->error ? a->error
			     : "the answer is not JSON");
	json_decref(o);
	return NULL;
}

void etcd_forget_token(struct etcd_client *c)
{
	c->authenticated = false;
}

const char *etcd_peer(const struct etcd_client *c)
{
	return rest_peer(c->rest);
}

const char *etcd_refusal(const struct etcd_client *c)
{
	return c->refused ? c->problem : NULL;
}

const char *etcd_token_problem(const struct etcd_client *c)
{
	return c->problem;
}

/* --- making and freeing --- */

static bool is_url(const char *text)
{
	const char *host = !strncmp(text, "https://", 8)  ? text + 8
			   : !strncmp(text, "http://", 7) ? text + 7
							  : "";

	return *host && !strpbrk(host, "/@?# ");
}

static int take_urls(struct etcd_client *c, const char *urls)
{
	char *copy = strdup(urls), *at = copy, *one;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (one = strsep(&at, ","))) {
		size_t len = strlen(one);

		while (len && one[len - 1] == '/')
			one[--len] = 0;
		if (!is_url(one) || c->n_endpoints == MAX_ENDPOINTS) {
			log_error(
				"the list of etcd endpoints is not valid",
				"store=etcd:%.200s needs=\"etcd:https://HOST:PORT, up to %d separated by commas\"",
				urls, MAX_ENDPOINTS);
			err = -EINVAL;
		} else {
			c->endpoints[c->n_endpoints] = strdup(one);
			err = c->endpoints[c->n_endpoints++] ? 0 : -ENOMEM;
		}
	}
	free(copy);
	return err;
}

static char *variable(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? strdup(text) : NULL;
}

static int take_file(char **out, const char *name)
{
	int err = 0;

	*out = variable(name);
	if (*out && access(*out, R_OK)) {
		err = -errno;
		log_error("a file for TLS cannot be read", "variable=%s file=%s error=\"%s\"", name,
			  *out, strerror(-err));
	}
	return err;
}

static int take_tls(struct credentials *as)
{
	int err = take_file(&as->ca_file, "ETCDCTL_CACERT");

	if (!err)
		err = take_file(&as->cert_file, "ETCDCTL_CERT");
	if (!err)
		err = take_file(&as->key_file, "ETCDCTL_KEY");
	if (!err && !as->cert_file != !as->key_file) {
		log_error("a client certificate and its key must be set together",
			  "needs=\"both ETCDCTL_CERT and ETCDCTL_KEY, or neither\"");
		err = -EINVAL;
	}
	return err;
}

static int take_user(struct etcd_client *c)
{
	char *colon;

	c->user = variable("ETCDCTL_USER");
	c->password = variable("ETCDCTL_PASSWORD");
	colon = c->user ? strchr(c->user, ':') : NULL;
	if (colon && !c->password) {
		c->password = strdup(colon + 1);
		sodium_memzero(colon, strlen(colon));
	}
	if (c->user && !c->password) {
		log_error("an etcd user needs a password",
			  "needs=\"ETCDCTL_USER=USER:PASSWORD, or ETCDCTL_PASSWORD\"");
		return -EINVAL;
	}
	return 0;
}

int etcd_client_new(struct event_base *base, const char *urls, struct etcd_client **out)
{
	struct etcd_client *c = calloc(1, sizeof(*c));
	struct credentials as = {.insecure = false};
	int err;

	if (!c)
		return -ENOMEM;
	if (!*urls && getenv("ETCDCTL_ENDPOINTS"))
		urls = getenv("ETCDCTL_ENDPOINTS");
	err = take_urls(c, urls);
	if (!err)
		err = take_user(c);
	if (!err)
		err = take_tls(&as);
	if (!err) {
		as.server = strdup(c->endpoints[0]);
		err = as.server ? rest_new(base, &as, "/version", &c->rest) : -ENOMEM;
	}
	credentials_fini(&as);
	if (err)
		etcd_client_free(c);
	else
		*out = c;
	return err;
}

void etcd_client_free(struct etcd_client *c)
{
	if (!c)
		return;
	rest_free(c->rest);
	for (size_t i = 0; i < c->n_endpoints; i++)
		free(c->endpoints[i]);
	free(c->user);
	credentials_wipe(&c->password);
	free(c);
}
