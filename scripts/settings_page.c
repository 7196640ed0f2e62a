/* SPDX-License-Identifier: Apache-2.0 */
/* docs/settings.md, out of the table of settings (plan/settings.c): `make docs` writes it, and the build fails where the
 * page is older than the table. */
#include <stdio.h>

#include "plan/settings.h"

static const char head[] =
	"<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
	"<!-- Made by `make docs` from the table in user/plan/settings.c. Do not edit. -->\n"
	"# Settings\n"
	"\n"
	"A setting may be given in four places. The later one wins:\n"
	"\n"
	"1. for the cluster: the resource `default` in Kubernetes, `config/default.json` in a directory, `/podveil/config/default` in etcd;\n"
	"2. for one node: the resource `node.NAME`, `config/node.NAME.json`, `/podveil/config/node.NAME`;\n"
	"3. in the agent's environment: `PODVEIL_` and the name in capitals, such as `PODVEIL_WIREGUARDMTU=1400`;\n"
	"4. as a flag of the agent, such as `--wireguardMTU 1400`.\n"
	"\n"
	"A change takes effect at once, without a restart. A wrong value is refused: the log and `podveil status` name it and say what would\n"
	"be right, and the last good value stays. A setting that vanishes together with its store stays in force; to switch something off, say\n"
	"so (`podveil disable`, or the value `false`).\n"
	"\n"
	"Names, defaults and meaning are Calico's where Calico has the setting. Those that begin with `podveil` are Podveil's own.\n"
	"\n"
	"| setting | meaning | values | default |\n"
	"|---|---|---|---|\n";

int main(void)
{
	char range[SETTING_RANGE];

	fputs(head, stdout);
	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++)
		printf("| `%s` | %s | %s | %s |\n", s->name, s->meaning, setting_range(s, range),
		       *s->fallback ? s->fallback : "none");
	return 0;
}
