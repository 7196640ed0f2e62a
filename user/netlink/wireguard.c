/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/wireguard.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <sodium.h>
#include <string.h>

/* As large as an answer may be: peers come in further ones. */
#define BUFFER 32768

struct answer {
	uint16_t family;
	struct wireguard_info *device;
	uint8_t *private_key; /* NULL: it was not asked for */
};

static int on_family(const struct nlmsghdr *m, void *context)
{
	struct answer *to = context;
	const struct nlattr *a;

	mnl_attr_for_each (a, m, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
			to->family = mnl_attr_get_u16(a);
	}
	return MNL_CB_OK;
}

static void take_key(const struct nlattr *a, uint8_t out[32])
{
	if (mnl_attr_get_payload_len(a) == 32)
		memcpy(out, mnl_attr_get_payload(a), 32);
}

static int on_device(const struct nlmsghdr *m, void *context)
{
	const struct answer *answer = context;
	struct wireguard_info *to = answer->device;
	const struct nlattr *a;

	mnl_attr_for_each (a, m, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(a)) {
		case WGDEVICE_A_PRIVATE_KEY:
			if (answer->private_key)
				take_key(a, answer->private_key);
			break;
		case WGDEVICE_A_PUBLIC_KEY:
			take_key(a, to->public_key);
			break;
		case WGDEVICE_A_FWMARK:
			to->fwmark = mnl_attr_get_u32(a);
			break;
		case WGDEVICE_A_LISTEN_PORT:
			to->port = mnl_attr_get_u16(a);
			break;
		default:
			break;
		}
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *begin(void *buffer, uint16_t type, uint16_t flags, uint8_t command,
			      uint8_t version)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *header;

	m->nlmsg_type = type;
	m->nlmsg_flags = NLM_F_REQUEST | flags;
	m->nlmsg_seq = 1;
	header = mnl_nlmsg_put_extra_header(m, sizeof(*header));
	header->cmd = command;
	header->version = version;
	return m;
}

static int ask(struct mnl_socket *s, const struct nlmsghdr *m, void *buffer, mnl_cb_t each,
	       struct answer *to)
{
	int status = MNL_CB_OK;

	if (mnl_socket_sendto(s, m, m->nlmsg_len) < 0)
		return -errno;
	while (status == MNL_CB_OK) {
		const ssize_t n = mnl_socket_recvfrom(s, buffer, BUFFER);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		status = mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(s), each, to);
	}
	return status == MNL_CB_ERROR ? -errno : 0;
}

/* Opens a socket and asks for the number of WireGuard's family. The caller closes the socket. */
static int open_family(struct mnl_socket **s, uint16_t *family)
{
	char buffer[BUFFER];
	struct answer to = {.family = 0};
	struct nlmsghdr *m;
	int err = 0;

	*s = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!*s)
		return -errno;
	if (mnl_socket_bind(*s, 0, MNL_SOCKET_AUTOPID) < 0)
		err = -errno;
	if (!err) {
		m = begin(buffer, GENL_ID_CTRL, NLM_F_ACK, CTRL_CMD_GETFAMILY, 1);
		mnl_attr_put_strz(m, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
		err = ask(*s, m, buffer, on_family, &to);
	}
	if (err)
		mnl_socket_close(*s);
	*family = to.family;
	return err;
}

static int get(int ifindex, struct wireguard_info *out, uint8_t *private_key)
{
	char buffer[BUFFER];
	struct answer to = {.device = out, .private_key = private_key};
	struct mnl_socket *s;
	struct nlmsghdr *m;
	int err = open_family(&s, &to.family);

	memset(out, 0, sizeof(*out));
	if (err)
		return err;
	m = begin(buffer, to.family, NLM_F_DUMP, WG_CMD_GET_DEVICE, WG_GENL_VERSION);
	mnl_attr_put_u32(m, WGDEVICE_A_IFINDEX, (uint32_t)ifindex);
	err = ask(s, m, buffer, on_device, &to);
	mnl_socket_close(s);
	sodium_memzero(buffer, sizeof(buffer));
	return err;
}

int wireguard_get(int ifindex, struct wireguard_info *out)
{
	return get(ifindex, out, NULL);
}

int wireguard_private_key(int ifindex, uint8_t private_key[32])
{
	struct wireguard_info unused;
	int err;

	memset(private_key, 0, 32);
	err = get(ifindex, &unused, private_key);
	return err ? err : sodium_is_zero(private_key, 32) ? -ENOKEY : 0;
}

int wireguard_free_port(int ifindex, uint32_t fwmark)
{
	char buffer[BUFFER];
	struct answer to = {.family = 0};
	struct mnl_socket *s;
	struct nlmsghdr *m;
	int err = open_family(&s, &to.family);

	if (err)
		return err;
	m = begin(buffer, to.family, NLM_F_ACK, WG_CMD_SET_DEVICE, WG_GENL_VERSION);
	mnl_attr_put_u32(m, WGDEVICE_A_IFINDEX, (uint32_t)ifindex);
	mnl_attr_put_u16(m, WGDEVICE_A_LISTEN_PORT, 0);
	mnl_attr_put_u32(m, WGDEVICE_A_FWMARK, fwmark);
	err = ask(s, m, buffer, on_device, &to);
	mnl_socket_close(s);
	return err;
}
