/* SPDX-License-Identifier: Apache-2.0 */
/* Each test confines a child process, which then tries what is allowed and what is not. Needs root:
 * other users may not give up capabilities that they do not have. */
#include <setjmp.h> /* cmocka.h needs these four first */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "confine/confine.h"

#define KILLED (-SIGSYS)

static char directory[64], store[80];

/* Skips the test where the kernel, or what emulates it, has no seccomp or no Landlock. */
static void skip_if_unusable(void)
{
	struct confinement c;

	confine_examine(&c);
	if (!c.parts[CONFINE_CALLS].in_force || !c.parts[CONFINE_FILES].in_force)
		skip();
}

/* Runs `what` in a child process that was confined as `process`. Returns what it returns, or
 * -SIGNAL. */
static int confined(enum confine_process process, int (*what)(void))
{
	int status;
	pid_t child;

	skip_if_unusable();
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct confine_params p = {
			.process = process,
			.user = {CONFINE_USER_ID, CONFINE_USER_ID},
			.directory = process == CONFINE_AGENT ? store : NULL,
		};
		struct confinement c;

		log_level_set(LOG_LEVEL_ERROR);
		prctl(PR_SET_DUMPABLE, 0);
		if (confine(&p, &c))
			_exit(99);
		for (int i = 0; i < CONFINE_PARTS; i++)
			if (!c.parts[i].in_force)
				_exit(98);
		_exit(what());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* --- system calls --- */

static int start_program(void)
{
	char *const nothing[] = {NULL};

	return execve("/bin/true", nothing, nothing) ? 1 : 0;
}

static int fork_process(void)
{
	return (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) < 0 ? 1 : 0;
}

static int trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? 1 : 0;
}

static int change_namespace(void)
{
	return syscall(SYS_setns, 0, 0) ? 1 : 0;
}

static int kill_another(void)
{
	return kill(1, 0) ? 1 : 0;
}

static int kill_by_thread(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) ? 1 : 0;
}

static int abort_itself(void)
{
	abort();
}

static void test_an_abort_is_an_abort(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, abort_itself), -SIGABRT);
}

static int become_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1) ? 1 : 0;
}

static int open_tcp(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 1 : 0;
}

static int open_another_family(void)
{
	return socket(AF_VSOCK, SOCK_STREAM, 0) < 0 ? 1 : 0;
}

static void test_a_forbidden_call_ends_the_process(void **state)
{
	static int (*const calls[])(void) = {start_program,   fork_process,	  trace,
					     kill_by_thread,  kill_another,	  change_namespace,
					     become_dumpable, open_another_family};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		assert_int_equal(confined(CONFINE_DEVICE, calls[i]), KILLED);
		assert_int_equal(confined(CONFINE_AGENT, calls[i]), KILLED);
	}
}

static void test_the_device_has_no_tcp_and_the_agent_has(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, open_tcp), KILLED);
	assert_int_equal(confined(CONFINE_AGENT, open_tcp), 0);
}

static int mount_something(void)
{
	return mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) && errno == EPERM ? 0 : 1;
}

static void test_mounting_is_refused_and_the_process_goes_on(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, mount_something), 0);
	assert_int_equal(confined(CONFINE_AGENT, mount_something), 0);
}

static int map_code(void)
{
	void *const made =
		mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *const later = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (later == MAP_FAILED)
		return 1;
	return made == MAP_FAILED && mprotect(later, 4096, PROT_READ | PROT_EXEC) && errno == EACCES
		       ? 0
		       : 1;
}

static void test_the_device_maps_no_code(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, map_code), 0);
}

/* --- threads --- */

static void *forbidden_in_a_thread(void *context)
{
	kill_another();
	return context;
}

static int threads_inherit(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, forbidden_in_a_thread, NULL))
		return 1;
	pthread_join(thread, NULL);
	return 2;
}

static void test_threads_are_confined_too(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, threads_inherit), KILLED);
	assert_int_equal(confined(CONFINE_AGENT, threads_inherit), KILLED);
}

static void *wait_for_ever(void *context)
{
	pause();
	return context;
}

static void test_it_is_refused_when_there_are_threads(void **state)
{
	int status;
	const pid_t child = fork();

	(void)state;
	if (!child) {
		const struct confine_params p = {.process = CONFINE_DEVICE};
		struct confinement c;
		pthread_t thread;

		pthread_create(&thread, NULL, wait_for_ever, NULL);
		_exit(confine(&p, &c) == -EBUSY && !c.parts[CONFINE_CALLS].in_force &&
				      *c.parts[CONFINE_CALLS].missing
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

/* --- capabilities --- */

static int no_other_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &header, d))
		return 1;

	const uint64_t held = d[0].permitted | (uint64_t)d[1].permitted << 32;

	if (held >> CAP_SYS_ADMIN & 1 || held >> CAP_SYS_PTRACE & 1 || held >> CAP_SYS_MODULE & 1 ||
	    held >> CAP_SETUID & 1)
		return 2;
	if (!(held >> CAP_NET_ADMIN & 1))
		return 3;
	if (prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) || prctl(PR_CAPBSET_READ, CAP_NET_ADMIN) != 1)
		return 4;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 5;
}

