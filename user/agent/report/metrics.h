/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's metrics in Prometheus' text format: Calico's names for WireGuard's, podveil_ for the
 * rest. Thread: control.
 */
#ifndef AGENT_REPORT_METRICS_H
#define AGENT_REPORT_METRICS_H

#include "agent/report/report.h"

/* Allocated; NULL: no memory. */
char *metrics_text(const struct report_input *in);

#endif
