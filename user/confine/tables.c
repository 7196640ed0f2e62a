/* SPDX-License-Identifier: Apache-2.0 */
#include "confine/tables.h"

#include <linux/capability.h>

#include "confine/confine.h"

/* podveil device and podveil tunnel are the same code, and have the same rights but for files. */
#define DEVICES	     (CONFINE_DEVICE | CONFINE_TUNNEL)
#define ALL	     (DEVICES | CONFINE_AGENT)
#define MAKER	     CONFINE_MAKER
#define COUNT(table) const size_t table##_count = sizeof(table) / sizeof(*(table))

const struct confine_capability confine_capabilities[] = {
	{CAP_NET_ADMIN, "NET_ADMIN", ALL | MAKER,
	 "devices, routes, rules, nftables; programs on devices; marks and buffers of sockets"},
	{CAP_NET_RAW, "NET_RAW", ALL, "sockets of AF_XDP and AF_PACKET"},
	{CAP_NET_BROADCAST, "NET_BROADCAST", DEVICES,
	 "news of a tunnel device that was moved to another network namespace"},
	{CAP_BPF, "BPF", MAKER | CONFINE_AGENT,
	 "programs and maps are made (used, by a descriptor, without it)"},
	{CAP_PERFMON, "PERFMON", MAKER | CONFINE_AGENT,
	 "classify, steer and divert read what __sk_buff and xdp_md do not show: gso_type, gso_size, ip_summed, frame_sz; guard and shield on older kernels, whose verifier may need it"},
	{CAP_IPC_LOCK, "IPC_LOCK", ALL, "keys, and the frames of AF_XDP, in locked memory"},
	{CAP_SYS_NICE, "SYS_NICE", DEVICES, "low latency: workers run before other threads"},
	{CAP_DAC_OVERRIDE, "DAC_OVERRIDE", ALL,
	 "the directory of pins, which the kernel wants without permission bits"},
	{CAP_NET_BIND_SERVICE, "NET_BIND_SERVICE", ALL, "a port below 1024, where one is set"},
	{CAP_SETUID, "SETUID", DEVICES | MAKER | AT_START, "an own user"},
	{CAP_SETGID, "SETGID", DEVICES | MAKER | AT_START, "its group"},
	{CAP_CHOWN, "CHOWN", DEVICES | AT_START, "the directory of pins is that user's"},
	{CAP_SETPCAP, "SETPCAP", DEVICES | MAKER | AT_START, "these leave the bounding set"},
};
COUNT(confine_capabilities);

const struct confine_calls confine_calls[] = {
	{"recvmmsg sendmmsg recvmsg sendmsg recvfrom sendto poll ppoll clock_nanosleep nanosleep "
	 "sched_yield",
	 ALL | MAKER, "packets, messages, netlink"},
	{"epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 "
	 "timerfd_create timerfd_settime read readv write writev pipe2 select pselect6",
	 ALL | MAKER, "the event loops"},
	{"bind connect listen accept accept4 setsockopt getsockopt getsockname getpeername shutdown",
	 ALL, "sockets, once they are made"},
	{"bpf", MAKER | CONFINE_AGENT, "programs, maps, links and their pins"},
	{"memfd_create", ALL | MAKER, "libbpf: maps of constants"},
	{"openat open close close_range dup dup2 dup3 fcntl flock lseek pread64 pwrite64 ftruncate "
	 "fsync fdatasync umask chdir",
	 ALL | MAKER, "files and descriptors"},
	{"stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink "
	 "readlinkat getcwd getdents64",
	 ALL | MAKER, "looking at files"},
	{"mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 chmod fchmod fchmodat", ALL,
	 "pins, locks, keys, sockets of the file system"},
	{"munmap mremap madvise brk mlock mlock2 munlock mlockall mincore mseal", ALL | MAKER,
	 "memory"},
	{"futex set_robust_list rseq membarrier get_robust_list exit exit_group restart_syscall "
	 "arch_prctl map_shadow_stack set_tid_address gettid getpid",
	 ALL | MAKER, "threads"},
	{"rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack", ALL | MAKER, "signals"},
	{"sched_setscheduler sched_getscheduler sched_getparam sched_get_priority_min "
	 "sched_get_priority_max sched_getaffinity getcpu",
	 ALL | MAKER, "low latency, and the number of processors"},
	{"clock_gettime clock_getres gettimeofday time getrandom uname sysinfo getrusage capget "
	 "getuid geteuid getgid getegid getresuid getresgid getgroups getppid "
	 "prlimit64 getrlimit setrlimit times",
	 ALL | MAKER, "time, random numbers, and what the process and the machine are"},
	{"inotify_init1 inotify_add_watch inotify_rm_watch", CONFINE_AGENT, "a store's directory"},
};
COUNT(confine_calls);

/* /run and the directory around the store's: whoever deletes /run/podveil, or mounts the store
 * anew, makes another directory, which a rule for the old one does not hold for. */
const struct confine_file confine_files[] = {
	{"/sys/fs/bpf", FILE_READ | FILE_MAKE | FILE_WRITE, ALL, "pins"},
	{"/run/podveil", FILE_READ | FILE_WRITE | FILE_MAKE, CONFINE_DEVICE, "locks"},
	{"/var/run/wireguard", FILE_READ | FILE_MAKE, CONFINE_DEVICE, "the socket of wg(8)"},
	{"/run", FILE_READ | FILE_WRITE | FILE_MAKE, CONFINE_AGENT | CONFINE_TUNNEL,
	 "/run/podveil and /run/wireguard, also after they were deleted"},
	{"/var/run", FILE_READ | FILE_WRITE | FILE_MAKE, CONFINE_AGENT | CONFINE_TUNNEL,
	 "the same, where it is a directory of its own"},
	{"/dev/cpu_dma_latency", FILE_WRITE, DEVICES, "low latency: no processor sleeps deeply"},
	{"/dev/null", FILE_READ | FILE_WRITE, ALL | MAKER,
	 "in the background: standard input and output"},
	{"/proc/sys/net", FILE_READ | FILE_WRITE, CONFINE_AGENT, "rp_filter, src_valid_mark"},
	{"/dev/urandom", FILE_READ, DEVICES, "random numbers, where getrandom() is missing"},
	{"/sys/kernel/btf", FILE_READ, DEVICES | MAKER, "the kernel's types, for programs"},
	{"/sys/devices/system/cpu", FILE_READ, DEVICES | MAKER, "the number of processors"},
	{"/lib/modules", FILE_READ, DEVICES, "whether the kernel has cls_bpf"},
	{"/etc/ssl", FILE_READ, DEVICES, "OpenSSL's configuration"},
	{"/usr/lib/ssl", FILE_READ, DEVICES, "the same"},
	{"/proc/self", FILE_READ, DEVICES | MAKER, "libbpf: what a descriptor is"},
	{"/", FILE_LIST, DEVICES | MAKER, "libbpf: to adopt a map it opens this directory"},
	{"/", FILE_READ, CONFINE_AGENT,
	 "kubeconfig, tokens, certificates, names of hosts: they may be anywhere"},
};
COUNT(confine_files);