static bool holds(int capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	return !syscall(SYS_capget, &header, d) &&
	       (d[0].permitted | (uint64_t)d[1].permitted << 32) >> capability & 1;
}

static int makes_no_programs(void)
{
	return holds(CAP_BPF) || holds(CAP_PERFMON) ? 1 : 0;
}

static int makes_programs(void)
{
	return holds(CAP_BPF) && holds(CAP_PERFMON) && !holds(CAP_DAC_OVERRIDE) ? 0 : 1;
}

/* Who has keys cannot read the kernel's memory. */
static void test_who_may_make_programs(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, makes_no_programs), 0);
	assert_int_equal(confined(CONFINE_TUNNEL, makes_no_programs), 0);
	assert_int_equal(confined(CONFINE_MAKER, makes_programs), 0);
}

/* What the kernel says to a call of bpf() with nothing: 1. */
static int call_bpf(int command)
{
	union bpf_attr nothing;

	memset(&nothing, 0, sizeof(nothing));
	return syscall(__NR_bpf, command, &nothing, sizeof(nothing)) ? 1 : 0;
}

static int load_program(void)
{
	return call_bpf(BPF_PROG_LOAD);
}

static int create_map(void)
{
	return call_bpf(BPF_MAP_CREATE);
}

static int attach_to_tracepoint(void)
{
	return call_bpf(BPF_RAW_TRACEPOINT_OPEN);
}

static int look_up(void)
{
	return call_bpf(BPF_MAP_LOOKUP_ELEM);
}

/* Beside the capabilities, which it would need as well. */
static void test_who_has_keys_does_not_call_the_kernel_to_make_programs(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_TUNNEL, load_program), KILLED);
	assert_int_equal(confined(CONFINE_TUNNEL, create_map), KILLED);
	assert_int_equal(confined(CONFINE_DEVICE, attach_to_tracepoint), KILLED);
	assert_int_equal(confined(CONFINE_DEVICE, look_up), 1);
	assert_int_equal(confined(CONFINE_MAKER, load_program), 1);
}

static int make_directory(void)
{
	return mkdir("/run/podveil/test_confine", 0700) ? 1 : 0;
}

static int open_udp(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? 1 : 0;
}

static void test_who_makes_programs_does_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_MAKER, start_program), KILLED);
	assert_int_equal(confined(CONFINE_MAKER, open_udp), KILLED);
	assert_int_equal(confined(CONFINE_MAKER, make_directory), KILLED);
}

static void test_capabilities_that_are_not_listed_are_gone(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, no_other_capabilities), 0);
	assert_int_equal(confined(CONFINE_AGENT, no_other_capabilities), 0);
}

/* --- the user --- */

static void test_which_user_is_meant(void **state)
{
	struct confine_user u;

	(void)state;
	assert_int_equal(confine_user_find("root", &u), 0);
	assert_true(!u.user && !u.group);
	assert_int_equal(confine_user_find("64830", &u), 0);
	assert_true(u.user == 64830 && u.group == 64830);
	assert_int_equal(confine_user_find("nobody", &u), 0);
	assert_true(u.user && u.group);
	assert_int_equal(confine_user_find(NULL, &u), 0);
	assert_true(u.user && u.group);
	assert_int_equal(confine_user_find("no-such-user", &u), -ENOENT);
	assert_int_equal(confine_user_find("", &u), -ENOENT);
	assert_int_equal(confine_user_find("-1", &u), -ENOENT);
	assert_int_equal(confine_user_find("12a", &u), -EINVAL);
	/* setresuid() takes these for "unchanged". */
	assert_int_equal(confine_user_find("4294967295", &u), -EINVAL);
	assert_int_equal(confine_user_find("65535", &u), -EINVAL);
	assert_int_equal(confine_user_find("18446744073709551616", &u), -EINVAL);
}

static int is_another_user(void)
{
	uid_t u[3];
	gid_t g[3];

	if (getresuid(&u[0], &u[1], &u[2]) || getresgid(&g[0], &g[1], &g[2]))
		return 1;
	for (size_t i = 0; i < 3; i++)
		if (u[i] != CONFINE_USER_ID || g[i] != CONFINE_USER_ID)
			return 2;
	return getgroups(0, NULL) ? 3 : 0;
}

static int is_root(void)
{
	return geteuid() ? 1 : 0;
}

