#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds Calico's Felix from the Go module in tests/felix, for the test that runs Podveil together with the real Felix and
# after it (tests/vm/test_real_felix.py). Builds again only if the pin has changed. Run by `make deps-felix`, as root.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
MODULE=tests/felix
BIN=$PWD/build/peers

install_packages <<LIST
ipset: Felix
iptables: Felix
LIST

pin=$(cat "$MODULE/go.mod" "$MODULE/go.sum" | sha256sum | cut -d' ' -f1)
if [ -x "$BIN/calico-felix" ] && [ "$(cat "$BIN/.calico-felix" 2>/dev/null)" = "$pin" ]; then
	exit 0
fi
find_go
mkdir -p "$BIN"
echo "deps: building Felix from its Go module"
# Without cgo, and so without its eBPF data plane, which needs Calico's own libbpf.
(cd "$MODULE" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
	"$go" build -trimpath -buildvcs=false -ldflags "-s -w" -o "$BIN/calico-felix.new" \
	github.com/projectcalico/calico/felix/cmd/calico-felix)
mv "$BIN/calico-felix.new" "$BIN/calico-felix"
echo "$pin" > "$BIN/.calico-felix"
