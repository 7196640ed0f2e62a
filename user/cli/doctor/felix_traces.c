/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor/felix_traces.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHAIN_PREFIX "cali-"
#define TABLE	     "calico"

struct search {
	char *found;
	size_t room;
};

/* --- nf_tables: iptables-nft, and Calico's own nftables mode --- */

static int visit_chain(const struct nlmsghdr *m, void *context)
{
	struct search *s = context;
	const struct nlattr *a;

	mnl_attr_for_each (a, m, sizeof(struct nfgenmsg)) {
		const uint16_t type = mnl_attr_get_type(a);

		if (type != NFTA_CHAIN_TABLE && type != NFTA_CHAIN_NAME)
			continue;
		if (type == NFTA_CHAIN_TABLE && !strcmp(mnl_attr_get_str(a), TABLE))
			snprintf(s->found, s->room, "table %s", TABLE);
		if (type == NFTA_CHAIN_NAME && !*s->found &&
		    !strncmp(mnl_attr_get_str(a), CHAIN_PREFIX, strlen(CHAIN_PREFIX)))
			snprintf(s->found, s->room, "chain %s", mnl_attr_get_str(a));
	}
	return MNL_CB_OK;
}

static void look_into_nftables(struct search *search)
{
	char buffer[32768];
	struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct nfgenmsg *header;
	int status = MNL_CB_OK;

	m->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
	m->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	m->nlmsg_seq = 1;
	header = mnl_nlmsg_put_extra_header(m, sizeof(*header));
	header->nfgen_family = NFPROTO_UNSPEC;
	if (!s)
		return;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(s, m, m->nlmsg_len) < 0)
		status = MNL_CB_ERROR;
	while (status == MNL_CB_OK) {
		const ssize_t n = mnl_socket_recvfrom(s, buffer, sizeof(buffer));

		status = n < 0 ? MNL_CB_ERROR
			       : mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(s),
					    visit_chain, search);
	}
	mnl_socket_close(s);
}

/* --- iptables-legacy --- */

/* The entries of a table hold the names of its chains as text. */
static void look_into_table(int fd, const char *table, struct search *search)
{
	struct ipt_getinfo info = {.valid_hooks = 0};
	struct ipt_get_entries *all;
	socklen_t size = sizeof(info);
	const char *at;

	snprintf(info.name, sizeof(info.name), "%s", table);
	if (getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &size))
		return;
	size = (socklen_t)(sizeof(*all) + info.size);
	all = calloc(1, size + 1);
	if (!all)
		return;
	snprintf(all->name, sizeof(all->name), "%s", table);
	all->size = info.size;
	if (!getsockopt(fd, IPPROTO_IP, IPT_SO_GET_ENTRIES, all, &size)) {
		at = memmem(all->entrytable, info.size, CHAIN_PREFIX, strlen(CHAIN_PREFIX));
		if (at)
			snprintf(search->found, search->room, "chain %.28s", at);
	}
	free(all);
}

/* Reads only existing tables: asking for another table would load its module. */
static void look_into_legacy(struct search *search)
{
	FILE *tables = fopen("/proc/net/ip_tables_names", "re");
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	char table[XT_TABLE_MAXNAMELEN];

	while (tables && fd >= 0 && !*search->found && fscanf(tables, "%31s", table) == 1)
		look_into_table(fd, table, search);
	if (tables)
		fclose(tables);
	if (fd >= 0)
		close(fd);
}

bool felix_traces(char *found, size_t room)
{
	struct search s = {found, room};

	*found = 0;
	look_into_nftables(&s);
	if (!*found)
		look_into_legacy(&s);
	return *found;
}
