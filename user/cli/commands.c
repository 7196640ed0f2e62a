/* SPDX-License-Identifier: Apache-2.0 */
/* The only table of subcommands and options. */
#include "cli/cli.h"
#include "store/store.h"

#define LEVELS "error warn info debug"
#define LOG_LEVEL                                                                                  \
	{                                                                                          \
		OPT_LOG_LEVEL, 0, "log-level", "LEVEL",                                            \
			"error, warn, info or debug (default: info)", LEVELS                       \
	}
#define LOG_FORMAT                                                                                 \
	{                                                                                          \
		OPT_LOG_FORMAT, 0, "log-format", "FORMAT", "text or json (default: text)",         \
			"text json"                                                                \
	}
#define STORE                                                                                      \
	{                                                                                          \
		OPT_STORE, 0, "store", "STORE",                                                    \
			"dir:PATH, kubernetes or etcd:URL (default: PODVEIL_STORE, "               \
			"else " STORE_DEFAULT ")",                                                 \
			"kubernetes etcd:https:// dir:/"                                           \
	}
#define CONFIG_RESOURCE                                                                            \
	{                                                                                          \
		OPT_CONFIG_RESOURCE, 0, "config-resource", "RESOURCE",                             \
			"the Kubernetes resource with the settings (default: "                     \
			"podveilconfigurations.podveil.io)",                                       \
			"podveilconfigurations.podveil.io "                                        \
			"felixconfigurations.crd.projectcalico.org "                               \
			"felixconfigurations.projectcalico.org"                                    \
	}
#define JSON                                                                                       \
	{                                                                                          \
		OPT_JSON, 0, "json", NULL, "print JSON", NULL                                      \
	}
#define UNCONFINED                                                                                      \
	{                                                                                               \
		OPT_UNCONFINED, 0, "unconfined", NULL,                                                  \
			"keep all rights, for debuggers and tracers; without this option, the process " \
			"gives up the rights that it does not use",                                     \
			NULL                                                                            \
	}
#define USER                                                                                                                                                                \
	{                                                                                                                                                                   \
		OPT_USER, 0, "user", "USER",                                                                                                                                \
			"the user that the process becomes, a name in /etc/passwd or a number; root: it stays root (default: podveil, or 60820 where there is no podveil)", \
			"podveil root"                                                                                                                                      \
	}
#define UPLINK                                                                                             \
	{                                                                                                  \
		OPT_UPLINK, 0, "uplink", "DEVICE",                                                         \
			"the device that reaches the other nodes (default: the one of the default route)", \
			"<interface>"                                                                      \
	}

static const struct cli_option agent_options[] = {
	{OPT_NODE, 0, "node", "NAME", "name of this node (default: the host's name)", NULL},
	STORE,
	CONFIG_RESOURCE,
	UPLINK,
	{OPT_NODE_IP, 0, "node-ip", "ADDRESS",
	 "address of this node; give it once for each address family (default: the uplink's)",
	 NULL},
	{OPT_POD_CIDR, 0, "pod-cidr", "RANGES",
	 "address ranges of this node's pods, separated by commas, or the option several times (default: those in the node's record in the store)",
	 NULL},
	{OPT_HTTP, 0, "http", "[ADDR]:PORT[,full]",
	 "where to serve metrics, health checks, page and status, or off (default: :9586). Page and status contain keys and endpoints of peers: they are served to this machine only, or with full to everybody",
	 "off :9586 :9586,full"},
	{OPT_TUNNEL, 0, "tunnel", "HOW",
	 "start: start the tunnel process (podveil tunnel) if none runs; wait: for one that somebody else starts (default: start)",
	 "start wait"},
	LOG_LEVEL,
	LOG_FORMAT,
	UNCONFINED,
	{OPT_CLEANUP, 0, "cleanup", NULL,
	 "remove everything that an agent left on this machine, then end", NULL},
	{OPT_CLEANUP_ON_EXIT, 0, "cleanup-on-exit", NULL,
	 "do the same when the agent ends. Without this option, encryption stays in force, and packets that cannot be encrypted are dropped",
	 NULL},
};

static const struct cli_option enable_options[] = {
	{OPT_IPV6, 0, "ipv6", NULL,
	 "for IPv6 pods (wireguardEnabledV6 instead of wireguardEnabled)", NULL},
	{OPT_NODE, 0, "node", "NAME", "on this node only", "<node>"},
	STORE,
	CONFIG_RESOURCE,
};

