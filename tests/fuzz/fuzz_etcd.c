/* SPDX-License-Identifier: Apache-2.0 */
/* What etcd's gateway may send on a watch: any bytes are reported as events or refused with a
 * reason, and the revision only grows. */
#include <stdlib.h>
#include <string.h>

#include "store/etcd/etcd_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_key(void *context, const struct etcd_key *k)
{
	(void)context;
	if (!k->key || (k->value && strnlen(k->value, k->len) > k->len) || (!k->value && k->len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct etcd_watch_params p = {.key = on_key};
	struct etcd_place at = {.cluster = "3", .revision = 7};
	char why[200] = "";
	json_t *v;
	char *text;
	size_t len;

	if (etcd_watch_event(&p, (const char *)data, size, &at, why, sizeof(why)) ==
		    ETCD_WATCH_RUNNING &&
	    *why)
		abort();
	if (at.revision < 7)
		abort();
	v = json_stringn((const char *)data, size);
	text = v ? etcd_text(v, &len) : NULL;
	if (text && (len > size || text[len]))
		abort();
	free(text);
	json_decref(v);
	return 0;
}
