/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of settings. One line creates a member of struct settings and everything that users see
 * of it: parsing and checks, the message for a refused value, environment variable, flag,
 * completion, help, manual page, status and metrics. `make docs` creates docs/settings.md and the
 * resource definition in deploy/kubernetes/crd/ from it. The build fails if these are older than
 * the table.
 *
 *   X(member of struct settings, name, type, default as text, meaning)
 *
 * The types, which setting.c parses and checks:
 *
 *   BOOLEAN                bool
 *   U8, U16, U32(a, b)     a number from a to b
 *   U32_GAP(a, b, c, d)    a number from a to b or from c to d
 *   DURATION               uint16_t: seconds, rounded up; "25s", "1m30s", "1500ms", "25"
 *   INTERFACE_NAME         interface_name
 *   RANGES                 struct settings_ranges: address ranges, separated by commas
 *   WIRE, LEVEL, FORMAT,   an enum, written as one of its words
 *   SOURCE
 */
#ifndef PLAN_SETTINGS_TABLE_H
#define PLAN_SETTINGS_TABLE_H

/* The rule of strict mode has the next priority after the tunnels' rule, so both are before the
 * kernel's rule at 32766. Tables 253 to 255 belong to the kernel. */
#define SETTINGS_TABLE(X)                                                                          \
	X(enabled4, wireguardEnabled, BOOLEAN, "false",                                            \
	  "encrypt traffic between IPv4 pods of different nodes")                                  \
	X(enabled6, wireguardEnabledV6, BOOLEAN, "false",                                          \
	  "encrypt traffic between IPv6 pods of different nodes")                                  \
	X(interface4, wireguardInterfaceName, INTERFACE_NAME, "wireguard.cali",                    \
	  "tunnel device for IPv4 pods")                                                           \
	X(interface6, wireguardInterfaceNameV6, INTERFACE_NAME, "wg-v6.cali",                      \
	  "tunnel device for IPv6 pods")                                                           \
	X(port4, wireguardListeningPort, U16(1, 65535), "51820", "UDP port for IPv4 pods")         \
	X(port6, wireguardListeningPortV6, U16(1, 65535), "51821", "UDP port for IPv6 pods")       \
	X(mtu4, wireguardMTU, U32_GAP(0, 0, 576, 65535), "0",                                      \
	  "MTU of the tunnel; 0: as the paths to the peers allow")                                 \
	X(mtu6, wireguardMTUV6, U32_GAP(0, 0, 1280, 65535), "0",                                   \
	  "MTU of the tunnel; 0: as the paths to the peers allow")                                 \
	X(rule_priority, wireguardRoutingRulePriority, U32(1, 32764), "99",                        \
	  "priority of the rule that leads into the tunnel's table")                               \
	X(host_encryption, wireguardHostEncryptionEnabled, BOOLEAN, "false",                       \
	  "encrypt what nodes send to each other, too")                                            \
	X(keepalive, wireguardKeepAlive, DURATION, "0s",                                           \
	  "persistent keepalive to each peer; 0s: none")                                           \
	X(threading, wireguardThreadingEnabled, BOOLEAN, "false",                                  \
	  "accepted without effect: the workers are always threads")                               \
	X(metrics, prometheusWireGuardMetricsEnabled, BOOLEAN, "true", "serve WireGuard metrics")  \
	X(strict, podveilStrictMode, BOOLEAN, "false",                                             \
	  "drop every packet to a remote pod that would leave unencrypted")                        \
	X(strict_cidrs, podveilStrictCIDRs, RANGES, "",                                            \
	  "ranges with pods: addresses in them that no node publishes count as remote")            \
	X(strict_exceptions, podveilStrictExceptions, RANGES, "",                                  \
	  "addresses in podveilStrictCIDRs that are no pods': gateways, name servers, load "       \
	  "balancers")                                                                             \
	X(route_source, routeSource, SOURCE, "auto",                                               \
	  "in Kubernetes: what says which pod addresses a node has")                               \
	X(wire, podveilWire, WIRE, "socket", "how messages are sent to the network")               \
	X(low_latency, podveilLowLatency, BOOLEAN, "false",                                        \
	  "lower latency for more CPU time: workers get priority, processors do not sleep")        \
	X(workers, podveilWorkers, U8(0, 8), "0", "threads; 0: cores - 1")                         \
	X(route_table, podveilRouteTable, U32_GAP(1, 252, 256, 4294967295), "1",                   \
	  "routing table of the tunnel's routes")                                                  \
	X(log_level, podveilLogLevel, LEVEL, "info", "what is logged")                             \
	X(log_format, podveilLogFormat, FORMAT, "text", "how it is logged")

/* Two settings that must differ. */
#define SETTINGS_THAT_DIFFER(X)                                                                    \
	X(wireguardInterfaceName, wireguardInterfaceNameV6)                                        \
	X(wireguardListeningPort, wireguardListeningPortV6)

#endif
