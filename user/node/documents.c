/* SPDX-License-Identifier: Apache-2.0 */
#include "node/documents.h"

#include <stdlib.h>
#include <string.h>

#include "node/metrics.h"
#include "node/page.h"
#include "observe/assets.h"
#include "observe/http.h"
#include "observe/log.h"

struct documents {
	struct http *server;
	struct report_input (*describe)(void *context);
	void *context;
};

static char *get_status(void *context, int *status)
{
	const struct documents *d = context;
	const struct report_input in = d->describe(d->context);

	(void)status;
	return report_status(&in);
}

static char *get_page(void *context, int *status)
{
	const struct documents *d = context;
	const struct report_input in = d->describe(d->context);
	json_t *document = report_document(&in);
	char *text = document ? page_text(document) : NULL;

	(void)status;
	json_decref(document);
	return text;
}

static char *get_css(void *context, int *status)
{
	(void)context;
	(void)status;
	return strdup(asset_page_css);
}

static char *get_js(void *context, int *status)
{
	(void)context;
	(void)status;
	return strdup(asset_page_js);
}

static char *get_metrics(void *context, int *status)
{
	const struct documents *d = context;
	const struct report_input in = d->describe(d->context);

	(void)status;
	return metrics_text(&in);
}

static char *get_health(void *context, int *status)
{
	(void)context;
	(void)status;
	return strdup("ok\n");
}

static char *get_readiness(void *context, int *status)
{
	const struct documents *d = context;
	const struct report_input in = d->describe(d->context);
	char *problem = report_unready(&in);

	if (!problem)
		return NULL;
	if (*problem) {
		*status = 503;
		return problem;
	}
	free(problem);
	return strdup("ready\n");
}

static const struct http_document table[] = {
	{"/", "text/html; charset=utf-8", get_page},
	{"/page.css", "text/css; charset=utf-8", get_css},
	{"/page.js", "text/javascript; charset=utf-8", get_js},
	{"/metrics", "text/plain; version=0.0.4; charset=utf-8", get_metrics},
	{"/status", "application/json", get_status},
	{"/healthz", "text/plain", get_health},
	{"/readyz", "text/plain", get_readiness},
};

struct documents *documents_serve(struct event_base *base, const char *where,
				  struct report_input (*describe)(void *context), void *context)
{
	struct documents *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return NULL;
	d->describe = describe;
	d->context = context;
	err = http_new(base, where, table, sizeof(table) / sizeof(*table), d, &d->server);
	if (!err)
		return d;
	log_error("metrics are not served", "address=%s errno=%d error=\"%s\"", where, -err,
		  strerror(-err));
	free(d);
	return NULL;
}

void documents_free(struct documents *d)
{
	if (!d)
		return;
	http_free(d->server);
	free(d);
}
