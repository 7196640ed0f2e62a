/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's metrics in Prometheus' text format: Calico's names for WireGuard's, podveil_ for the
 * rest. Thread: control.
 */
#ifndef NODE_METRICS_H
#define NODE_METRICS_H

#include "node/report.h"

/* Allocated; NULL: no memory. */
char *metrics_text(const struct report_input *in);

#endif