static const struct cli_option cluster_options[] = {
	{OPT_OUTPUT, 'o', "output", "FORMAT",
	 "status: table, wide (with addresses and agents) or json (default: table)",
	 "table wide json"},
	{OPT_NODE, 0, "node", "NAME", "enable, disable: on this node only", "<node>"},
	{OPT_IPV6, 0, "ipv6", NULL,
	 "enable, disable: for IPv6 pods (wireguardEnabledV6 instead of wireguardEnabled)", NULL},
	{OPT_KUBECONFIG, 0, "kubeconfig", "FILE",
	 "the API server and the credentials (default: KUBECONFIG, else ~/.kube/config, else the pod's service account)",
	 NULL},
	{OPT_CONTEXT, 0, "context", "NAME",
	 "the context of the kubeconfig (default: its current-context)", NULL},
	{OPT_CONFIG_RESOURCE, 0, "config-resource", "RESOURCE",
	 "the Kubernetes resource with the settings (default: the one that the DaemonSet of Podveil names)",
	 "podveilconfigurations.podveil.io felixconfigurations.crd.projectcalico.org "
	 "felixconfigurations.projectcalico.org"},
};

static const struct cli_option status_options[] = {
	{OPT_WATCH, 0, "watch", NULL,
	 "print it every second, with traffic per second, until interrupted; with --json one line each",
	 NULL},
	JSON,
};

static const struct cli_option doctor_options[] = {
	UPLINK,
	JSON,
};

static const struct cli_option verify_options[] = {
	{OPT_SECONDS, 0, "seconds", "N", "how long to capture, in seconds (default: 5)", NULL},
	{OPT_PEER, 0, "peer", "NODE", "check traffic with this node only", "<node>"},
	{OPT_GENERATE, 0, "generate", NULL,
	 "send a marker to the tunnel addresses of peers, and check whether it can be read", NULL},
	{OPT_UPLINK, 0, "uplink", "DEVICE",
	 "the device to capture on (default: the agent's uplink)", "<interface>"},
	JSON,
};

static const struct cli_option device_options[] = {
	{OPT_FOREGROUND, 'f', "foreground", NULL, "stay in the foreground", NULL},
	{OPT_WORKERS, 0, "workers", "N", "threads and queues, 1 to 8 (default: cores - 1)",
	 "1 2 3 4 5 6 7 8"},
	{OPT_MTU, 0, "mtu", "N", "MTU of the device, 576 to 65535 (default: 1420)", NULL},
	{OPT_PER_PACKET, 0, "per-packet", NULL, "no superpackets, as on kernels before 6.9", NULL},
	{OPT_AEAD, 0, "aead", "NAME",
	 "cipher implementation: avx512, avx2, ipsec-mb, openssl or libsodium (default: the fastest on this machine)",
	 "avx512 avx2 ipsec-mb openssl libsodium"},
	{OPT_WIRE, 0, "wire", "WAY",
	 "how messages are sent: socket (UDP sockets), xdp (AF_XDP, and sockets for the rest), or auto (xdp if the driver has zero-copy, else socket) (default: socket)",
	 "auto socket xdp"},
	{OPT_UPLINK, 0, "uplink", "DEVICE",
	 "the device for --wire xdp (default: the one that reaches the first peer)", "<interface>"},
	{OPT_LOW_LATENCY, 0, "low-latency", NULL,
	 "lower latency for more CPU time: workers get priority, processors do not sleep", NULL},
	{OPT_TAKE_OVER, 0, "take-over", NULL,
	 "take the device over from a running podveil, which then ends: an upgrade without loss",
	 NULL},
	LOG_LEVEL,
	LOG_FORMAT,
	USER,
	UNCONFINED,
};

static const struct cli_option tunnel_options[] = {
	{OPT_TAKE_OVER, 0, "take-over", NULL,
	 "take all devices over from a running tunnel process, which then ends: an upgrade without loss",
	 NULL},
	{OPT_INSTANCE, 0, "instance", "NAME",
	 "name of this process, such as the UID of its pod (default: PODVEIL_INSTANCE). An instance that has handed over does not take over again, and waits until the other process ends",
	 NULL},
	{OPT_PROBE, 0, "probe", NULL,
	 "ask whether the tunnel process of this instance serves, or waits because another one cannot hand over to it; for probes of Kubernetes",
	 NULL},
	LOG_LEVEL,
	LOG_FORMAT,
	USER,
	UNCONFINED,
};

#define OPTIONS(list) .options = (list), .n_options = sizeof(list) / sizeof(*(list))

