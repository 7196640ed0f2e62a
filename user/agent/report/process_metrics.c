/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

static void write_one(FILE *f, const char *name, const char *type, const char *help, double value)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static long resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static unsigned int open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;
	struct dirent *e;

	if (!d)
		return 0;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n - 1; /* without the descriptor of the directory itself */
}

void process_metrics(FILE *f)
{
	struct rusage r;

	if (getrusage(RUSAGE_SELF, &r))
		return;
	write_one(f, "process_cpu_seconds_total", "counter",
		  "User and system time spent, in seconds.",
		  seconds(&r.ru_utime) + seconds(&r.ru_stime));
	write_one(f, "process_resident_memory_bytes", "gauge", "Resident memory.",
		  (double)resident_bytes());
	write_one(f, "process_open_fds", "gauge", "Open file descriptors.", open_files());
}
