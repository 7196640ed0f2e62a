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
CRD=$PWD/build/kubernetes/calico-crd
CALICO=v1.11.0-cni-plugin.0.20250813170300-a0db560f0520
CALICO_SUM=h1:TXnPEzx4pLWgwzCetIO/VJuz4iBZZrOdNSv16a50YqE=

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

# Calico's module is downloaded separately: as a requirement it would change the versions of our other requirements.
if [ "$(cat "$CRD/.pin" 2>/dev/null)" != "$CALICO_SUM" ]; then
	[ -n "$go" ] || find_go
	echo "deps: Calico's resource definitions from its Go module $CALICO"
	# Run outside of our modules.
	download=$(cd / && GOTOOLCHAIN=local GOFLAGS='' "$go" mod download -json "github.com/projectcalico/calico@$CALICO")
	sum=$(echo "$download" | sed -n 's/^.*"Sum": "\(.*\)",*$/\1/p')
	if [ "$sum" != "$CALICO_SUM" ]; then
		echo "deps: Calico's module has sum $sum, it should be $CALICO_SUM" >&2
		exit 1
	fi
	source=$(echo "$download" | sed -n 's/^.*"Dir": "\(.*\)",*$/\1/p')
	rm -rf "$CRD"
	mkdir -p "$CRD"
	install -m 644 "$source"/libcalico-go/config/crd/crd.projectcalico.org_*.yaml "$CRD"
	echo "$CALICO_SUM" > "$CRD/.pin"
fi
