/* SPDX-License-Identifier: Apache-2.0 */
/* Sends libbpf's messages to our log, at level debug. */
#ifndef PROGRAMS_LIBBPF_LOG_H
#define PROGRAMS_LIBBPF_LOG_H

/* Call it before the first use of libbpf. It may be called more than once. */
void libbpf_log(void);

#endif
