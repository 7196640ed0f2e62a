#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing to build and test, and prints the reason for each package: first packages of Debian 12, then, at
# pinned versions, what Debian does not have. Run by `make deps`, as root. With --program it installs only what is needed to
# build the program.
set -eu
cd "$(dirname "$0")/.."
PEERS=$PWD/build/peers
WIREGUARD_GO=v0.0.0-20260522210424-ecfc5a8d5446
BORINGTUN=0.7.1
WYCHEPROOF=v0.0.0-20191219022705-2196000605e4
. scripts/packages.sh

# package: reason
program_packages() {
	cat <<-LIST
	gcc: the program
	make: the program
	pkg-config: finding the libraries
	clang: the BPF programs, sanitizers, fuzzers
	bpftool: skeletons of the BPF programs, and looking at maps
	LIST
	libraries
	if [ "$(uname -m)" = x86_64 ]; then
		echo "libipsec-mb-dev: bulk AEAD with AVX-512"
	fi
}

test_packages() {
	cat <<-LIST
	libclang-rt-14-dev: sanitizers and fuzzers
	libcmocka-dev: unit tests
	iproute2: tests and demo
	iputils-ping: tests
	iptables: tests
	nftables: tests: what doctor says of a firewall
	procps: tests
	util-linux: tests: namespaces
	python3-cryptography: tests: a peer of our own, and certificates
	udev: tests: who gives network devices other addresses
	netcat-openbsd: tests
	iperf3: tests and benchmark
	wrk: benchmark
	nginx-light: benchmark: what wrk asks
	tcpdump: tests and demo
	dnsmasq-base: tests: names of endpoints
	wireguard-tools: wg(8)
	wireguard-go: a peer for tests
	prometheus: tests: promtool, and scraping
	zsh: tests: completion
	fish: tests: completion
	groff-base: tests: the manual page
	chromium-headless-shell: tests: the page for people
	fonts-dejavu-core: tests: the page for people
	ethtool: looking at offloads
	systemd: tests: of the unit
	debhelper: make deb
	lintian: make deb
	python3-pytest: tests
	python3-pytest-xdist: tests, several at a time
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
}

program_packages | install_packages
if [ "${1:-}" = --program ]; then
	exit
fi
test_packages | install_packages

if [ ! -f build/wycheproof/.done ]; then
	echo "deps: fetching Project Wycheproof's vectors $WYCHEPROOF from its Go module: unit tests of the ciphers and of X25519"
	find_go
	vectors=$("$go" mod download -json "github.com/google/wycheproof@$WYCHEPROOF" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/testvectors
	mkdir -p build/wycheproof
	for file in chacha20_poly1305_test.json x25519_test.json; do
		install -m 644 "$vectors/$file" "build/wycheproof/$file"
	done
	(cd build/wycheproof && sha256sum --quiet -c) <<-SUMS
	4b5ef399f956214227da549c8a84d9d097538c00a3d131de5748ad8508105aec  chacha20_poly1305_test.json
	92fc40a51c412187f19270568dacbe55e1741b0ffe3158b69cffaacb0043e419  x25519_test.json
	SUMS
	touch build/wycheproof/.done
fi

mkdir -p "$PEERS"
if [ ! -x "$PEERS/wireguard-go-new" ]; then
	echo "deps: building wireguard-go $WIREGUARD_GO from its Go module: a peer for tests and benchmark"
	build_go wireguard "$PEERS/wireguard-go-new" "golang.zx2c4.com/wireguard@$WIREGUARD_GO"
fi
if [ ! -x "$PEERS/bin/boringtun-cli" ]; then
	echo "deps: building boringtun-cli $BORINGTUN from crates.io: a peer for tests"
	build_crate boringtun-cli "$BORINGTUN" "$PEERS" ||
		echo "deps: boringtun-cli cannot be built with $(cargo --version): its tests will be skipped"
fi
