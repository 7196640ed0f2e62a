/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's metrics in Prometheus' text format. The metrics of WireGuard have Calico's names; all
 * others begin with podveil_. Thread: control.
 */
#ifndef AGENT_REPORT_METRICS_H
#define AGENT_REPORT_METRICS_H

#include "agent/report/report.h"

/* Allocated; NULL: no memory. */
char *metrics_text(const struct report_input *in);

#endif
