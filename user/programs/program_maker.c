/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/program_maker.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd_message.h"
#include "base/log.h"
#include "podveil/maps.h"
#include "programs/object.h"
#include "tunnel.skel.h"

enum verb { MAKE_PROGRAMS = 1, MAKE_PEER_COUNTERS, MAKE_RECORD };

struct request {
	uint32_t verb;
	uint32_t superpackets, slots, size;
	uint8_t value[RECORD_ROOM];
};

static int maker = -1; /* the socket of the child; -1: none */

static void close_all(struct made *m)
{
	while (m->n)
		close(m->fds[--m->n]);
}

/* --- making --- */

static int keep(struct made *m, int fd)
{
	const int own = fd < 0 ? -1 : m->n == MADE_FDS ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (own < 0)
		return -EMFILE;
	m->fds[m->n++] = own;
	return 0;
}

static int keep_all(struct made *m, const struct bpf_object *o)
{
	struct bpf_program *program;
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, o)
	{
		if (!err && !bpf_map__is_internal(map))
			err = keep(m, bpf_map__fd(map));
	}
	bpf_object__for_each_program(program, o)
	{
		if (!err && bpf_program__autoload(program))
			err = keep(m, bpf_program__fd(program));
	}
	if (err)
		close_all(m);
	return err;
}

static int load(bool superpackets, int counters, struct made *out)
{
	struct tunnel *s;
	int err = object_open(superpackets, &s);

	if (!err && counters >= 0)
		err = bpf_map__reuse_fd(s->maps.counters, counters);
	if (!err)
		err = tunnel__load(s);
	if (!err)
		err = keep_all(out, s->obj);
	tunnel__destroy(s);
	return err;
}

/* With the object's types, bpftool prints the names of members. */
static int create_peer_counters(uint32_t slots)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct tunnel *s;
	struct btf *types;
	int err = object_open(true, &s), fd;

	if (err)
		return err;
	types = bpf_object__btf(s->obj);
	if (types && !btf__load_into_kernel(types)) {
		opts.btf_fd = (uint32_t)btf__fd(types);
		opts.btf_key_type_id = bpf_map__btf_key_type_id(s->maps.peer_counters);
		opts.btf_value_type_id = bpf_map__btf_value_type_id(s->maps.peer_counters);
	}
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "peer_counters", sizeof(uint32_t),
			    sizeof(struct pv_peer_traffic), slots, &opts);
	tunnel__destroy(s);
	return fd;
}

static int create_record(const void *value, size_t n)
{
	const uint32_t zero = 0;
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "record", sizeof(zero), (uint32_t)n, 1, NULL),
	    err;

	if (fd < 0)
		return fd;
	/* Nobody can change it from here on. */
	err = bpf_map_update_elem(fd, &zero, value, BPF_ANY) || bpf_map_freeze(fd) ? -errno : 0;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int make(const struct request *r, int counters, struct made *out)
{
	int fd;

	switch (r->verb) {
	case MAKE_PROGRAMS:
		return load(r->superpackets, counters, out);
	case MAKE_PEER_COUNTERS:
		fd = r->slots && r->slots <= PV_MAX_PEERS ? create_peer_counters(r->slots)
							  : -EINVAL;
		break;
	case MAKE_RECORD:
		fd = r->size && r->size <= RECORD_ROOM ? create_record(r->value, r->size) : -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	if (fd < 0)
		return fd;
	out->fds[out->n++] = fd;
	return 0;
}

/* --- between the two processes --- */

static int send_message(int socket, const void *bytes, size_t n, const struct made *fds)
{
	const struct iovec piece = {(void *)(uintptr_t)bytes, n};

	return fd_message_send(socket, &piece, 1, fds->fds, fds->n, 0);
}

/* A message of exactly n bytes. 0; -EPIPE: the other side has ended; or -errno. */
static int receive_message(int socket, void *bytes, size_t n, struct made *fds)
{
	const struct iovec piece = {bytes, n};
	ssize_t got;

	do
		got = fd_message_receive(socket, &piece, 1, fds->fds, MADE_FDS, &fds->n, 0);
	while (got == -EINTR);
	if (got < 0)
		return (int)got;
	if ((size_t)got == n)
		return 0;
	close_all(fds);
	return -EPROTO;
}

static void serve(int socket)
{
	const struct made nothing = {.n = 0};
	struct request r;
	struct made with, out;

	while (!receive_message(socket, &r, sizeof(r), &with)) {
		int32_t err;

		out.n = 0;
		err = make(&r, with.n ? with.fds[0] : -1, &out);
		close_all(&with);
		if (send_message(socket, &err, sizeof(err), err ? &nothing : &out))
			break;
		close_all(&out);
	}
	_exit(0);
}

static int ask(const struct request *r, int counters, struct made *out)
{
	const struct made with = {.n = counters >= 0, .fds = {counters}};
	int32_t answer;
	int err;

	out->n = 0;
	if (maker < 0)
		return make(r, counters, out);
	err = send_message(maker, r, sizeof(*r), &with);
	if (!err)
		err = receive_message(maker, &answer, sizeof(answer), out);
	if (err)
		log_error("podveil-maker, which makes programs and maps, does not answer",
			  "errno=%d needs=\"a restart of this process\"", -err);
	return err ? err : answer;
}

static int ask_for_one(const struct request *r)
{
	struct made out;
	const int err = ask(r, -1, &out);

	if (err)
		return err;
	if (out.n == 1)
		return out.fds[0];
	close_all(&out);
	return -EPROTO;
}

int make_programs(bool superpackets, int counters, struct made *out)
{
	const struct request r = {.verb = MAKE_PROGRAMS, .superpackets = superpackets};

	return ask(&r, counters, out);
}

int make_peer_counters(uint32_t slots)
{
	const struct request r = {.verb = MAKE_PEER_COUNTERS, .slots = slots};

	return ask_for_one(&r);
}

int make_record(const void *value, size_t n)
{
	struct request r = {.verb = MAKE_RECORD, .size = (uint32_t)n};

	if (n > sizeof(r.value))
		return -E2BIG;
	memcpy(r.value, value, n);
	return ask_for_one(&r);
}

#define NAME "podveil-maker"

/* In ps and for killall, too: its arguments are those of the process that it serves. */
static void change_name(void)
{
	const int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	char all[4096];
	const ssize_t n = fd < 0 ? -1 : read(fd, all, sizeof(all));

	if (fd >= 0)
		close(fd);
	if (n >= (ssize_t)sizeof(NAME)) {
		memset(program_invocation_name, 0, (size_t)n);
		memcpy(program_invocation_name, NAME, sizeof(NAME));
	}
	prctl(PR_SET_NAME, NAME);
}

/* It ends with the process that it serves, not by signals that are meant for that. */
static void begin(int socket)
{
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	change_name();
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	for (int fd = 0; fd <= STDERR_FILENO && null >= 0; fd++)
		dup2(null, fd);
	dup2(socket, STDERR_FILENO + 1);
	close_range(STDERR_FILENO + 2, UINT_MAX, 0);
}

int program_maker_start(void (*confine)(void *context), void *context)
{
	int ends[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	signal(SIGCHLD, SIG_IGN); /* the kernel forgets a child that has ended */
	child = fork();
	if (!child) {
		begin(ends[1]);
		confine(context);
		serve(STDERR_FILENO + 1);
	}
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		return -errno;
	}
	maker = ends[0];
	return 0;
}
