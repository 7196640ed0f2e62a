/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the store: a record is accepted completely or refused with a reason, and is the same
 * after it is written and read again. No value of a setting crashes us, and a refused one changes
 * nothing. */
#include <stdlib.h>
#include <string.h>

#include "plan/settings.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void records(const char *text, size_t len)
{
	struct node_record r, again;
	char problem[200] = "", *written;

	if (record_parse(text, len, &r, problem, sizeof(problem))) {
		if (!*problem)
			abort();
		return;
	}
	written = record_format(&r);
	if (!written || record_parse(written, strlen(written), &again, problem, sizeof(problem)) ||
	    !record_equal(&r, &again))
		abort();
	free(written);
	record_fini(&again);
	record_fini(&r);
}

static void settings(uint8_t which, const char *value)
{
	struct settings_stack *s = settings_new();
	bool good;

	settings_layer_begin(s, SETTINGS_CLUSTER, "fuzz");
	good = !settings_layer_set(s, settings_table[which % SETTINGS_COUNT].name, value);
	if (settings_layer_end(s) && !good)
		abort();
	settings_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = 0;
	records(text, size);
	if (size)
		settings(data[0], text + 1);
	free(text);
	return 0;
}
