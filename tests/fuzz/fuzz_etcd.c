/* SPDX-License-Identifier: Apache-2.0 */
/* What etcd's gateway may send on a watch: any bytes move the revision forwards only, and are told
 * or refused with a reason. */
#include <stdlib.h>
#include <string.h>

#include "store/etcd_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_key(void *context, const char *key, const char *value, size_t len, int64_t lease)
{
	(void)context;
	(void)lease;
	if (!key || (value && strnlen(value, len) > len) || (!value && len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct etcd_watch_params p = {.key = on_key};
	int64_t revision = 7;
	char why[200] = "";
	json_t *v;
	char *text;
	size_t len;

	if (etcd_watch_event(&p, (const char *)data, size, &revision, why, sizeof(why)) ==
		    ETCD_WATCH_STANDS &&
	    *why)
		abort();
	if (revision < 7)
		abort();
	v = json_stringn((const char *)data, size);
	text = v ? etcd_text(v, &len) : NULL;
	if (text && (len > size || text[len]))
		abort();
	free(text);
	json_decref(v);
	return 0;
}
