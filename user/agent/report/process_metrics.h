/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics that every exporter has of its process, under their usual names. */
#ifndef AGENT_REPORT_PROCESS_METRICS_H
#define AGENT_REPORT_PROCESS_METRICS_H

#include <stdio.h>

/* Writes them in Prometheus' text format. */
void process_metrics(FILE *f);

#endif
