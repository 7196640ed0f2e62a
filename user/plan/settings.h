/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings, with Calico's names, defaults and units, out of five layers: a later one wins. Each
 * layer is judged on its own when it is given; a value that is refused leaves the layer as it was.
 * Pure but for the log; the control thread's.
 */
#ifndef PLAN_SETTINGS_H
#define PLAN_SETTINGS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/log.h"
#include "wire/wire_choice.h"

#define SETTINGS_MAX		  64 /* there are fewer */
#define SETTINGS_MAX_STRICT_CIDRS 64

struct settings {
	bool enabled4, enabled6;      /* wireguardEnabled, wireguardEnabledV6 */
	char interface4[IF_NAMESIZE]; /* wireguardInterfaceName, default wireguard.cali */
	char interface6[IF_NAMESIZE]; /* wireguardInterfaceNameV6, wg-v6.cali */
	uint16_t port4, port6;	      /* wireguardListeningPort 51820, ...V6 51821; 1..65535 */
	uint32_t mtu4,
		mtu6; /* wireguardMTU, ...V6; 0: uplink - 60, - 80; else 576 (V6: 1280)..65535 */
	uint32_t rule_priority; /* wireguardRoutingRulePriority 99; 1..32764 */
	bool host_encryption;	/* wireguardHostEncryptionEnabled */
	uint16_t keepalive;	/* wireguardKeepAlive, seconds; "0s", "25s", "1m30s", "25"; at most
				   65535 s */
	bool threading;		/* wireguardThreadingEnabled: accepted, means nothing here */
	bool metrics;		/* prometheusWireGuardMetricsEnabled, default true */
	bool strict;		/* podveilStrictMode */
	struct cidr strict_cidrs[SETTINGS_MAX_STRICT_CIDRS]; /* podveilStrictCIDRs:
								"10.244.0.0/16,fd00::/48" */
	size_t n_strict_cidrs;
	enum wire_choice wire;	    /* podveilWire auto | socket | xdp */
	bool low_latency;	    /* podveilLowLatency */
	uint8_t workers;	    /* podveilWorkers 0..8; 0: chosen */
	uint32_t route_table;	    /* podveilRouteTable 1; 1..252 or above 255 */
	enum log_level log_level;   /* podveilLogLevel */
	enum log_format log_format; /* podveilLogFormat */
};

enum settings_layer {
	SETTINGS_DEFAULT,
	SETTINGS_CLUSTER,
	SETTINGS_NODE,
	SETTINGS_ENVIRONMENT,
	SETTINGS_FLAG,
	SETTINGS_LAYERS
};

struct settings_stack;

struct settings_stack *settings_new(void); /* with the defaults; NULL: no memory */
void settings_free(struct settings_stack *s);

/* Begins a layer anew: what it held is forgotten when settings_layer_end() comes, but for those
 * values that are refused in between: of these the last valid one stays. Then give each setting. */
void settings_layer_begin(struct settings_stack *s, enum settings_layer layer, const char *source);
/* 0; -ENOENT for a name that is no setting (ignored); -EINVAL: refused, with a line logged that
 * names source, field, value and allowed range, and the same in settings_refused(). */
int settings_layer_set(struct settings_stack *s, const char *name, const char *value);
/* Returns whether settings_get() differs from before. Combinations that cannot work (the same
 * interface name or the same port twice) are refused as a whole, and the last valid layer stays. */
bool settings_layer_end(struct settings_stack *s);
/* Each value that a layer holds, by name. */
void settings_layer_each(const struct settings_stack *s, enum settings_layer layer,
			 void (*value)(void *context, const char *name, const char *value),
			 void *context);
/* A value of this layer is refused. */
bool settings_layer_refused(const struct settings_stack *s, enum settings_layer layer);
/* All PODVEIL_ variables of the environment: PODVEIL_WIREGUARDENABLED=true. */
bool settings_environment(struct settings_stack *s, char **environment);

/* What is in force. */
const struct settings *settings_get(const struct settings_stack *s);
/* The refusal that is in force in any layer, as one line; NULL: none. */
const char *settings_refused(const struct settings_stack *s);

/* Every setting in the order of the table, for --help, status and completion. */
struct settings_field {
	const char *name, *range, *fallback, *meaning; /* fallback: the default as text */
};
const struct settings_field *settings_fields(size_t *n);
/* The value in force as text, and the layer that it is from. */
const char *settings_text(const struct settings_stack *s, const char *name, char *out, size_t room,
			  enum settings_layer *from);

#endif
