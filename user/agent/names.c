/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/names.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "plan/claims.h"
#include "store/record_endpoint.h"

#define PAUSE_MS 5000

struct name {
	TAILQ_ENTRY(name) link;
	struct names *names;
	char host[ENDPOINT_HOST_MAX + 1];
	int family;	     /* preferred */
	struct cidr address; /* AF_UNSPEC: none was found yet */
	bool used, pending, failed;
	uint64_t next; /* not before this time, monotonic ms */
};

struct names {
	struct event_base *base;
	struct evdns_base *dns; /* NULL: none yet */
	void (*changed)(void *context);
	void *context;
	TAILQ_HEAD(, name) all;
	size_t pending;
};

struct names *names_new(struct event_base *base, void (*changed)(void *context), void *context)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	*n = (struct names){.base = base, .changed = changed, .context = context};
	TAILQ_INIT(&n->all);
	return n;
}

void names_free(struct names *n)
{
	struct name *one;

	if (!n)
		return;
	/* Nobody is called back after this. */
	if (n->dns)
		evdns_base_free(n->dns, 0);
	while ((one = TAILQ_FIRST(&n->all))) {
		TAILQ_REMOVE(&n->all, one, link);
		free(one);
	}
	free(n);
}

/* --- answers --- */

static struct cidr address_of(const struct evutil_addrinfo *a)
{
	struct cidr c = {.family = AF_UNSPEC};

	if (a->ai_family == AF_INET) {
		c = (struct cidr){.family = AF_INET, .prefix_len = 32};
		memcpy(c.address, &((const struct sockaddr_in *)a->ai_addr)->sin_addr, 4);
	} else if (a->ai_family == AF_INET6) {
		c = (struct cidr){.family = AF_INET6, .prefix_len = 128};
		memcpy(c.address, &((const struct sockaddr_in6 *)a->ai_addr)->sin6_addr, 16);
	}
	return c;
}

/* The address that was taken before, if it is among them; else one of the preferred family; else the
 * first one. AF_UNSPEC: there is none that a node can have. */
static struct cidr choose(const struct name *one, const struct evutil_addrinfo *all)
{
	struct cidr best = {.family = AF_UNSPEC};

	for (; all; all = all->ai_next) {
		const struct cidr c = address_of(all);

		if (!c.family || claims_never_pods(&c))
			continue;
		if (one->address.family && !cidr_compare(&c, &one->address))
			return c;
		if (!best.family || (best.family != one->family && c.family == one->family))
			best = c;
	}
	return best;
}

static void report(struct name *one, const char *problem)
{
	if (problem && !one->failed)
		log_warn("the name of a peer's endpoint has no address",
			 "name=%s problem=\"%s\" used=\"%s\"", one->host, problem,
			 one->address.family ? "the last known address" : "the node's own address");
	one->failed = problem != NULL;
}

static void on_answer(int result, struct evutil_addrinfo *all, void *context)
{
	struct name *one = context;
	struct names *n = one->names;
	const struct cidr found = choose(one, all);
	char text[CIDR_TEXT];

	if (all)
		evutil_freeaddrinfo(all);
	n->pending--;
	one->pending = false;
	one->next = clock_now_ms() + PAUSE_MS;
	report(one, result	    ? evutil_gai_strerror(result)
		    : !found.family ? "no node can have the addresses that it has"
				    : NULL);
	if (!found.family || !cidr_compare(&found, &one->address))
		return;
	one->address = found;
	log_info("the name of a peer's endpoint has an address", "name=%s address=%s", one->host,
		 cidr_format(&found, true, text));
	n->changed(n->context);
}

/* --- questions --- */

/* Reads the system's configuration again whenever nothing is under way. */
static bool open_resolver(struct names *n)
{
	if (n->dns && !n->pending) {
		evdns_base_free(n->dns, 0);
		n->dns = NULL;
	}
	if (!n->dns)
		n->dns = evdns_base_new(n->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
							 EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	return n->dns;
}

static void look_up(struct name *one)
{
	const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};

	if (one->pending || clock_now_ms() < one->next)
		return;
	one->next = clock_now_ms() + PAUSE_MS;
	if (!open_resolver(one->names)) {
		report(one, "the system's configuration of DNS cannot be read");
		return;
	}
	one->pending = true;
	one->names->pending++;
	/* The answer may come before this returns. */
	evdns_getaddrinfo(one->names->dns, one->host, NULL, &hints, on_answer, one);
}

static struct name *find(struct names *n, const char *host)
{
	struct name *one;

	TAILQ_FOREACH (one, &n->all, link)
		if (!strcmp(one->host, host))
			return one;
	return NULL;
}

bool names_find(struct names *n, const char *host, int family, struct cidr *out)
{
	struct name *one;

	if (!cidr_parse_address(host, out))
		return true;
	one = find(n, host);
	if (!one) {
		one = calloc(1, sizeof(*one));
		if (!one)
			return false;
		snprintf(one->host, sizeof(one->host), "%s", host);
		one->names = n;
		one->family = family;
		TAILQ_INSERT_HEAD(&n->all, one, link);
	}
	one->used = true;
	if (!one->address.family)
		look_up(one);
	*out = one->address;
	return out->family;
}

void names_look_up_again(struct names *n, const char *host)
{
	struct name *one = find(n, host);

	if (one)
		look_up(one);
}

void names_forget_unused(struct names *n)
{
	struct name *one, *next;

	for (one = TAILQ_FIRST(&n->all); one; one = next) {
		next = TAILQ_NEXT(one, link);
		if (!one->used && !one->pending) {
			TAILQ_REMOVE(&n->all, one, link);
			free(one);
		} else {
			one->used = false;
		}
	}
}
