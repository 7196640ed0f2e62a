/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of system calls. The kernel remembers which calls are allowed whatever their arguments
 * are, and does not run the filter for them (Linux 5.11): so calls of the workers have no
 * conditions. */
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine/parts.h"
#include "confine/tables.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#define TERMINAL_GET 0x802c542a /* TCGETS2, which needs a struct of the kernel */
#define SOCKET_TYPE  0xf	/* without SOCK_CLOEXEC and SOCK_NONBLOCK */

static int allow_all(scmp_filter_ctx f, enum confine_process process)
{
	for (size_t i = 0; i < confine_calls_count; i++) {
		const struct confine_calls *c = &confine_calls[i];
		const char *at = c->names;

		while ((c->who & process) && *at) {
			const int len = (int)strcspn(at, " ");
			char name[32];
			int number, err;

			snprintf(name, sizeof(name), "%.*s", len, at);
			number = seccomp_syscall_resolve_name(name);
			/* Negative: it is unknown, or other architectures have it. */
			err = number < 0 ? 0 : seccomp_rule_add(f, SCMP_ACT_ALLOW, number, 0);
			if (err)
				return err;
			at += len;
			at += *at == ' ';
		}
	}
	return 0;
}

/* Memory is never both written by us and run: a library that is loaded later would need it. The
 * agent's resolver loads libraries. */
static int add_memory(scmp_filter_ctx f, enum confine_process process)
{
	static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
	int err = 0;

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls) && !err; i++) {
		if (process == CONFINE_AGENT) {
			err = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
			continue;
		}
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
		if (!err)
			err = seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), calls[i], 1,
					       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
	}
	return err;
}

static int add_socket(scmp_filter_ctx f, int family, int type)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0),
				SCMP_A1(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, (scmp_datum_t)type));
}

#define ALL (CONFINE_DEVICE | CONFINE_TUNNEL | CONFINE_AGENT)

static int add_sockets(scmp_filter_ctx f, enum confine_process process)
{
	static const struct {
		int family, type;
		unsigned int who;
	} sockets[] = {
		{AF_NETLINK, SOCK_RAW, ALL},
		{AF_UNIX, SOCK_STREAM, ALL},
		{AF_UNIX, SOCK_SEQPACKET, ALL},
		{AF_UNIX, SOCK_DGRAM, ALL},
		{AF_INET, SOCK_DGRAM, ALL},
		{AF_INET6, SOCK_DGRAM, ALL},
		{AF_PACKET, SOCK_RAW, CONFINE_DEVICE | CONFINE_TUNNEL},
		{AF_XDP, SOCK_RAW, CONFINE_DEVICE | CONFINE_TUNNEL},
		{AF_INET, SOCK_STREAM, CONFINE_AGENT},
		{AF_INET6, SOCK_STREAM, CONFINE_AGENT},
		{AF_NETLINK, SOCK_DGRAM, CONFINE_AGENT}, /* libc: addresses of hosts */
	};
	int err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
				   SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));

	for (size_t i = 0; i < sizeof(sockets) / sizeof(*sockets) && !err; i++)
		if (sockets[i].who & process)
			err = add_socket(f, sockets[i].family, sockets[i].type);
	return err;
}

/* A signal for this process, such as that of abort(), or for one that has sent its descriptor. */
static int add_signals(scmp_filter_ctx f)
{
	const scmp_datum_t self = (scmp_datum_t)getpid();
	int err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				   SCMP_A0(SCMP_CMP_EQ, self, 0));

	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(pidfd_open), 1,
				       SCMP_A0(SCMP_CMP_EQ, self, 0));
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(pidfd_send_signal), 0);
	return err;
}

/* What a process with keys does with programs and maps, which its maker has made: it looks up,
 * changes, pins, opens pins, attaches. It makes none. */
static int add_bpf(scmp_filter_ctx f, enum confine_process process)
{
	static const int commands[] = {
		BPF_MAP_LOOKUP_ELEM,
		BPF_MAP_UPDATE_ELEM,
		BPF_MAP_DELETE_ELEM,
		BPF_MAP_GET_NEXT_KEY,
		BPF_OBJ_PIN,
		BPF_OBJ_GET,
		BPF_OBJ_GET_INFO_BY_FD,
		BPF_LINK_CREATE,
		BPF_PROG_GET_FD_BY_ID, /* the name of another XDP program; may be refused */
	};
	int err = 0;

	if (!(process & (CONFINE_DEVICE | CONFINE_TUNNEL)))
		return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 0);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands) && !err; i++)
		err = seccomp_rule_add(
			f, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)commands[i]));
	return err;
}

static int add_options(scmp_filter_ctx f)
{
	static const unsigned int controls[] = {
		SIOCETHTOOL, SIOCGIFINDEX, SIOCGIFNAME,	 FIONREAD,
		FIONBIO,     TCGETS,	   TERMINAL_GET, /* is it a terminal? in libc from 2.42 on */
	};
	static const int processes[] = {PR_SET_NAME,	 PR_SET_TIMERSLACK, PR_GET_DUMPABLE,
					PR_CAPBSET_READ, PR_SET_VMA,	    PR_GET_NO_NEW_PRIVS,
					PR_GET_SECCOMP};
	int err = 0;

	for (size_t i = 0; i < sizeof(controls) / sizeof(*controls) && !err; i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, controls[i]));
	for (size_t i = 0; i < sizeof(processes) / sizeof(*processes) && !err; i++)
		err = seccomp_rule_add(
			f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)processes[i]));
	return err;
}

/* Calls that libraries try, and can do without: they get an error instead. */
static int add_refusals(scmp_filter_ctx f)
{
	/* Its flags are in memory, where a filter cannot look: libc then takes clone(). */
	int err = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM,
					       CLONE_THREAD | CLONE_VM));
	/* A bpffs that somebody has unmounted: the pins are missing, as the log says. */
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mount), 0);
	return err;
}

int confine_calls_take(const struct confine_params *p, char *missing)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err;

	(void)missing;
	if (!f)
		return -ENOMEM;
	err = allow_all(f, p->process);
	if (!err)
		err = add_memory(f, p->process);
	if (!err)
		err = add_sockets(f, p->process);
	if (!err)
		err = add_signals(f);
	if (!err)
		err = add_bpf(f, p->process);
	if (!err)
		err = add_options(f);
	if (!err)
		err = add_refusals(f);
	/* A tree instead of a list of comparisons. */
	if (!err)
		err = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	/* No mitigation against speculative reads of other parts of the process: all of its code is
	 * ours. Kernels before 5.16 slow such a process down otherwise. */
	if (!err)
		err = seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}

int confine_calls_examine(char *missing)
{
	(void)missing;
	return prctl(PR_GET_SECCOMP) >= 0 ? 0 : -ENOSYS;
}
