/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/libbpf_log.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static int print(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	(void)level;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = 0;
	log_debug("libbpf", "says=\"%s\"", line);
	return 0;
}

void libbpf_log(void)
{
	libbpf_set_print(print);
}
