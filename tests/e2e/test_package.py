# SPDX-License-Identifier: Apache-2.0
"""Debian's package (`make deb`): installed, updated, removed and purged, on this machine's root file system with a layer of
its own above it, in which all changes end up."""
import glob
import hashlib
import json
import os
import re
import subprocess

import pytest

from agents import enable
from lab import PODVEIL, ROOT, Host, wait_for
from test_leftovers import difference, state

# What dpkg, man and useradd write themselves, whatever the package.
OF_DPKG = ("var/lib/dpkg/", "var/log/", "var/cache/", "etc/.pwd.lock", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-",
           "etc/subuid", "etc/subgid")


@pytest.fixture(scope="module")
def package():
    # Where it is new enough, make does nothing. Other tests may do the same at the same time.
    os.makedirs(f"{ROOT}/build/deb", exist_ok=True)
    done = subprocess.run(["flock", "build/deb/lock", "make", "-s", "deb"], cwd=ROOT, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return glob.glob(f"{ROOT}/build/deb/podveil_*.deb")[0]

# There is no systemd here to ask, so it is written down what the package asks it for. A unit is not enabled, and active if
# /run/active says so.
SYSTEMCTL = """#!/bin/sh
case "$*" in
*is-enabled*) echo disabled; exit 1 ;;
*is-active*) test -e /run/active ;;
*start*|*stop*) echo "$*" >> /run/asked ;;
esac
"""


class Layer:
    """A root file system for a host: this machine's, with all changes in a layer above it."""

    def __init__(self, host, directory):
        self.host, self.directory = host, directory
        host.run(f"mkdir {directory}/layer && mount -t tmpfs tmpfs {directory}/layer && cd {directory}/layer && "
                 "mkdir upper work root && mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root && "
                 "for d in proc dev sys run; do mount --rbind /$d root/$d; done && "
                 # As on a machine that systemd has booted, and where Podveil never was.
                 "mkdir -p /run/systemd/system && rm -rf root/var/lib/podveil root/etc/default/podveil root/usr/sbin/policy-rc.d")
        host.run(f"rm {directory}/layer/root/bin/systemctl && cat > {directory}/layer/root/bin/systemctl && "
                 f"chmod 755 {directory}/layer/root/bin/systemctl", stdin=SYSTEMCTL)

    def run(self, *command, check=True):
        return self.host.run(["chroot", f"{self.directory}/layer/root", "env", "DEBIAN_FRONTEND=noninteractive", *command],
                             check=check)

    def install(self, package):
        self.host.run(["cp", package, f"{self.directory}/layer/root/tmp/podveil.deb"])
        self.run("dpkg", "--install", "/tmp/podveil.deb")
        self.run("rm", "/tmp/podveil.deb")

    def asked(self):
        """What systemd was asked for since the last call: start, stop or restart, and the units."""
        return self.host.run("touch /run/asked && cat /run/asked && rm /run/asked").replace("--quiet ", "").replace("--system ", "")

    def changes(self):
        """Files and directories that are new, gone or different, but for what dpkg writes itself."""
        listing = self.host.run(
            f"cd {self.directory}/layer/upper && find . -mindepth 1 \\( -type d -exec sh -c '[ -d \"/$1\" ] || echo $1' - {{}} \\; "
            "-o -exec sh -c 'cmp -s \"$1\" \"/$1\" || echo $1' - {} \\; \\)")
        return sorted(path for path in (line.removeprefix("./") for line in listing.splitlines())
                      if not path.startswith(OF_DPKG))


def older(package, directory):
    """The package as an older version, with a file that the newer one does not have."""
    tree, out = f"{directory}/older", f"{directory}/older.deb"
    script = (f"dpkg-deb -R {package} {tree} && sed -i 's/^Version: .*/Version: 0.0.1/' {tree}/DEBIAN/control && "
              f"mkdir {tree}/usr/share/podveil && touch {tree}/usr/share/podveil/gone && "
              f"printf '#!/bin/sh\\necho older\\n' > {tree}/usr/sbin/podveil && dpkg-deb -b {tree} {out}")
    subprocess.run(["sh", "-c", script], check=True, capture_output=True)
    return out


def test_installed_updated_and_purged(package, tmp_path):
    """The program works as the package installs it. An update replaces the program and keeps what the administrator wrote.
    A removal keeps settings, a purge leaves nothing: no file, no directory, no user."""
    with Host("machine") as host:
        layer = Layer(host, tmp_path)
        before = layer.changes()

        layer.install(older(package, tmp_path))
        assert layer.run("podveil", "--version") == "older\n"
        assert layer.asked() == ""  # nothing starts before there are settings
        layer.run("sh", "-c", "echo PODVEIL_STORE=dir:/shared >> /etc/default/podveil")
        layer.run("sh", "-c", "mkdir -p /var/lib/podveil/store && touch /var/lib/podveil/store/file")

        host.run("touch /run/active")
        layer.install(package)
        asked = layer.asked()
        assert asked.startswith("restart ") and "podveil.service" in asked and "stop" not in asked
        version = os.path.basename(package).split("_")[1]
        assert layer.run("podveil", "--version").split()[-1] == version
        assert "processor" in layer.run("podveil", "doctor", check=False).stdout
        assert "usr/share/podveil/gone" not in layer.changes()
        assert "PODVEIL_STORE=dir:/shared" in layer.run("cat", "/etc/default/podveil")
        assert layer.run("getent", "passwd", "podveil").endswith(":/usr/sbin/nologin\n")
        assert "Podveil" in layer.run("sh", "-c", "zcat /usr/share/man/man8/podveil.8.gz")
        units = layer.run("sh", "-c", "dpkg --listfiles podveil | grep '[.]service$'").split()
        layer.run("systemd-analyze", "verify", "--man=no", *units)
        assert layer.run("sh", "-c", "find /etc/systemd -name 'podveil*'") == ""

        layer.run("dpkg", "--remove", "podveil")
        assert layer.asked() == asked.replace("restart", "stop")
        assert "PODVEIL_STORE=dir:/shared" in layer.run("cat", "/etc/default/podveil")
        assert layer.run("find", "/var/lib/podveil/store", "-name", "file") != ""
        assert "usr/sbin/podveil" not in layer.changes()

        layer.run("dpkg", "--purge", "podveil")
        assert layer.changes() == before
        assert layer.run("sh", "-c", "ls -d /var/lib/podveil /etc/default/podveil", check=False).stdout == ""
        assert layer.run("find", "/var/lib/dpkg/info", "/var/lib/systemd", "-name", "*podveil*") == ""
        assert layer.run("dpkg-query", "--show", "podveil", check=False).returncode != 0
        host.run("test ! -e /run/podveil")


def test_a_removal_ends_encryption(cluster, package, tmp_path):
    """Without the program, nobody could end what an agent leaves in the kernel: the removal ends it. An update does not."""
    node = cluster.nodes[1]
    node.agent.stop()
    node.run([PODVEIL, "agent", "--cleanup"])
    before = state(node)
    cluster.start_agent(node)
    enable(cluster)
    node.agent.stop()
    wait_for(lambda: "wireguard.cali" in difference(node, before)["devices"][1], "encryption is in force without an agent")
    in_force = state(node)

    layer = Layer(node, tmp_path)
    layer.install(older(package, tmp_path))
    layer.install(package)
    assert state(node) == in_force
    layer.run("dpkg", "--remove", "podveil")
    assert difference(node, before) == {}


def needed(file):
    """The libraries that a file names as needed."""
    said = subprocess.run(["readelf", "--dynamic", file], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", said))


def test_sbom_names_every_library():
    """Each library that the program needs, also indirectly, is a file of a package that the document names, in the version that
    is installed. The document is the same each time."""
    def made():
        return subprocess.run([f"{ROOT}/scripts/sbom.py", PODVEIL, "1.2.3"], capture_output=True, text=True, check=True,
                              env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}).stdout
    text = made()
    assert made() == text
    document = json.loads(text)
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    ours, *used = document["packages"]
    with open(PODVEIL, "rb") as f:
        assert ours["checksums"][0]["checksumValue"] == hashlib.sha256(f.read()).hexdigest()
    files = {}
    for package in used:
        shown = subprocess.run(["dpkg-query", "--show", "--showformat", "${Version}", package["name"]],
                               capture_output=True, text=True, check=True).stdout
        assert package["versionInfo"] == shown
        listed = subprocess.run(["dpkg", "--listfiles", package["name"]], capture_output=True, text=True, check=True).stdout
        files.update({os.path.basename(path): path for path in listed.splitlines()})
    todo, seen = needed(PODVEIL), set()
    assert {"libbpf.so.1", "libsodium.so.23", "libc.so.6"} <= todo
    while todo:
        name = todo.pop()
        assert name in files, f"{name} is in none of the packages that the document names"
        seen.add(name)
        todo |= needed(files[name]) - seen
    linked = {r["relatedSpdxElement"] for r in document["relationships"] if r["relationshipType"] == "DYNAMIC_LINK"}
    assert linked == {package["SPDXID"] for package in used}


def test_the_same_tree_gives_the_same_package(package, tmp_path):
    """Built again, in another directory and without what was compiled before, the package is the same, byte for byte."""
    version = os.path.basename(package).split("_")[1]
    subprocess.run(["sh", f"{ROOT}/scripts/deb.sh", version, tmp_path / "elsewhere"], check=True, capture_output=True,
                   env={**os.environ, "CCACHE_DISABLE": "1"})
    with open(package, "rb") as one, open(tmp_path / "elsewhere" / os.path.basename(package), "rb") as other:
        assert hashlib.sha256(one.read()).digest() == hashlib.sha256(other.read()).digest()
