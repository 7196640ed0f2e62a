#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What building for arm64 on another machine needs, and running what was built: a compiler, qemu's emulation of a
# process, and the libraries, in build/sysroot-aarch64. Those are not installed beside the machine's own, as Debian's
# multiarch would have it: libevent-dev of two processors exclude each other, and all that is installed would have to be
# of the newest version. Run by `make deps-arm64`, as root.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
SYSROOT=$PWD/build/sysroot-aarch64

if [ "$(uname -m)" = aarch64 ]; then
	echo "deps: this machine is an arm64 one: make, make check" >&2
	exit 1
fi
install_packages <<-LIST
	gcc-aarch64-linux-gnu: building for arm64
	qemu-user-static: running what was built for arm64
LIST

# apt as if for a machine on which nothing is installed: with everything that a package needs.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$SYSROOT.new"' EXIT
: >"$scratch/status"
mkdir -p "$scratch/state/lists/partial" "$scratch/cache/archives/partial"
arm64_apt() {
	apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Install-Recommends=false \
		-o APT::Sandbox::User=root -o Dir::State="$scratch/state" -o Dir::State::status="$scratch/status" \
		-o Dir::Cache="$scratch/cache" "$@"
}
echo "deps: libraries of arm64, into build/sysroot-aarch64"
arm64_apt update
# shellcheck disable=SC2046
arm64_apt install -y --download-only $(libraries | sed 's/: .*//') libcmocka-dev libasan8 libubsan1 >/dev/null
rm -rf "$SYSROOT.new"
mkdir -p "$SYSROOT.new"
for package in "$scratch"/cache/archives/*.deb; do
	dpkg-deb -x "$package" "$SYSROOT.new"
done
# Links from its root on lead into it.
find "$SYSROOT.new" -type l -lname '/*' | while read -r link; do
	ln -sfnr "$SYSROOT.new$(readlink "$link")" "$link"
done
rm -rf "$SYSROOT"
mv "$SYSROOT.new" "$SYSROOT"
