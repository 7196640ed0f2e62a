/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/drops.h"

#include "base/log.h"
#include "podveil/counters.h"
#include "service/client.h"

#define PAUSE_SECONDS 600

void drops_explain(struct drops *d, struct client_device *device)
{
	const time_t now = time(NULL);
	struct pv_counters c;

	client_device_counters(device, &c);
	/* The counter may be lower than before: a new device begins at zero. */
	if (c.drop_source > d->source &&
	    (!d->last_logged || now - d->last_logged >= PAUSE_SECONDS)) {
		log_warn(
			"packets were dropped because their source is not among the peer's allowed IPs",
			"interface=%s reason=source packets=%llu often=\"a node answers a pod of another node that came to it without masquerade\" needs=\"natOutgoing for the pods' pool, or wireguardHostEncryptionEnabled\"",
			client_device_name(device),
			(unsigned long long)(c.drop_source - d->source));
		d->last_logged = now;
	}
	d->source = c.drop_source;
}
