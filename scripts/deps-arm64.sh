#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed to build for arm64 on another machine, and to run the result: a compiler, qemu (for processes and
# for machines), and the root file system build/root-aarch64 with libraries, a kernel and what the tests need.
# Debian's multiarch is not used for the libraries: libevent-dev cannot be installed for two architectures, and all
# installed packages would need the newest version. Run by `make deps-arm64`, as root.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
ROOT=$PWD/build/root-aarch64

if [ "$(uname -m)" = aarch64 ]; then
	echo "deps: this machine is an arm64 one: make, make check" >&2
	exit 1
fi
install_packages <<-LIST
	gcc-aarch64-linux-gnu: building for arm64
	qemu-user-static: running what was built for arm64
	qemu-system-arm: running it on an arm64 kernel
	cpio: of the machine
	kmod: of the machine
	xz-utils: of the machine
LIST

# Packages for the root file system, in addition to the libraries.
in_root() {
	echo libcmocka-dev libasan8 libubsan1
	echo busybox-static dash coreutils grep sed hostname util-linux mount kmod procps
	echo iproute2 iputils-ping nftables wireguard-tools bpftool python3
}

# apt for an empty machine: it downloads all dependencies, too.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$ROOT.new"' EXIT
: >"$scratch/status"
mkdir -p "$scratch/state/lists/partial" "$scratch/cache/archives/partial"
cat >"$scratch/apt.conf" <<-CONF
	APT { Architecture "arm64"; Architectures "arm64"; Install-Recommends "false"; Sandbox::User "root"; };
	Dir { State "$scratch/state"; State::status "$scratch/status"; Cache "$scratch/cache"; };
CONF
export APT_CONFIG="$scratch/apt.conf"
echo "deps: libraries, tools and a kernel of arm64, into build/root-aarch64"
apt-get -qq update
# shellcheck disable=SC2046
apt-get -qq install -y --download-only $(libraries | sed 's/: .*//') $(in_root) >/dev/null
# The kernel package without dependencies: they are needed only to install it.
kernel=$(apt-cache depends linux-image-6.12-arm64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p')
(cd "$scratch/cache/archives" && apt-get -qq download "$kernel")
rm -rf "$ROOT.new"
mkdir -p "$ROOT.new/var"
ln -s ../run "$ROOT.new/var/run"
for package in "$scratch"/cache/archives/*.deb; do
	dpkg-deb -x "$package" "$ROOT.new"
done
# Make absolute links point into the root file system.
find "$ROOT.new" -type l -lname '/*' | while read -r link; do
	ln -sfnr "$ROOT.new$(readlink "$link")" "$link"
done
rm -rf "$ROOT"
mv "$ROOT.new" "$ROOT"
