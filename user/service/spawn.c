/* SPDX-License-Identifier: Apache-2.0 */
#include "service/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child of a process with threads: only what is safe in a signal handler. */
static void run(char *const *arguments)
{
	const int null = open("/dev/null", O_RDWR);

	setsid();
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	close_range(STDERR_FILENO + 1, UINT_MAX, 0);
	if (chdir("/"))
		_exit(1);
	execv("/proc/self/exe", arguments);
	_exit(1);
}

int spawn_tunnel_process(enum log_level level, enum log_format format)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	char *const arguments[] = {"podveil",
				   "tunnel",
				   "--log-level",
				   (char *)levels[level],
				   "--log-format",
				   format == LOG_FORMAT_JSON ? "json" : "text",
				   NULL};
	pid_t child = fork();
	int status;

	if (child < 0)
		return -errno;
	if (!child) {
		/* Once more, so that it is init's child: nobody here has to wait for its end. */
		child = fork();
		if (!child)
			run(arguments);
		_exit(child < 0);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EAGAIN;
}
