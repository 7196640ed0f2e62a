# SPDX-License-Identifier: Apache-2.0
"""The contenders, each in its own lab: pod - node - node - pod, with servers in the right pod."""
import contextlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from lab import Device, Lab, implementation, wait_for  # noqa: E402
from computer import socket_buffer  # noqa: E402

PLAIN, OTHER = "unencrypted", "wireguard-go"

# Name -> implementation and its arguments; None means no encryption.
CONTENDERS = {
    PLAIN: None,
    OTHER: ("wireguard-go-new", []),
    "tailscale": ("wireguard-go-tailscale", []),
    "boringtun": ("boringtun", []),
    "gotatun": ("gotatun", []),
    "podveil socket": ("podveil", ["--wire", "socket"]),
    "podveil xdp": ("podveil", ["--wire", "xdp"]),
    "podveil per-packet": ("podveil", ["--wire", "socket", "--per-packet"]),
}
BUILT_BY_MAKE_PEERS = ["wireguard-go-tailscale", "gotatun"]  # not by `make deps`: no test needs them
EVERYDAY = [PLAIN, OTHER, "podveil socket", "podveil xdp"]
JUMBO = EVERYDAY
JUDGED = ["podveil socket", "podveil xdp"]  # those that have targets

SERVER = "10.0.2.2"
FLOOD = os.path.join(ROOT, "tests/bench/flood.py")

NGINX = """daemon off; worker_processes 1; pid /run/nginx.pid; error_log /dev/null;
events {} http { access_log off; keepalive_requests 1000000000;
server { listen 8080; location / { return 200 "hello\\n"; } } }"""


class LeftOut(Exception):
    """This contender cannot be measured on this machine; the message says why."""


def find(word):
    """The name of a contender, given its name or its last word; "podveil" is the one that runs on every machine."""
    found = [n for n in CONTENDERS if n == word or n.endswith(" " + word)]
    return found[0] if found else "podveil socket" if word == "podveil" else None


def is_podveil(name):
    return name.startswith("podveil")


def command(name):
    """Command and arguments; LeftOut if the program is missing."""
    which, arguments = CONTENDERS[name]
    words = implementation(which)
    if not os.access(words[0], os.X_OK):
        how = "make peers" if which in BUILT_BY_MAKE_PEERS else "make deps"
        raise LeftOut(f"there is no {os.path.relpath(words[0], ROOT)}: {how}")
    if "--wire" in arguments and "--wire" not in _help(tuple(words)):
        if "xdp" in arguments:
            raise LeftOut("this podveil knows no --wire")
        at = arguments.index("--wire")
        arguments = arguments[:at] + arguments[at + 2:]
    return words, arguments


def _help(words):
    return subprocess.run([*words, "--help"], capture_output=True, text=True).stdout


def sink(lab, *addresses):
    """Starts the receiver for flood()."""
    process = lab.pod_b.start([sys.executable, FLOOD, "sink", *addresses])
    if process.stdout.readline() != "listening\n":
        raise AssertionError("the sink does not listen: " + process.stdout.read())


def serve(lab, server=SERVER):
    """Starts the servers in the right pod: iperf3, a sink for flood.py and, if it is installed, a web server."""
    lab.pod_b.start("iperf3 -s", stdout=subprocess.DEVNULL)
    wait_for(lambda: "5201" in lab.pod_b.run("ss -ltn"), "iperf3 listens")
    sink(lab, server)
    if shutil.which("nginx") and shutil.which("wrk"):
        lab.pod_b.run("cat > /run/nginx.conf", stdin=NGINX)
        lab.pod_b.start("nginx -c /run/nginx.conf", stdout=subprocess.DEVNULL)
        wait_for(lambda: "8080" in lab.pod_b.run("ss -ltn"), "nginx listens")


class Contender:
    """A contender with its own lab, which is idle while another one is measured."""

    def __init__(self, name, mtu=1500, more=()):
        self.name, self.server, self.devices = name, SERVER, []
        self.troubles = []  # measurements that had to be repeated
        words, arguments = command(name) if CONTENDERS[name] else (None, None)
        self.lab = Lab(mtu=mtu)
        self.buffer = str(socket_buffer())
        try:
            if words:
                # One by one, so that the first is closed if the second fails.
                for node in (self.lab.a, self.lab.b):
                    self.devices.append(Device(node, words, arguments=[*arguments, *more]))
                self.lab.connect(*self.devices)
            else:
                self.lab.plain()
            serve(self.lab)
            self._passes()
        except AssertionError as e:
            self.lab.close()
            raise LeftOut(f"does not work here: {' '.join(str(e).split())[-200:]}") from e
        except BaseException:
            self.lab.close()
            raise

    def _passes(self):
        """Checks that traffic arrives, and that it goes through the tunnel."""
        self.lab.pod_a.run(["ping", "-n", "-q", "-c", "3", "-i", "0.05", "-W", "2", SERVER])
        if self.devices and min(self.devices[0].transfer(self.devices[1])) < 3 * 84:
            raise AssertionError("traffic does not go through the tunnel")

    def pids(self):
        return [d.pid() for d in self.devices]

    def close(self):
        self.lab.close()


@contextlib.contextmanager
def standing(names, mtu=1500):
    """(name -> contender, name -> why it is left out)."""
    there, left_out = {}, {}
    with contextlib.ExitStack() as stack:
        for name in names:
            try:
                there[name] = stack.enter_context(contextlib.closing(Contender(name, mtu)))
            except LeftOut as e:
                left_out[name] = str(e)
        yield there, left_out
