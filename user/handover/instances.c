/* SPDX-License-Identifier: Apache-2.0 */
#include "handover/instances.h"

#include <string.h>

bool instance_is_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-._";
	const size_t n = strspn(name, allowed);

	return n && n <= INSTANCE_MAX && !name[n];
}

static size_t find(const struct instances *list, const char *name)
{
	size_t i = 0;

	while (i < list->n && strcmp(list->names[i], name) != 0)
		i++;
	return i;
}

bool instances_has(const struct instances *list, const char *name)
{
	return find(list, name) < list->n;
}

static void leave_out(struct instances *list, size_t i)
{
	memmove(list->names + i, list->names + i + 1, (list->n - i - 1) * sizeof(list->names[0]));
	list->n--;
}

void instances_add(struct instances *list, const char *name)
{
	const size_t at = find(list, name);

	if (!instance_is_valid(name))
		return;
	if (at < list->n)
		leave_out(list, at);
	if (list->n == INSTANCES_KEPT)
		leave_out(list, 0);
	strcpy(list->names[list->n++], name);
}

size_t instances_write(const struct instances *list, uint8_t *out)
{
	size_t length = 0;

	for (size_t i = 0; i < list->n; i++) {
		const size_t n = strlen(list->names[i]) + 1;

		memcpy(out + length, list->names[i], n);
		length += n;
	}
	return length;
}

/* Reads the text at *at, and moves behind it. False: there is no other. */
static bool next(const uint8_t *bytes, size_t length, size_t *at, char out[INSTANCE_MAX + 1])
{
	const uint8_t *text = bytes + *at;
	const uint8_t *end = *at < length ? memchr(text, 0, length - *at) : NULL;

	*out = 0;
	if (!end)
		return false;
	if (end - text <= INSTANCE_MAX && instance_is_valid((const char *)text))
		strcpy(out, (const char *)text);
	*at = (size_t)(end - bytes) + 1;
	return true;
}

void instances_read(const uint8_t *bytes, size_t length, struct instances *out)
{
	char name[INSTANCE_MAX + 1];
	size_t at = 0;

	*out = (struct instances){.n = 0};
	while (next(bytes, length, &at, name))
		instances_add(out, name);
}

void instances_read_one(const uint8_t *bytes, size_t length, size_t i, char out[INSTANCE_MAX + 1])
{
	size_t at = 0;
	bool there;

	do
		there = next(bytes, length, &at, out);
	while (there && i--);
}
