/* SPDX-License-Identifier: Apache-2.0 */
/* One call: its headers and options, the bytes that arrive, and its end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "store/http/rest_internal.h"

#define BAD_ANSWER_MAX	(64u << 10) /* bytes kept of a body with a bad status */
#define TOKEN_MAX_BYTES (64u << 10)

/* --- receiving --- */

static size_t on_data(char *bytes, size_t size, size_t n, void *context)
{
	struct rest_call *c = context;
	const size_t len = size * n;
	long status = 0;
	size_t limit;

	c->last_received = clock_now_ms();
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (c->cancelled)
		return 0;
	if (status / 100 == 2 && c->request.data) {
		c->rest->in_data = true;
		c->refused = !c->request.data(c->request.context, bytes, len);
		c->rest->in_data = false;
		return c->refused ? 0 : len;
	}
	limit = status / 100 == 2 ? REST_ANSWER_BYTES : BAD_ANSWER_MAX;
	if (c->len + len > limit) {
		c->overflow = status / 100 == 2;
		return c->overflow ? 0 : len; /* of a bad answer, the beginning is enough */
	}
	if (c->len + len + 1 > c->room) {
		const size_t room = (c->len + len + 1) * 2;
		char *more = realloc(c->answer, room);

		if (!more)
			return 0;
		c->answer = more;
		c->room = room;
	}
	memcpy(c->answer + c->len, bytes, len);
	c->len += len;
	c->answer[c->len] = 0;
	return len;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *context)
{
	struct rest_call *c = context;
	long status = 0;

	c->last_received = clock_now_ms();
	/* An empty line ends the headers. */
	if (*bytes != '\r' && *bytes != '\n')
		return size * n;
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status / 100 == 2 && c->request.answered && !c->cancelled)
		c->request.answered(c->request.context);
	return size * n;
}

/* --- the end --- */

void rest_call_free(struct rest_call *c)
{
	struct rest *r = c->rest;

	TAILQ_REMOVE(&r->calls, c, in_list);
	if (r->probe.call == c)
		r->probe.call = NULL;
	if (c->easy) {
		if (r->connections)
			connections_remove(r->connections, c->easy);
		curl_easy_cleanup(c->easy);
	}
	for (struct curl_slist *h = c->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data)); /* a token may be in it */
	curl_slist_free_all(c->headers);
	free(c->url);
	credentials_wipe(&c->body); /* a password may be in it, and a token in the answer */
	if (c->answer)
		explicit_bzero(c->answer, c->len);
	free(c->answer);
	free(c);
}

const char *rest_call_error(const struct rest_call *c, CURLcode result, long status, char *room)
{
	if (c->overflow)
		return "the answer is larger than 4 MiB";
	if (c->refused)
		return "the answer is not valid";
	if (result != CURLE_OK)
		return *c->error ? c->error : curl_easy_strerror(result);
	if (status / 100 == 2)
		return "";
	snprintf(room, CURL_ERROR_SIZE, "HTTP status %ld", status);
	return room;
}

/* --- making --- */

static bool add_line(struct rest_call *c, const char *line)
{
	struct curl_slist *more = curl_slist_append(c->headers, line);

	if (more)
		c->headers = more;
	return more;
}

static bool add_header(struct rest_call *c, const char *name, const char *value)
{
	bool good;
	char *line;

	if (asprintf(&line, "%s: %s", name, value) < 0)
		return false;
	good = add_line(c, line);
	credentials_wipe(&line);
	return good;
}

/* Adds the Authorization header. The token's file is read each time, because it is replaced before
 * the token expires. */
static bool authorise(struct rest_call *c)
{
	const struct credentials *as = &c->rest->as;
	char *value = NULL, *text = NULL;
	const char *token = as->token;
	size_t len;
	bool good;

	if (c->rest->authorization)
		return add_header(c, "Authorization", c->rest->authorization);
	if (as->token_file && !file_read(as->token_file, TOKEN_MAX_BYTES, &text, &len)) {
		text[strcspn(text, "\r\n")] = 0;
		token = text;
	}
	good = !token ||
	       (asprintf(&value, "Bearer %s", token) >= 0 && add_header(c, "Authorization", value));
	credentials_wipe(&value);
	credentials_wipe(&text);
	return good;
}

static int prepare(struct rest_call *c)
{
	const struct rest_request *q = &c->request;
	CURL *e = c->easy;

	if (!add_header(c, "Accept", "application/json") ||
	    (q->content_type && !add_header(c, "Content-Type", q->content_type)) ||
	    (q->header && !add_line(c, q->header)) || !authorise(c))
		return -ENOMEM;
	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(e, CURLOPT_URL, c->url);
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, q->method);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "podveil");
	curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	if (c->body) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->body);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(c->body));
	}
	if (c->rest->connect_to)
		curl_easy_setopt(e, CURLOPT_CONNECT_TO, c->rest->connect_to);
	credentials_apply(&c->rest->as, e);
	return 0;
}

struct rest_call *rest_call_new(struct rest *r, const struct rest_request *q)
{
	struct rest_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->rest = r;
	c->request = *q;
	c->started_at = c->last_received = clock_now_ms();
	TAILQ_INSERT_TAIL(&r->calls, c, in_list);
	c->easy = curl_easy_init();
	c->body = q->body ? strdup(q->body) : NULL;
	if (asprintf(&c->url, "%s%s", r->as.server, q->path) < 0)
		c->url = NULL;
	if (!c->easy || !c->url || (q->body && !c->body) || prepare(c)) {
		rest_call_free(c);
		return NULL;
	}
	return c;
}
