/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/agent_status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/report/status.h"

static FILE *connect_agent(void)
{
	const struct sockaddr_un where = {.sun_family = AF_UNIX, .sun_path = STATUS_SOCKET};
	const struct timeval timeout = {5, 0};
	int err, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *f;

	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)&where, sizeof(where))) {
		err = errno;
		close(fd);
		errno = err;
		return NULL;
	}
	f = fdopen(fd, "r");
	if (!f)
		close(fd);
	return f;
}

json_t *agent_status_fetch(const char *who)
{
	FILE *f = connect_agent();
	json_error_t error;
	json_t *o;

	if (!f && who && errno == EACCES)
		fprintf(stderr, "podveil %s: not permitted to ask the agent at %s: run as root\n",
			who, STATUS_SOCKET);
	else if (!f && who)
		fprintf(stderr,
			"podveil %s: no agent answers at %s (%s): is podveil agent running on this "
			"node? podveil doctor checks what it needs\n",
			who, STATUS_SOCKET, strerror(errno));
	if (!f)
		return NULL;
	o = json_loadf(f, 0, &error);
	fclose(f);
	if (!o && who)
		fprintf(stderr, "podveil %s: the agent's answer is invalid: %s\n", who, error.text);
	return o;
}

const char *member_text(const json_t *o, const char *member)
{
	const char *t = json_string_value(json_object_get(o, member));

	return t ? t : "-";
}

long long member_number(const json_t *o, const char *member)
{
	return json_integer_value(json_object_get(o, member));
}

bool member_true(const json_t *o, const char *member)
{
	return json_is_true(json_object_get(o, member));
}
