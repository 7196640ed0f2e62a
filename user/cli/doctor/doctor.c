/* SPDX-License-Identifier: Apache-2.0 */
/* podveil doctor: checks what Podveil needs from this machine, and tells how to get what is
 * missing. Works with or without a running agent; changes nothing. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "agent/report/status.h"
#include "cli/cli.h"
#include "cli/doctor/felix.h"
#include "cli/doctor/findings.h"
#include "cli/process.h"
#include "confine/confine.h"
#include "crypto/aead.h"
#include "netlink/link.h"
#include "netlink/route.h"
#include "netlink/sysctl.h"
#include "plan/settings.h"
#include "programs/hook/tcx.h"
#include "programs/libbpf_log.h"
#include "programs/loader.h"
#include "protocol/messages.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif

/* A handshake carries the time, and a peer accepts only later times than the last one. So a clock
 * that is wrong now, or jumps back later, blocks handshakes. */
#define EARLIEST 1767225600 /* 2026-01-01 */

void add_finding(struct report *r, const char *what, enum verdict verdict, const char *needed,
		 const char *todo, const char *format, ...)
{
	struct finding *f = &r->all[r->n];
	va_list args;

	if (r->n == MAX_FINDINGS)
		return;
	r->n++;
	f->what = what;
	f->verdict = verdict;
	f->needed = needed;
	f->todo = todo;
	va_start(args, format);
	vsnprintf(f->found, sizeof(f->found), format, args);
	va_end(args);
}

/* --- the kernel --- */

static void kernel(struct report *r)
{
	struct programs_features features;
	struct utsname name;
	unsigned int major = 0, minor = 0;
	bool old;

	uname(&name);
	if (sscanf(name.release, "%u.%u", &major, &minor) != 2)
		major = 0;
	old = major < 6 || (major == 6 && minor < 1);
	add_finding(r, "kernel", old ? BAD : GOOD, "Linux 6.1 or later", "run a newer kernel", "%s",
		    name.release);
	libbpf_log();
	programs_features(&features);
	add_finding(r, "kernel types", features.btf ? GOOD : BAD, "/sys/kernel/btf/vmlinux",
		    "use a kernel with CONFIG_DEBUG_INFO_BTF", "%s",
		    features.btf ? "BTF" : "no BTF");
	add_finding(r, "TC", features.tc ? GOOD : BAD, "the clsact qdisc and BPF classifiers",
		    "use a kernel with CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF", "%s",
		    !features.tc      ? "no clsact, or no cls_bpf"
		    : tcx_supported() ? "clsact and cls_bpf; TCX"
				      : "clsact and cls_bpf; no TCX (Linux 6.6)");
	add_finding(r, "superpackets", features.superpackets ? GOOD : WORSE, "Linux 6.9 or later",
		    "a newer kernel is about twice as fast", "%s",
		    features.superpackets ? "XDP fragments in generic mode"
					  : "no: one packet at a time");
}

static void sockets(struct report *r)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	add_finding(r, "AF_XDP", fd < 0 && errno == EAFNOSUPPORT ? BAD : GOOD, "AF_XDP sockets",
		    "use a kernel with CONFIG_XDP_SOCKETS", "%s",
		    fd >= 0 ? "available" : strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void rights(struct report *r)
{
	const char *missing = process_missing_rights();
	struct rlimit limit = {0, 0};
	struct statfs fs;
	const bool mounted = !statfs("/sys/fs/bpf", &fs) && fs.f_type == BPF_FS_MAGIC;

	add_finding(r, "rights", *missing ? BAD : GOOD, "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF",
		    "run as root, or privileged", "%s", *missing ? missing : "all");
	getrlimit(RLIMIT_MEMLOCK, &limit);
	add_finding(r, "locked memory",
		    limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= 64u << 20 || !geteuid()
			    ? GOOD
			    : WORSE,
		    "64 MiB, or CAP_IPC_LOCK", "raise RLIMIT_MEMLOCK: keys may reach swap", "%s%s",
		    limit.rlim_cur == RLIM_INFINITY ? "no limit" : "limited",
		    geteuid() ? "" : ", but not for root");
	add_finding(r, "bpffs", mounted ? GOOD : WORSE, "a bpffs at /sys/fs/bpf",
		    "mount -t bpf bpf /sys/fs/bpf; the agent also tries this", "%s",
		    mounted ? "mounted" : "not mounted");
}

/* What this machine refuses of the protection that agent and device give themselves. */
static void least_privilege(struct report *r)
{
	struct confinement c;
	char text[CONFINE_TEXT * CONFINE_PARTS] = "";
	size_t used = 0;

	confine_examine(&c);
	for (int i = 0; i < CONFINE_PARTS; i++)
		if (*c.parts[i].missing)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s: %s",
						 used ? "; " : "", confine_part_name(i),
						 c.parts[i].missing);
	add_finding(
		r, "least privilege", *text ? WORSE : GOOD,
		"seccomp and Landlock: they limit what an attacker gains who takes over a process",
		"a kernel with CONFIG_SECCOMP_FILTER and CONFIG_SECURITY_LANDLOCK, and landlock "
		"in the kernel's parameter lsm=",
		"%s", *text ? text : "seccomp and Landlock");
}

