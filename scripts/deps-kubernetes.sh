#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the real parts of the Kubernetes lab in build/kubernetes: bin/ with Kubernetes' programs, from the Go module in
# tests/kubernetes, and calico-crd/ with Calico's resource definitions. Builds again only if a pin has changed.
# Run by `make deps-kubernetes`, as root.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
MODULE=tests/kubernetes
BIN=$PWD/build/kubernetes/bin
CALICO=v1.11.0-cni-plugin.0.20250813170300-a0db560f0520
CALICO_SUM=h1:TXnPEzx4pLWgwzCetIO/VJuz4iBZZrOdNSv16a50YqE=
CILIUM=v1.18.5
CILIUM_SUM=h1:YLgoehlIEuW/yIpDprx696sAr78Upmvb+FSQsYQd3PI=

# package: reason
packages() {
	cat <<-LIST
	etcd-server: the API server's store
	etcd-client: looking into it, compaction
	python3-cryptography: the lab's certificates
	python3-yaml: reading manifests
	containerd: the nodes' container runtime
	runc: of containerd
	containernetworking-plugins: pods' devices and addresses
	nftables: kube-proxy
	conntrack: kube-proxy
	curl: tests and demo
	buildah: building the image
	LIST
}

packages | install_packages

# The pin of a program: a hash of the module's requirements, and the build flags.
version=$(sed -n 's/^.*k8s\.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$MODULE/go.mod")
FLAGS="-s -w -X k8s.io/component-base/version.gitVersion=$version"
pin="$(cat "$MODULE/go.mod" "$MODULE/go.sum" | sha256sum | cut -d' ' -f1) $FLAGS"
mkdir -p "$BIN"
go=
for program in kube-apiserver kubectl kube-controller-manager kubelet kube-scheduler kube-proxy; do
	if [ -x "$BIN/$program" ] && [ "$(cat "$BIN/.$program" 2>/dev/null)" = "$pin" ]; then
		continue
	fi
	[ -n "$go" ] || find_go
	echo "deps: building $program $version from Go modules"
	(cd "$MODULE" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
		"$go" build -trimpath -buildvcs=false -ldflags "$FLAGS" -o "$BIN/$program.new" "k8s.io/kubernetes/cmd/$program")
	mv "$BIN/$program.new" "$BIN/$program"
	echo "$pin" > "$BIN/.$program"
done

# resource_definitions NAME MODULE SUM FILES: copies resource definitions out of a Go module into build/kubernetes/NAME. The
# module is downloaded separately: as a requirement it would change the versions of our other requirements.
resource_definitions() {
	crd=$PWD/build/kubernetes/$1
	if [ "$(cat "$crd/.pin" 2>/dev/null)" = "$3" ]; then
		return
	fi
	[ -n "$go" ] || find_go
	echo "deps: resource definitions from the Go module $2"
	# Run outside of our modules.
	download=$(cd / && GOTOOLCHAIN=local GOFLAGS='' "$go" mod download -json "$2")
	sum=$(echo "$download" | sed -n 's/^.*"Sum": "\(.*\)",*$/\1/p')
	if [ "$sum" != "$3" ]; then
		echo "deps: $2 has sum $sum, it should be $3" >&2
		exit 1
	fi
	source=$(echo "$download" | sed -n 's/^.*"Dir": "\(.*\)",*$/\1/p')
	rm -rf "$crd"
	mkdir -p "$crd"
	# FILES is a pattern.
	# shellcheck disable=SC2086
	install -m 644 "$source"/$4 "$crd"
	echo "$3" > "$crd/.pin"
}

resource_definitions calico-crd "github.com/projectcalico/calico@$CALICO" "$CALICO_SUM" \
	"libcalico-go/config/crd/crd.projectcalico.org_*.yaml"
resource_definitions cilium-crd "github.com/cilium/cilium@$CILIUM" "$CILIUM_SUM" \
	"pkg/k8s/apis/cilium.io/client/crds/v2/ciliumnodes.yaml"
