/* SPDX-License-Identifier: Apache-2.0 */
#include "handover/channel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/peer_user.h"

#define DIRECTORY "/run/podveil"

void channel_path(const char *name, char *out, size_t room)
{
	snprintf(out, room, DIRECTORY "/%s.handover", name);
}

static int socket_for(const char *name, struct sockaddr_un *address)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	channel_path(name, address->sun_path, sizeof(address->sun_path));
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

int channel_listen(const char *name)
{
	struct sockaddr_un address;
	int fd = socket_for(name, &address);
	mode_t mask;

	if (fd < 0)
		return -errno;
	/* Whoever has the device's lock is the only one that may be here. */
	unlink(address.sun_path);
	mask = umask(0077);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) || listen(fd, 8)) {
		const int err = -errno;

		umask(mask);
		close(fd);
		return err;
	}
	umask(mask);
	return fd;
}

int channel_connect(const char *name)
{
	struct sockaddr_un address;
	int fd = socket_for(name, &address);

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;

	const int err = -errno;

	close(fd);
	return err;
}

void channel_user(const char *name, uid_t *user, gid_t *group)
{
	const int fd = channel_connect(name);
	struct ucred other;

	if (fd < 0)
		return;
	if (!peer_user(fd, &other)) {
		*user = other.uid;
		*group = other.gid;
	}
	close(fd);
}

bool channel_is_trusted(int fd)
{
	struct ucred other;

	return !peer_user(fd, &other) && (other.uid == 0 || other.uid == geteuid());
}

void channel_shut(int fd)
{
	shutdown(fd, SHUT_RD);
}

int channel_send(int fd, enum channel_type type, const void *bytes, size_t length, const int *fds,
		 size_t n_fds)
{
	uint32_t first = type;
	const struct iovec pieces[] = {{&first, sizeof(first)}, {(void *)(uintptr_t)bytes, length}};

	if (length > CHANNEL_ROOM)
		return -E2BIG;
	return fd_message_send(fd, pieces, 2, fds, n_fds, MSG_DONTWAIT);
}

static int receive(int fd, struct channel_message *out)
{
	const struct iovec pieces[] = {{&out->type, sizeof(out->type)},
				       {out->bytes, sizeof(out->bytes)}};
	const ssize_t n =
		fd_message_receive(fd, pieces, 2, out->fds, CHANNEL_FDS, &out->n_fds, MSG_DONTWAIT);

	if (n < 0)
		return (int)n;
	if (n < (ssize_t)sizeof(out->type)) {
		channel_close_fds(out);
		return -EPROTO;
	}
	out->length = (size_t)n - sizeof(out->type);
	return 0;
}

int channel_receive(int fd, int ms, struct channel_message *out)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int err, n;

	do
		n = poll(&p, 1, ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!n)
		return -ETIMEDOUT;
	err = receive(fd, out);
	/* The other side closed without reading all. It is said once; what it sent before can be
	 * received still. */
	if (err == -ECONNRESET)
		err = receive(fd, out);
	return err;
}

void channel_close_fds(struct channel_message *m)
{
	while (m->n_fds)
		close(m->fds[--m->n_fds]);
}

/* --- for tests --- */

bool channel_test(const char *what)
{
	const char *wanted = getenv("PODVEIL_TEST_HANDOVER");

	if (!wanted || strcmp(wanted, what) != 0)
		return false;
	unsetenv("PODVEIL_TEST_HANDOVER");
	return true;
}

void channel_step(const char *side, int step)
{
	char text[32];

	snprintf(text, sizeof(text), "%s:%d:kill", side, step);
	if (channel_test(text))
		raise(SIGKILL);
	snprintf(text, sizeof(text), "%s:%d:stop", side, step);
	if (channel_test(text))
		raise(SIGSTOP);
}
