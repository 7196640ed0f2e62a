/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report/page.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json_text.h"
#include "http/assets.h"

/* A browser cannot show thousands of rows well. Peers without encryption come first. */
#define MAX_ROWS 200
#define MARK	 "@CONTENT@"

static long long number(const json_t *o, const char *member)
{
	return json_integer_value(json_object_get(o, member));
}

static bool yes(const json_t *o, const char *member)
{
	return json_is_true(json_object_get(o, member));
}

/* Names, values and problems come from others, so escape them. */
static void escape(FILE *f, const char *t)
{
	for (; *t; t++) {
		switch (*t) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\'':
			fputs("&#39;", f);
			break;
		default:
			fputc(*t, f);
		}
	}
}

static void put_age(FILE *f, long long since, long long now)
{
	const long long s = now > since ? now - since : 0;

	if (!since)
		fputs("never", f);
	else if (s < 120)
		fprintf(f, "%lld s ago", s);
	else if (s < 7200)
		fprintf(f, "%lld min ago", s / 60);
	else if (s < 172800)
		fprintf(f, "%lld h ago", s / 3600);
	else
		fprintf(f, "%lld days ago", s / 86400);
}

static void put_bytes(FILE *f, long long n)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double v = (double)n;
	size_t i = 0;

	for (; v >= 1024 && i < sizeof(units) / sizeof(*units) - 1; i++)
		v /= 1024;
	fprintf(f, i && v < 100 ? "%.1f %s" : "%.0f %s", v, units[i]);
}

