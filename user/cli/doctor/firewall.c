/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor/firewall.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Does the list after "dport" contain the port? Forms: "51820", "{ 53, 51800-51900 }",
 * "51800:51900". */
static bool lists_port(const char *text, uint16_t port)
{
	bool negated = false;

	for (;;) {
		char *end;
		unsigned long from, to;

		while (*text && strchr(" {,!=\t", *text)) {
			negated |= *text == '!';
			text++;
		}
		if (!isdigit((unsigned char)*text))
			return negated;
		from = to = strtoul(text, &end, 10);
		if ((*end == '-' || *end == ':') && isdigit((unsigned char)end[1]))
			to = strtoul(end + 1, &end, 10);
		if (port >= from && port <= to)
			return !negated;
		text = end;
	}
}

static bool covers(const char *line, uint16_t port)
{
	const char *at = strstr(line, "dport");

	if (!at)
		return false;
	at += strlen("dport");
	return lists_port(at + (*at == 's'), port);
}

/* Is there this whole word, in upper or lower case? "drop", "-j DROP". */
static bool has_word(const char *line, const char *word)
{
	const size_t len = strlen(word);

	for (const char *p = line; *p; p++)
		if (!strncasecmp(p, word, len) && (p == line || !isalnum((unsigned char)p[-1])) &&
		    !isalnum((unsigned char)p[len]))
			return true;
	return false;
}

static void read_line(const char *line, uint16_t port, struct firewall_view *out)
{
	const bool drops = has_word(line, "drop") || has_word(line, "reject");

	/* "type filter hook input priority filter; policy drop;" and ":INPUT DROP [0:0]" */
	if (drops && !*out->closed &&
	    ((strstr(line, "hook input") && strstr(line, "policy drop")) ||
	     !strncmp(line, ":INPUT DROP", 11)))
		snprintf(out->closed, sizeof(out->closed), "%.100s", line);
	if (has_word(line, "tcp") || !covers(line, port))
		return;
	if (drops && !*out->dropping)
		snprintf(out->dropping, sizeof(out->dropping), "%.200s", line);
	out->accepted |= has_word(line, "accept");
}

void firewall_read(FILE *rules, uint16_t port, struct firewall_view *out)
{
	char *line = NULL;
	size_t room = 0;

	memset(out, 0, sizeof(*out));
	while (getline(&line, &room, rules) > 0) {
		char *begin = line + strspn(line, " \t");

		begin[strcspn(begin, "\n")] = 0;
		read_line(begin, port, out);
	}
	free(line);
}
