#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the contenders that only the benchmark knows, at pinned versions, into build/peers: Tailscale's fork of wireguard-go
# (the version of Tailscale 1.102; the proxy does not serve that of 1.104) and Mullvad's gotatun. Without them `make bench`
# leaves them out and says so. Run by `make peers`, as root; five minutes on two cores, once.
set -eu
cd "$(dirname "$0")/.."
PEERS=$PWD/build/peers
TAILSCALE=v0.0.0-20260715223240-2e01ba5b00f0
GOTATUN=0.10.2
. scripts/packages.sh

mkdir -p "$PEERS"
if [ ! -x "$PEERS/wireguard-go-tailscale" ]; then
	echo "peers: building Tailscale's wireguard-go $TAILSCALE from its Go module"
	build_go wireguard-go "$PEERS/wireguard-go-tailscale" "github.com/tailscale/wireguard-go@$TAILSCALE"
fi
if [ ! -x "$PEERS/bin/gotatun" ]; then
	echo "peers: building gotatun-cli $GOTATUN from crates.io"
	build_crate gotatun-cli "$GOTATUN" "$PEERS" ||
		echo "peers: gotatun-cli cannot be built with $(cargo --version): the benchmark leaves it out"
fi