static void put_time(FILE *f, long long when, bool machine)
{
	const time_t t = (time_t)when;
	char out[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, sizeof(out), machine ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M:%S UTC", &tm);
	fputs(out, f);
}

/* --- the verdict --- */

struct totals {
	size_t peers, encrypting;
	bool on;
	long long since; /* the latest of the peers' times */
};

static struct totals count(const json_t *status)
{
	struct totals n = {.on = false};
	const json_t *t, *p;
	size_t i, k;

	json_array_foreach (json_object_get(status, "tunnels"), i, t) {
		n.on |= !strcmp(json_text(t, "state"), "on");
		json_array_foreach (json_object_get(t, "peers"), k, p) {
			n.peers++;
			n.encrypting += yes(p, "encrypting");
			if (number(p, "encryptingSince") > n.since)
				n.since = number(p, "encryptingSince");
		}
	}
	return n;
}

static void verdict(FILE *f, const json_t *status)
{
	const struct totals n = count(status);

	if (!n.on) {
		fputs("<p class=\"verdict off\" role=\"status\">Not encrypting: encryption is "
		      "switched off on this node</p>\n",
		      f);
	} else if (!n.peers) {
		fputs("<p class=\"verdict off\" role=\"status\">Encryption is on, and no other "
		      "node has a key yet</p>\n",
		      f);
	} else if (n.encrypting == n.peers) {
		fprintf(f,
			"<p class=\"verdict good\" role=\"status\">Encrypting with all %zu peers, "
			"since <time datetime=\"",
			n.peers);
		put_time(f, n.since, true);
		fputs("\">", f);
		put_time(f, n.since, false);
		fputs("</time></p>\n", f);
	} else {
		fprintf(f,
			"<p class=\"verdict bad\" role=\"status\">Encrypting with %zu of %zu "
			"peers: traffic with the others is in plain</p>\n",
			n.encrypting, n.peers);
	}
}

static void problem(FILE *f, const char *what, const char *which)
{
	fprintf(f, "<li>%s: ", what);
	escape(f, which);
	fputs("</li>\n", f);
}

static void problems(FILE *f, const json_t *status)
{
	const json_t *store = json_object_get(status, "store"), *conflict;
	const json_t *conflicts = json_object_get(status, "conflicts");
	const json_t *trouble = json_object_get(store, "trouble");
	const bool refused = json_is_string(json_object_get(status, "refused"));
	size_t i;

	if (yes(store, "synced") && !json_is_object(trouble) && !json_array_size(conflicts) &&
	    !refused && !yes(status, "failed"))
		return;
	fputs("<section class=\"card problems\" aria-labelledby=\"problems\">"
	      "<h2 id=\"problems\">Problems</h2>\n<ul>\n",
	      f);
	if (json_is_object(trouble))
		problem(f, "Store", json_text(trouble, "why"));
	else if (!yes(store, "synced"))
		problem(f, "The store has not been read yet", json_text(store, "name"));
	json_array_foreach (conflicts, i, conflict)
		problem(f, "Conflict", json_string_value(conflict));
	if (refused)
		problem(f, "Setting refused", json_text(status, "refused"));
	if (yes(status, "failed"))
		problem(f, "Some changes failed", "the agent's log says which; it tries again");
	fputs("</ul></section>\n", f);
}

/* --- tunnels --- */

static void row(FILE *f, const json_t *t, const json_t *p, long long now)
{
	const bool encrypting = yes(p, "encrypting");

	fputs("<tr role=\"row\" data-key=\"", f);
	escape(f, json_text(p, "publicKey"));
	fputs("\"><th scope=\"row\" role=\"rowheader\">", f);
	escape(f, json_text(p, "node"));
	fprintf(f, "</th><td role=\"cell\" class=\"traffic\"><span class=\"state %s\">%s</span>",
		encrypting ? "good" : "bad", encrypting ? "encrypted" : "plain");
	fputs("</td><td role=\"cell\" data-label=\"Since\">", f);
	put_age(f, number(p, "encryptingSince"), now);
	fputs("</td><td role=\"cell\" data-label=\"Handshake\">", f);
	put_age(f, number(p, "lastHandshake"), now);
	fputs("</td><td role=\"cell\" data-label=\"Sent\">", f);
	put_bytes(f, number(p, "sent"));
	fputs("</td><td role=\"cell\" data-label=\"Received\">", f);
	put_bytes(f, number(p, "received"));
	fprintf(f, "</td><td role=\"cell\" class=\"chart\" data-key=\"%s ", json_text(t, "family"));
	escape(f, json_text(p, "publicKey"));
	fprintf(f, "\" data-sent=\"%lld\" data-received=\"%lld\"></td></tr>\n", number(p, "sent"),
		number(p, "received"));
}

static void peers(FILE *f, const json_t *t, long long now)
{
	static const char *const columns[] = {"Node", "Traffic",  "Since",     "Handshake",
					      "Sent", "Received", "Throughput"};
	const json_t *all = json_object_get(t, "peers"), *p;
	const size_t n = json_array_size(all);
	size_t i, shown = 0;

	if (!n)
		return;
	fprintf(f,
		"<table role=\"table\"><caption>Peers: %zu</caption>\n"
		"<thead role=\"rowgroup\"><tr role=\"row\">",
		n);
	for (i = 0; i < sizeof(columns) / sizeof(*columns); i++)
		fprintf(f, "<th scope=\"col\" role=\"columnheader\">%s</th>", columns[i]);
	fputs("</tr></thead>\n<tbody role=\"rowgroup\">\n", f);
	for (int encrypting = 0; encrypting < 2; encrypting++) {
		json_array_foreach (all, i, p) {
			if (shown == MAX_ROWS || yes(p, "encrypting") != encrypting)
				continue;
			row(f, t, p, now);
			shown++;
		}
	}
	fputs("</tbody></table>\n", f);
	if (shown < n)
		fprintf(f,
			"<p class=\"quiet\">%zu more are in <a href=\"status\">/status</a></p>\n",
			n - shown);
}

static void fact(FILE *f, const char *what, const char *value)
{
	fprintf(f, "<div><dt>%s</dt><dd>", what);
	escape(f, value);
	fputs("</dd></div>\n", f);
}

static void fact_number(FILE *f, const char *what, long long value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%lld", value);
	fact(f, what, digits);
}

static void tunnel(FILE *f, const json_t *t, long long now)
{
	const bool ipv6 = !strcmp(json_text(t, "family"), "ipv6");
	const char *name = ipv6 ? "IPv6 pods" : "IPv4 pods";

	fprintf(f, "<section class=\"card\" aria-labelledby=\"%s\"><h2 id=\"%s\">%s: %s</h2>\n",
		json_text(t, "family"), json_text(t, "family"), name, json_text(t, "state"));
	if (json_object_get(t, "interface")) {
		fputs("<dl>\n", f);
		fact(f, "Device", json_text(t, "interface"));
		fact(f, "Address", json_text(t, "address"));
		fact_number(f, "UDP port", number(t, "port"));
		fact_number(f, "MTU", number(t, "mtu"));
		fact(f, "Mode", yes(t, "superpackets") ? "superpackets" : "per packet");
		fact(f, "Wire", json_text(t, "wire"));
		fact(f, "Cipher", json_text(t, "cipher"));
		fact_number(f, "Workers", number(t, "workers"));
		fputs("</dl>\n", f);
	}
	peers(f, t, now);
	fputs("</section>\n", f);
}

/* --- drops and leaks --- */

static void reasons(FILE *f, const char *where, const json_t *drops)
{
	const char *reason;
	const json_t *n;

	json_object_foreach ((json_t *)drops, reason, n)
		fprintf(f,
			"<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">%s</th>"
			"<td role=\"cell\">%s</td><td role=\"cell\">%lld</td></tr>\n",
			reason, where, json_integer_value(n));
}

static void losses(FILE *f, const json_t *status)
{
	const json_t *guard = json_object_get(status, "guard"), *t;
	const json_t *line = json_object_get(status, "firstLine");
	size_t i, n = json_object_size(json_object_get(guard, "drops"));

	fputs("<section class=\"card\" aria-labelledby=\"losses\"><h2 id=\"losses\">Leaks and "
	      "drops</h2>\n<dl>\n",
	      f);
	fact(f, "Guard", yes(guard, "stands") ? "active" : "off");
	fact(f, "Strict mode", yes(status, "strict") ? "on" : "off");
	if (yes(line, "wanted"))
		fact(f, "First line",
		     yes(line, "routing") && yes(line, "nftables") ? "active"
		     : yes(line, "routing")			   ? "nftables missing"
								   : "routing missing");
	fact_number(f, "Leaked", number(guard, "leaked"));
	fact_number(f, "Leaked, inward", number(guard, "leakedInward"));
	fact_number(f, "Plain before encryption", number(guard, "plainBeforeEncryption"));
	fact_number(f, "Plain before encryption, inward",
		    number(guard, "plainInwardBeforeEncryption"));
	fputs("</dl>\n", f);
	json_array_foreach (json_object_get(status, "tunnels"), i, t)
		n += json_object_size(json_object_get(t, "drops"));
	if (!n) {
		fputs("<p class=\"quiet\">Nothing was dropped.</p></section>\n", f);
		return;
	}
	fputs("<table role=\"table\" class=\"reasons\"><caption>Packets dropped</caption>"
	      "<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">"
	      "Reason</th><th scope=\"col\" role=\"columnheader\">Where</th>"
	      "<th scope=\"col\" role=\"columnheader\">Packets</th></tr></thead>"
	      "<tbody role=\"rowgroup\">\n",
	      f);
	json_array_foreach (json_object_get(status, "tunnels"), i, t)
		reasons(f, json_text(t, "interface"), json_object_get(t, "drops"));
	reasons(f, "uplink", json_object_get(guard, "drops"));
	fputs("</tbody></table></section>\n", f);
}

static void content(FILE *f, const json_t *status)
{
	const long long now = number(status, "time");
	const json_t *t;
	size_t i;

	fputs("<main>\n<h1>", f);
	escape(f, json_text(status, "node"));
	fputs("</h1>\n", f);
	verdict(f, status);
	problems(f, status);
	json_array_foreach (json_object_get(status, "tunnels"), i, t)
		tunnel(f, t, now);
	losses(f, status);
	fputs("<p class=\"quiet\">Uplink ", f);
	escape(f, json_text(status, "uplink"));
	fputs(", store ", f);
	escape(f, json_text(json_object_get(status, "store"), "name"));
	fputs(". As of <time>", f);
	put_time(f, now, false);
	fputs("</time>.</p>\n</main>\n<footer><a href=\"status\">status (JSON)</a> "
	      "<a href=\"metrics\">metrics</a> <a href=\"readyz\">readiness</a> <span>podveil ",
	      f);
	escape(f, json_text(status, "program"));
	fputs("</span></footer>", f);
}

char *page_text(const json_t *status)
{
	const char *mark = strstr(asset_index_html, MARK);
	char *page = NULL;
	size_t len;
	FILE *f = open_memstream(&page, &len);

	if (!f)
		return NULL;
	fprintf(f, "%.*s", (int)(mark - asset_index_html), asset_index_html);
	content(f, status);
	fputs(mark + strlen(MARK), f);
	if (fclose(f)) {
		free(page);
		return NULL;
	}
	return page;
}