const struct subcommand subcommands[] = {
	{
		.name = "agent",
		.run = agent_main,
		.summary = "Encrypt the pod traffic of this node",
		.text = "Encrypts the traffic between pods of this node and pods of other nodes, as the settings in the store say. Stays in the foreground.",
		OPTIONS(agent_options),
		.settings = true,
		.ending =
			"SIGUSR1 raises the log level by one, SIGUSR2 lowers it. Exit codes: 0 ended by a signal, 1 failed, 2 usage.",
	},
	{
		.name = "enable",
		.run = enable_main,
		.summary = "Switch encryption on for the cluster",
		.text = "Switches encryption on, on all nodes of the cluster or on one.",
		OPTIONS(enable_options),
		.ending = "Exit codes: 0 written, 1 failed, 2 usage.",
	},
	{
		.name = "disable",
		.run = enable_main,
		.summary = "Switch encryption off for the cluster",
		.text = "Switches encryption off, on all nodes of the cluster or on one.",
		OPTIONS(enable_options),
		.ending = "Exit codes: 0 written, 1 failed, 2 usage.",
	},
	{
		.name = "status",
		.run = status_main,
		.summary = "Show what this node encrypts, and with whom",
		.text = "Shows what this node encrypts, and with whom.",
		OPTIONS(status_options),
		.ending = "Exit codes: 0 shown, 1 no agent runs here, 2 usage.",
	},
	{
		.name = "verify",
		.run = verify_main,
		.summary = "Prove on the wire that pods' traffic is encrypted",
		.text = "Captures packets on the uplink, in both directions. Counts WireGuard messages of each peer, and looks for readable packets of remote pods: bare, in VXLAN or in IP. Asks the agent only which pod addresses belong to which node. Changes nothing.",
		OPTIONS(verify_options),
		.ending =
			"Exit codes: 0 encrypted, 1 plaintext was seen, 2 unknown: no traffic, no agent, no rights, or usage.",
	},
	{
		.name = "doctor",
		.run = doctor_main,
		.summary = "Check whether this machine has what Podveil needs",
		.text = "Checks whether this machine has what Podveil needs, and says what to do if something is missing. Works without an agent, and changes nothing.",
		OPTIONS(doctor_options),
		.ending = "Exit codes: 0 nothing is BAD, 1 something is BAD, 2 usage.",
	},
	{
		.name = "cluster",
		.run = cluster_main,
		.argument = "COMMAND",
		.choices = "status enable disable",
		.summary = "Show or switch the encryption of a Kubernetes cluster",
		.text = "From any machine, without root: status shows which nodes of a Kubernetes cluster encrypt, which pairs of nodes do not and why, and the settings. enable and disable switch encryption. Under the name kubectl-podveil, the same program is a plugin of kubectl: kubectl podveil status.",
		OPTIONS(cluster_options),
		.ending =
			"Exit codes of status: 0 all nodes encrypt, 1 not all do, 2 unknown: the cluster cannot be read, or usage. Of enable and disable: 0 written, 1 failed, 2 usage.",
	},
	{
		.name = "device",
		.run = device_main,
		.argument = "IFNAME",
		.summary = "Create and serve a WireGuard device for wg(8)",
		.text = "Creates the network device IFNAME, and serves it in the background until it is deleted. Configure it with wg(8) and ip(8).",
		OPTIONS(device_options),
		.ending =
			"Each option can also be set in the environment: PODVEIL_WORKERS=2. Exit codes: 0 the device is up (in the foreground: it has ended), 1 failed, 2 usage.",
	},
	{
		.name = "tunnel",
		.run = tunnel_main,
		.summary = "Keep the keys and serve the tunnel devices of an agent",
		.text = "Keeps the private keys of this node, and serves the tunnel devices that an "
			"agent asks for on /run/podveil/tunnel.sock. Continues when the agent ends. "
			"Stays in the foreground.",
		OPTIONS(tunnel_options),
		.ending =
			"SIGUSR1 logs a level more, SIGUSR2 a level less. Exit codes: 0 was told "
			"to end, 1 failed, 2 usage. Of --probe: 0 it serves or waits, 1 it does not.",
	},
	{
		.name = "completion",
		.run = completion_main,
		.argument = "SHELL",
		.choices = "bash zsh fish",
		.summary = "Print the completion script of bash, zsh or fish",
		.text = "Prints a script with which a shell completes podveil's arguments. For the current session: source <(podveil completion bash)",
		.ending = "Exit codes: 0 printed, 2 usage.",
	},
	{
		.name = "manual",
		.run = manual_main,
		.summary = "Print the manual page",
		.text = "Prints the manual page, for man(1): podveil manual | man -l -",
		.ending = "Exit codes: 0 printed, 2 usage.",
	},
	{.name = NULL},
};
