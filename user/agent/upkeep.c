/* SPDX-License-Identifier: Apache-2.0 */
/* Restores what others changed, and does the periodic work. */
#include <string.h>

#include "agent/announcer.h"
#include "agent/internal.h"
#include "agent/names.h"
#include "agent/paths.h"
#include "agent/proofs.h"
#include "agent/report/status.h"
#include "agent/schedule.h"
#include "base/lock_file.h"
#include "base/log.h"
#include "strict/exit_filters.h"
#include "strict/first_line.h"
#include "tunnel/source_check.h"
#include "tunnel/tunnel.h"

/* Restores lock file and status socket. Without the lock another agent could start beside us;
 * without the socket `podveil status` does not work. A failure is logged once. */
static void repair_files(struct agent *a)
{
	const int lock = lock_file_repair(AGENT_LOCK, &a->lock_file);
	const int socket = status_repair(a->status);
	const int err = lock < 0 ? lock : socket < 0 ? socket : 0;

	if (err && err != a->files_error)
		log_error("files of the agent are missing and cannot be created again",
			  "directory=" AGENT_STATE_DIRECTORY " errno=%d error=\"%s\"", -err,
			  strerror(-err));
	else if (lock > 0 || socket > 0)
		log_warn("restored files of the agent that another program removed",
			 "directory=" AGENT_STATE_DIRECTORY);
	a->files_error = err;
}

/* How many paths are looked at after news of the network, and on each tick. The kernel sends no news
 * of what it learns from a path, and an expensive look at thousands of peers is spread. */
#define PATHS_AFTER_NEWS 256
#define PATHS_PER_TICK	 32

static void follow_paths(struct agent *a, size_t most)
{
	bool changed = false;

	for (int i = 0; i < N_TUNNELS; i++)
		if (agent_enabled(settings_get(a->params.settings), i))
			changed |= paths_check(&a->route_questions, &a->plans[i], agent_families[i],
					       most, &a->next_path[i]);
	if (changed)
		schedule_pass(a->schedule);
}

/* How often peers that do not answer are looked for, to look up the names of their endpoints again. */
#define NAMES_TICKS 4

static void look_up_again(void *context, const struct tunnel_peer_status *p)
{
	struct agent *a = context;
	const struct node_record *r =
		!p->session && p->unanswered ? nodes_find(&a->nodes, p->node) : NULL;

	if (r && *r->endpoint4.host)
		names_look_up_again(a->names, r->endpoint4.host);
	if (r && *r->endpoint6.host)
		names_look_up_again(a->names, r->endpoint6.host);
}

static void follow_names(struct agent *a)
{
	if (a->ticks % NAMES_TICKS)
		return;
	for (int i = 0; i < N_TUNNELS; i++)
		if (tunnel_state(a->tunnels[i]) == TUNNEL_ON)
			tunnel_each_peer(a->tunnels[i], look_up_again, a);
}

int agent_repair(void *context, bool network)
{
	struct agent *a = context;
	int err = 0, repaired_guard, repaired_line = first_line_repair(a->first_line, network);

	if (repaired_line > 0)
		log_info("restored what another program changed",
			 "what=\"first line of strict mode\" things=%d", repaired_line);
	else if (repaired_line < 0)
		err = repaired_line;
	for (int i = 0; i < N_TUNNELS; i++) {
		int repaired = tunnel_repair(a->tunnels[i], network);

		if (repaired > 0)
			log_info("restored what another program changed", "tunnel=%s things=%d",
				 i == V4 ? "ipv4" : "ipv6", repaired);
		else if (repaired < 0)
			err = repaired;
	}
	repaired_guard = exit_filters_repair(a->exit_filters);
	if (repaired_guard > 0)
		log_info("restored the guard's programs", "things=%d", repaired_guard);
	else if (repaired_guard < 0)
		err = repaired_guard;
	source_check_repair();
	repair_files(a);
	if (network && self_moved(&a->self))
		schedule_pass(a->schedule);
	if (network)
		follow_paths(a, PATHS_AFTER_NEWS);
	return err;
}

void agent_tick(void *context)
{
	struct agent *a = context;
	struct report_input in;

	for (int i = 0; i < N_TUNNELS; i++)
		tunnel_tick(a->tunnels[i]);
	follow_paths(a, PATHS_PER_TICK);
	follow_names(a);
	/* New sessions are proofs, and peers that do not answer raise doubts. Both may need a
	 * pass. */
	if (proofs_tick(a->registry, a->tunnels, ++a->ticks))
		schedule_pass(a->schedule);
	exit_filters_note_encrypted(a->exit_filters, a->tunnels, N_TUNNELS);
	in = agent_describe(a);
	announcer_update(a->announcer, &in);
}