static void test_who_has_keys_has_a_user_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, is_another_user), 0);
	assert_int_equal(confined(CONFINE_TUNNEL, is_another_user), 0);
	assert_int_equal(confined(CONFINE_AGENT, is_root), 0);
}

/* Without the right to reach files of all users, root alone reaches those of root: the process
 * stays root, and says so. */
static void test_without_the_right_it_stays_root_and_says_so(void **state)
{
	const struct confine_params p = {.process = CONFINE_DEVICE,
					 .user = {CONFINE_USER_ID, CONFINE_USER_ID}};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	struct confinement c;
	int status;
	pid_t child;

	(void)state;
	skip_if_unusable();
	child = fork();
	if (!child) {
		log_level_set(LOG_LEVEL_ERROR);
		if (syscall(SYS_capget, &header, d))
			_exit(1);
		d[0].effective &= ~(1u << CAP_DAC_OVERRIDE);
		d[0].permitted &= ~(1u << CAP_DAC_OVERRIDE);
		if (syscall(SYS_capset, &header, d) || confine(&p, &c) || geteuid())
			_exit(2);
		_exit(!c.parts[CONFINE_USER].in_force &&
				      strstr(c.parts[CONFINE_USER].missing, "CAP_DAC_OVERRIDE") &&
				      c.parts[CONFINE_CALLS].in_force
			      ? 0
			      : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- files --- */

static bool can_open(const char *path, int flags)
{
	const int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno != EACCES;
}

static int device_files(void)
{
	char other[128];

	snprintf(other, sizeof(other), "%s/file", directory);
	if (can_open("/etc/passwd", O_RDONLY) || can_open(other, O_WRONLY | O_CREAT) ||
	    can_open("/proc/sys/kernel/core_pattern", O_WRONLY))
		return 1;
	if (!can_open("/run/podveil/test_confine", O_RDWR | O_CREAT) ||
	    unlink("/run/podveil/test_confine"))
		return 2;
	/* libbpf opens this directory when it adopts a map. */
	return can_open("/sys/devices/system/cpu/online", O_RDONLY) && can_open("/", O_RDONLY) ? 0
											       : 3;
}

static void test_files_of_the_device(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_DEVICE, device_files), 0);
}

static int agent_files(void)
{
	char other[128];

	snprintf(other, sizeof(other), "%s/file", store);
	if (can_open("/etc/passwd", O_WRONLY) ||
	    can_open("/proc/sys/kernel/core_pattern", O_WRONLY) ||
	    can_open("/root/test_confine", O_WRONLY | O_CREAT))
		return 1;
	if (!can_open("/etc/passwd", O_RDONLY))
		return 2;
	/* Whoever removes the store's directory makes another one of that name. */
	if (rmdir(store) || mkdir(store, 0700) || !can_open(other, O_WRONLY | O_CREAT) ||
	    unlink(other))
		return 3;
	return can_open("/proc/sys/net/ipv4/conf/all/rp_filter", O_WRONLY) ? 0 : 4;
}

static void test_files_of_the_agent(void **state)
{
	(void)state;
	assert_int_equal(confined(CONFINE_AGENT, agent_files), 0);
}

static int make_directories(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test_confine.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(store, sizeof(store), "%s/store", directory);
	if (mkdir("/run/podveil", 0700) && errno != EEXIST)
		return -1;
	return mkdir(store, 0700);
}

static int remove_directories(void **state)
{
	(void)state;
	rmdir("/run/podveil");
	return rmdir(store) || rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_forbidden_call_ends_the_process),
		cmocka_unit_test(test_an_abort_is_an_abort),
		cmocka_unit_test(test_the_device_has_no_tcp_and_the_agent_has),
		cmocka_unit_test(test_mounting_is_refused_and_the_process_goes_on),
		cmocka_unit_test(test_the_device_maps_no_code),
		cmocka_unit_test(test_threads_are_confined_too),
		cmocka_unit_test(test_it_is_refused_when_there_are_threads),
		cmocka_unit_test(test_capabilities_that_are_not_listed_are_gone),
		cmocka_unit_test(test_who_may_make_programs),
		cmocka_unit_test(test_who_has_keys_does_not_call_the_kernel_to_make_programs),
		cmocka_unit_test(test_who_makes_programs_does_nothing_else),
		cmocka_unit_test(test_which_user_is_meant),
		cmocka_unit_test(test_who_has_keys_has_a_user_of_its_own),
		cmocka_unit_test(test_without_the_right_it_stays_root_and_says_so),
		cmocka_unit_test(test_files_of_the_device),
		cmocka_unit_test(test_files_of_the_agent),
	};

	if (geteuid()) {
		printf("needs root: skipped\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, make_directories, remove_directories);
}
