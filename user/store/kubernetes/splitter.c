/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/splitter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REST_MAX_BYTES (64u << 10)
#define MAX_DEPTH      256

void splitter_init(struct splitter *s, const char *member,
		   void (*object)(void *context, const char *text, size_t len), void *context)
{
	memset(s, 0, sizeof(*s));
	s->member = member;
	s->object = object;
	s->context = context;
}

void splitter_fini(struct splitter *s)
{
	free(s->text);
	free(s->rest);
	memset(s, 0, sizeof(*s));
}

static int append(char **to, size_t *len, size_t *room, char c)
{
	if (*len + 2 > *room) {
		const size_t more = *room ? *room * 2 : 4096;
		char *fresh = realloc(*to, more);

		if (!fresh)
			return -ENOMEM;
		*to = fresh;
		*room = more;
	}
	(*to)[(*len)++] = c;
	(*to)[*len] = 0;
	return 0;
}

/* The depth at which objects begin: in the member's list, or at the top of the stream. */
static unsigned int ground(const struct splitter *s)
{
	return s->in_items ? 2 : 0;
}

static bool gathering(const struct splitter *s)
{
	return (!s->member || s->in_items) && s->depth > ground(s);
}

/* Is `"items":` in front of the bracket that opens now? */
static bool is_member(const struct splitter *s)
{
	const size_t len = strlen(s->member);
	size_t at = s->rest_len;

	while (at && strchr(" \t\r\n", s->rest[at - 1]))
		at--;
	if (!at || s->rest[at - 1] != ':')
		return false;
	for (at--; at && strchr(" \t\r\n", s->rest[at - 1]);)
		at--;
	return at == s->key_at + len + 2 && !memcmp(s->rest + s->key_at + 1, s->member, len) &&
	       s->rest[at - 1] == '"';
}

/* Adds a character to the envelope. */
static int keep_rest(struct splitter *s, char c)
{
	/* Between the objects there may be only commas and blanks, which are dropped. */
	if (!s->member || (s->in_items && s->depth == 2 && c != ']'))
		return strchr(" \t\r\n,", c) ? 0 : -EINVAL;
	if (s->rest_len >= REST_MAX_BYTES)
		return -EFBIG;
	return append(&s->rest, &s->rest_len, &s->rest_room, c);
}

static int keep(struct splitter *s, char c)
{
	if (s->skipping)
		return 0;
	if (s->len < SPLITTER_MAX_BYTES)
		return append(&s->text, &s->len, &s->room, c);
	s->skipping = true;
	s->too_large++;
	return 0;
}

static int open_bracket(struct splitter *s, char c)
{
	const bool begins = (!s->member || s->in_items) && s->depth == ground(s);
	int err;

	if (s->depth == MAX_DEPTH || (begins && c != '{'))
		return -EINVAL;
	if (begins)
		s->len = 0;
	if (begins || gathering(s)) {
		err = keep(s, c);
	} else {
		const bool items = c == '[' && s->member && s->depth == 1 && is_member(s);

		err = keep_rest(s, c);
		s->in_items = items;
	}
	s->depth++;
	return err;
}

static int close_bracket(struct splitter *s, char c)
{
	int err;

	if (!s->depth)
		return -EINVAL;
	if (!gathering(s)) {
		err = keep_rest(s, c);
		s->depth--;
		if (s->in_items && s->depth == 1)
			s->in_items = false;
		return err;
	}
	err = keep(s, c);
	s->depth--;
	if (err || gathering(s))
		return err;
	if (!s->skipping)
		s->object(s->context, s->text, s->len);
	s->skipping = false;
	s->len = 0;
	return 0;
}

static int take(struct splitter *s, char c)
{
	if (s->in_string) {
		if (s->escaped)
			s->escaped = false;
		else if (c == '\\')
			s->escaped = true;
		else if (c == '"')
			s->in_string = false;
		return gathering(s) ? keep(s, c) : keep_rest(s, c);
	}
	switch (c) {
	case '{':
	case '[':
		return open_bracket(s, c);
	case '}':
	case ']':
		return close_bracket(s, c);
	case '"':
		s->in_string = true;
		if (!gathering(s))
			s->key_at = s->rest_len;
		/* fall through */
	default:
		return gathering(s) ? keep(s, c) : keep_rest(s, c);
	}
}

int splitter_feed(struct splitter *s, const char *bytes, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = take(s, bytes[i]);
	return err;
}

bool splitter_pending(const struct splitter *s)
{
	return gathering(s);
}

const char *splitter_rest(const struct splitter *s)
{
	return s->rest ? s->rest : "";
}