/* The vector instructions that the ciphers can use. */
static const char *vector_text(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
		return "AVX-512";
	if (__builtin_cpu_supports("avx2"))
		return "AVX2";
	return "neither AVX-512 nor AVX2";
#elif defined(__aarch64__)
	return "NEON";
#else
	return "no vector instructions known";
#endif
}

static void processor(struct report *r)
{
	struct aead_speed speeds[8];
	size_t n = aead_measure(speeds, 8), best = 0;

	for (size_t i = 1; i < n; i++)
		if (speeds[i].ns_1420 < speeds[best].ns_1420)
			best = i;
	add_finding(r, "processor", GOOD, "", "", "%s, %ld cores", vector_text(),
		    sysconf(_SC_NPROCESSORS_ONLN));
	add_finding(r, "cipher", n && speeds[best].ns_1420 < 1000 ? GOOD : WORSE,
		    "ipsec-mb with AVX-512, or OpenSSL with AVX2", "it works, but slowly",
		    "%s, %.0f ns for 1420 bytes", n ? speeds[best].backend : "none",
		    n ? speeds[best].ns_1420 : 0.0);
	const time_t now = time(NULL);
	char text[32];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	add_finding(r, "clock", now > EARLIEST ? GOOD : BAD, "the time of day",
		    "set the clock: peers refuse handshakes from the past", "%s", text);
}

/* --- the network --- */

static bool agent_runs(void)
{
	return !access(STATUS_SOCKET, F_OK);
}

/* Returns false if there is no uplink. */
static bool uplink(struct report *r, const char *name, struct link_info *out)
{
	struct link_info link;
	int ifindex, filter = 0, all = 0, err;
	char path[128];

	err = name ? link_get(name, &link) : route_default(&ifindex);
	if (!err && !name)
		err = link_get_index(ifindex, &link);
	if (err) {
		add_finding(r, "uplink", BAD, "a default route, or --uplink DEVICE",
			    "name the device that reaches the other nodes", "%s",
			    name ? name : "no default route");
		return false;
	}
	add_finding(r, "uplink", link.up && link.mtu >= 1340 ? GOOD : BAD,
		    "up, with an MTU of 1340 or more", "ip link set DEVICE up mtu 1500",
		    "%s, MTU %u, %s: tunnels get %u (IPv4) and %u (IPv6)", link.name, link.mtu,
		    link.up ? "up" : "down", link.mtu - MESSAGE_OVERHEAD_IPV4,
		    link.mtu - MESSAGE_OVERHEAD_IPV6);
	snprintf(path, sizeof(path), "net/ipv4/conf/%s/rp_filter", link.name);
	if (!sysctl_get(path, &filter) && !sysctl_get("net/ipv4/conf/all/rp_filter", &all))
		add_finding(
			r, "rp_filter", filter == 1 || (all == 1 && filter != 2) ? WORSE : GOOD,
			"0 or 2",
			"sysctl net.ipv4.conf.DEVICE.rp_filter=2: while encryption is switched on or off, packets and replies use different devices",
			"%d on %s, %d on all", filter, link.name, all);
	*out = link;
	return true;
}

