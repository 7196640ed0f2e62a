/* SPDX-License-Identifier: Apache-2.0 */
/* What libbpf says goes into our log, at level debug. */
#ifndef PROGRAMS_LIBBPF_LOG_H
#define PROGRAMS_LIBBPF_LOG_H

/* Before the first use of libbpf; any number of times. */
void libbpf_log(void);

#endif
