/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/process.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "base/log.h"
#include "cli/cli.h"
#include "crypto/aead.h"
#include "programs/pins.h"
#include "programs/program_maker.h"

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

static void protect(void)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0))
		log_warn("core dumps could not be switched off", "errno=%d", errno);
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		log_warn("memory could not be locked",
			 "errno=%d consequence=\"keys may reach swap\" needs=CAP_IPC_LOCK", errno);
}

int process_serve(int (*serve)(void *context), void *context)
{
	int result;

	protect();
	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0) {
		log_error("libsodium cannot start", "needs=\"a source of random numbers\"");
		return EXIT_FAILED;
	}
	rcu_register_thread();
	rcu_thread_offline();
	result = serve(context);
	aead_measure_end();
	rcu_thread_online();
	rcu_unregister_thread();
	return result;
}

/* In the child. */
static void confine_maker(void *context)
{
	const struct confine_params *of = context;
	const struct confine_params p = {.process = CONFINE_MAKER, .user = of->user};
	struct confinement made;

	confine(&p, &made);
}

void process_confine(const struct confine_params *p, struct confinement *out)
{
	struct confine_params of = *p;

	/* Whoever uses these reports what is missing. */
	if (mkdir("/run/podveil", 0700) && errno != EEXIST)
		log_debug("the directory could not be made", "path=/run/podveil errno=%d", errno);
	if (mkdir("/var/run/wireguard", 0755) && errno != EEXIST)
		log_debug("the directory could not be made", "path=/var/run/wireguard errno=%d",
			  errno);
	pins_mount();
	if (p->process != CONFINE_AGENT && program_maker_start(confine_maker, &of))
		log_error("podveil-maker cannot be started", "errno=%d", errno);
	if (confine(p, out))
		log_error("rights could not be given up", "problem=\"there are threads already\"");
}

const char *process_missing_rights(void)
{
	static const struct {
		int bit;
		const char *name;
	} needed[] = {
		{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		{CAP_NET_RAW, "CAP_NET_RAW"},
		{CAP_BPF, "CAP_BPF"},
	};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	static char missing[64];

	missing[0] = 0;

	if (syscall(SYS_capget, &header, data))
		return missing; /* unknown: the first operation without its right will fail */
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		const uint64_t held = data[0].effective | (uint64_t)data[1].effective << 32;

		if (held >> needed[i].bit & 1)
			continue;
		/* CAP_SYS_ADMIN includes CAP_BPF (new in Linux 5.8). */
		if (needed[i].bit == CAP_BPF && held >> CAP_SYS_ADMIN & 1)
			continue;
		strcat(missing, missing[0] ? ", " : "");
		strcat(missing, needed[i].name);
	}
	return missing;
}

bool process_privileged(void)
{
	const char *missing = process_missing_rights();

	if (!*missing)
		return true;
	fprintf(stderr, "podveil: not permitted: run as root, or with %s\n", missing);
	return false;
}

static void on_signal(evutil_socket_t number, short what, void *base)
{
	(void)what;
	if (number == SIGUSR1)
		log_level_step(1);
	else if (number == SIGUSR2)
		log_level_step(-1);
	else
		event_base_loopbreak(base);
}

int process_signals_begin(struct process_signals *s, struct event_base *base)
{
	static const int numbers[PROCESS_SIGNALS] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};

	*s = (struct process_signals){{NULL}};
	for (int i = 0; i < PROCESS_SIGNALS; i++) {
		s->events[i] = evsignal_new(base, numbers[i], on_signal, base);
		if (!s->events[i] || evsignal_add(s->events[i], NULL)) {
			process_signals_end(s);
			return -ENOMEM;
		}
	}
	return 0;
}

void process_signals_end(struct process_signals *s)
{
	for (int i = 0; i < PROCESS_SIGNALS; i++) {
		if (s->events[i])
			event_free(s->events[i]);
		s->events[i] = NULL;
	}
}

static int ready_pipe = -1;

int process_background(void)
{
	int ends[2], status = 1;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	child = fork();
	if (child < 0)
		return -errno;
	if (child) {
		close(ends[1]);
		/* End of file: the child ended too early, and has logged why. */
		if (read(ends[0], &status, sizeof(status)) != sizeof(status))
			status = 1;
		_exit(status);
	}
	close(ends[0]);
	ready_pipe = ends[1];
	setsid();
	return 0;
}

void process_ready(int status)
{
	int null;

	if (ready_pipe < 0)
		return;
	if (write(ready_pipe, &status, sizeof(status)) < 0)
		log_debug("the parent process does not wait for readiness", "errno=%d", errno);
	close(ready_pipe);
	ready_pipe = -1;
	/* The caller may wait until these are closed. Standard error stays open only with
	 * PODVEIL_LOG_STDERR: a terminal may go away. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (!getenv("PODVEIL_LOG_STDERR"))
		dup2(null, STDERR_FILENO);
	close(null);
	if (chdir("/"))
		log_debug("could not change the working directory", "errno=%d", errno);
}