static void tunnel(struct report *r, const char *interface)
{
	struct link_info link;

	if (link_get(interface, &link)) {
		add_finding(r, interface, GOOD, "", "", "free");
		return;
	}
	add_finding(r, interface, strcmp(link.kind, "veth") ? BAD : GOOD,
		    "no other WireGuard under this name",
		    "see the finding about Felix, or set another wireguardInterfaceName",
		    "a device of kind %s", link.kind[0] ? link.kind : "(physical)");
}

static void felix(struct report *r, const struct settings *s)
{
	static const enum verdict verdict_of[] = {[FELIX_ABSENT] = GOOD,
						  [FELIX_APART] = GOOD,
						  [FELIX_WORTH_A_LOOK] = WORSE,
						  [FELIX_IN_THE_WAY] = BAD};
	struct felix_seen seen;

	felix_detect("/proc", s, &seen);
	add_finding(r, "Felix", verdict_of[seen.verdict],
		    "a Felix that does not touch our device, rule and table, and does not encrypt",
		    seen.todo ? seen.todo : "", "%s", seen.found);
}

static void port(struct report *r, const char *what, uint16_t number)
{
	const struct sockaddr_in6 where = {.sin6_family = AF_INET6, .sin6_port = htons(number)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const bool taken = fd >= 0 && bind(fd, (const struct sockaddr *)&where, sizeof(where)) &&
			   errno == EADDRINUSE;

	if (fd >= 0)
		close(fd);
	add_finding(r, what, taken && !agent_runs() ? BAD : GOOD, "a free UDP port",
		    "find the owner with ss -lunp, or set another wireguardListeningPort",
		    "%u is %s", number,
		    !taken	   ? "free"
		    : agent_runs() ? "in use; an agent runs on this machine"
				   : "in use");
}

static void agent(struct report *r)
{
	add_finding(r, "agent", agent_runs() ? GOOD : WORSE, "podveil agent on this node",
		    "start it, then run podveil status", "%s",
		    agent_runs() ? "runs" : "does not run");
}

/* --- output --- */

static const char *const verdicts[] = {[GOOD] = "ok", [WORSE] = "note", [BAD] = "BAD"};

static void print(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->all[i];

		printf("%-5s %-16s %s\n", verdicts[f->verdict], f->what, f->found);
		if (f->verdict != GOOD)
			printf("      %-16s needs: %s\n      %-16s do: %s\n", "", f->needed, "",
			       f->todo);
	}
}

static void print_json(const struct report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->all[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:s, s:s}", "check", f->what,
						"verdict", verdicts[f->verdict], "found", f->found,
						"needed", f->needed, "do", f->todo));
	}
	json_dumpf(list, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(list);
}

struct options {
	const char *uplink;
	bool json;
};

static bool apply(void *context, int option, const char *value)
{
	struct options *o = context;

	if (option == OPT_UPLINK)
		o->uplink = value;
	if (option == OPT_JSON)
		o->json = true;
	return true;
}

int doctor_main(int argc, char **argv)
{
	struct options o = {.json = false};
	struct settings_stack *settings;
	struct report r = {.n = 0};
	const struct settings *s;
	bool bad = false;
	struct link_info link;
	int result = cli_parse(argc, argv, apply, &o, NULL);

	if (result >= 0)
		return result;
	settings = settings_new();
	if (!settings)
		return EXIT_FAILED;
	settings_environment(settings, environ);
	doctor_settings(settings);
	s = settings_get(settings);
	kernel(&r);
	sockets(&r);
	rights(&r);
	least_privilege(&r);
	processor(&r);
	if (uplink(&r, o.uplink, &link))
		doctor_pods(&r, &link, s);
	tunnel(&r, s->interface4);
	tunnel(&r, s->interface6);
	doctor_other_tunnels(&r, s);
	felix(&r, s);
	port(&r, "port", s->port4);
	port(&r, "port, IPv6 pods", s->port6);
	doctor_firewall(&r, s);
	agent(&r);
	doctor_guard(&r);
	doctor_first_line(&r);
	doctor_peers(&r);
	for (size_t i = 0; i < r.n; i++)
		bad |= r.all[i].verdict == BAD;
	if (o.json)
		print_json(&r);
	else
		print(&r);
	settings_free(settings);
	return bad ? EXIT_FAILED : EXIT_DONE;
}
