/* SPDX-License-Identifier: Apache-2.0 */
#include "service/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const levels[] = {"error", "warn", "info", "debug"};
static const char *const formats[] = {"text", "json"};

#define N_LEVELS  (sizeof(levels) / sizeof(*levels))
#define N_FORMATS (sizeof(formats) / sizeof(*formats))

/* The child becomes a tunnel process. It has our standard error, and nothing else of ours. */
static void become(const unsigned char how[2])
{
	char *const arguments[] = {"podveil",
				   "tunnel",
				   "--log-level",
				   (char *)levels[how[0]],
				   "--log-format",
				   (char *)formats[how[1]],
				   NULL};

	setsid();
	signal(SIGCHLD, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	close_range(STDERR_FILENO + 1, UINT_MAX, 0);
	execv("/proc/self/exe", arguments);
	_exit(1);
}

static void serve(int socket)
{
	const int null = open("/dev/null", O_RDWR);
	unsigned char how[2];

	prctl(PR_SET_NAME, "podveil-starter");
	signal(SIGCHLD, SIG_IGN); /* the kernel forgets tunnel processes that have ended */
	signal(SIGINT, SIG_IGN);  /* it ends with the agent */
	signal(SIGTERM, SIG_IGN);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (chdir("/"))
		_exit(1);
	while (recv(socket, how, sizeof(how), 0) == sizeof(how))
		if (how[0] < N_LEVELS && how[1] < N_FORMATS && !fork())
			become(how);
	_exit(0);
}

int starter_new(int *out)
{
	int ends[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	child = fork();
	if (!child) {
		close(ends[0]);
		serve(ends[1]);
	}
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		return -errno;
	}
	*out = ends[0];
	return 0;
}

int starter_start(int starter, enum log_level level, enum log_format format)
{
	const unsigned char how[2] = {(unsigned char)level, (unsigned char)format};

	return send(starter, how, sizeof(how), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}
