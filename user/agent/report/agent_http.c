/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report/agent_http.h"

#include <stdlib.h>
#include <string.h>

#include "agent/report/metrics.h"
#include "agent/report/page.h"
#include "base/log.h"
#include "http/assets.h"
#include "http/http.h"

/* A control thread that is busy for longer counts as hanging. The first reading of 5,000 nodes
 * takes a few seconds. */
#define HANG_MS 20000

struct agent_http {
	struct http *server;
	struct report_input (*describe)(void *context);
	void *context;
};

static char *get_status(void *context, int *status)
{
	const struct agent_http *d = context;
	const struct report_input in = d->describe(d->context);

	(void)status;
	return report_status_text(&in);
}

static char *get_page(void *context, int *status)
{
	const struct agent_http *d = context;
	const struct report_input in = d->describe(d->context);
	json_t *document = report_status_object(&in);
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
	const struct agent_http *d = context;
	const struct report_input in = d->describe(d->context);

	(void)status;
	return metrics_text(&in);
}

static char *get_readiness(void *context, int *status)
{
	const struct agent_http *d = context;
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

/* If several documents are requested, the first of this table is made first, so the cheap ones come
 * first. /metrics has peers' keys and endpoints, too, as Calico's metrics do; Prometheus reads them
 * from other machines. */
static const struct http_document table[] = {
	{"/healthz", "text/plain", .make = NULL},
	{"/readyz", "text/plain", .make = get_readiness},
	{"/metrics", "text/plain; version=0.0.4; charset=utf-8", .make = get_metrics},
	{"/status", "application/json", .make = get_status, .local = true},
	{"/", "text/html; charset=utf-8", .make = get_page, .local = true},
	{"/page.css", "text/css; charset=utf-8", .make = get_css, .constant = true},
	{"/page.js", "text/javascript; charset=utf-8", .make = get_js, .constant = true},
};

struct agent_http *agent_http_start(struct event_base *base, const char *where,
				    struct report_input (*describe)(void *context), void *context)
{
	struct agent_http *d = calloc(1, sizeof(*d));
	const struct http_params params = {
		.base = base,
		.address = where,
		.documents = table,
		.n = sizeof(table) / sizeof(*table),
		.context = d,
		.hang_ms = HANG_MS,
	};
	int err;

	if (!d)
		return NULL;
	d->describe = describe;
	d->context = context;
	err = http_new(&params, &d->server);
	if (!err)
		return d;
	log_error("metrics are not served", "address=%s errno=%d error=\"%s\"", where, -err,
		  strerror(-err));
	free(d);
	return NULL;
}

void agent_http_free(struct agent_http *d)
{
	if (!d)
		return;
	http_free(d->server);
	free(d);
}
