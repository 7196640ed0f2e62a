# SPDX-License-Identifier: Apache-2.0
"""Tunnel processes with names, which somebody starts again whenever they end, as kubelets do: devices go from one instance to the
next and not back, and whoever cannot have them waits."""
import contextlib
import os
import signal
import subprocess

import pytest

from lab import PODVEIL, Host, wait_for
from test_tunnel_process import Process, make, read_answer
from test_upgrades import BUILDS, TEST


class Instance:
    """The container `tunnel` of a pod. keep() starts the program again if it has ended."""

    def __init__(self, node, name, fault="", binary=PODVEIL):
        self.node, self.name, self.binary, self.starts = node, name, binary, 0
        self.file = f"/proc/{node.host.pid}/root/run/{name}.log"
        self.start(fault)

    def start(self, fault=""):
        self.starts += 1
        with open(self.file, "w") as out:
            self.process = self.node.host.start([self.binary, "tunnel", "--take-over"], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                env={"PODVEIL_LOG_STDERR": "1", "PODVEIL_INSTANCE": self.name, TEST: fault})

    def keep(self):
        if self.process.poll() is not None:
            self.start()

    def log(self):
        with open(self.file) as f:
            return f.read()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def probe(self):
        """(exit code, text), as in a container of this pod."""
        done = self.node.host.run([self.binary, "tunnel", "--probe"], check=False, env={"PODVEIL_INSTANCE": self.name})
        return done.returncode, (done.stdout + done.stderr).strip()

    def waits(self):
        wait_for(lambda: "this one waits until it ends" in self.log(), f"{self.name} waits")
        assert self.process.poll() is None


class Node(Process):
    """What asks the tunnel process of a host, whichever that is."""

    def __init__(self, host):
        self.host = host

    def serves(self):
        """(the instance that serves, those that handed over)"""
        with self.connect() as s:
            s.sendall(b"hello=1\n\n")
            lines = [line.split("=", 1) for line in read_answer(s).splitlines() if line]
        return next((v for k, v in lines if k == "instance"), None), [v for k, v in lines if k == "handed_over"]

    def wait_served_by(self, instance):
        def served():
            with contextlib.suppress(OSError):
                return self.serves()[0] == instance.name
        wait_for(served, f"{instance.name} serves")


def state(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


@pytest.fixture
def node():
    with Host("node") as host:
        yield Node(host)


@pytest.fixture
def one(node):
    """An instance that serves a device."""
    instance = Instance(node, "one")
    node.wait_served_by(instance)
    make(node)
    return instance


def test_devices_go_one_way(node, one):
    two = Instance(node, "two", binary=BUILDS[1])
    assert one.process.wait(60) == 0
    assert node.serves() == ("two", ["one"])
    key = node.host.run("wg show wg0 public-key")
    # Its kubelet starts the old one again, in the same way. It asks, is refused, and waits.
    one.start()
    one.waits()
    assert "it handed over itself before" in one.log()
    assert one.log().count("waits until it ends") == 1
    assert node.serves()[0] == "two" and two.process.poll() is None
    # Both are as they should be, so the pod of the old one is not restarted for it.
    assert two.probe() == (0, "podveil tunnel: instance two serves")
    assert one.probe() == (0, "podveil tunnel: instance one handed over, and waits until instance two ends")
    # The next one takes over. The names of both go along.
    three = Instance(node, "three")
    assert two.process.wait(60) == 0
    assert node.serves() == ("three", ["one", "two"])
    two.start()
    two.waits()
    # Told to end, a waiting one ends at once, and is as polite as one that serves.
    assert two.end() == 0 and "tunnel process ended" not in two.log()
    # The old one goes on when no other is left. Nobody has handed over to it, so everybody may take over again.
    three.end(signal.SIGKILL)
    node.wait_served_by(one)
    assert node.serves() == ("one", [])
    make(node)
    assert node.host.run("wg show wg0 public-key") == key
    three.start()
    node.wait_served_by(three)
    assert node.serves() == ("three", ["one"]) and node.host.run("wg show wg0 public-key") == key


def test_the_probe_is_of_its_own_instance(node, one):
    """Before it has taken over, an instance is not ready, although another one serves."""
    two = Instance(node, "two", "new:1:stop")  # as one that takes long
    wait_for(lambda: state(two.process.pid) == "T", "it has stopped")
    code, said = two.probe()
    assert (code, said) == (1, "podveil tunnel: instance one serves; instance two has not taken over yet")
    two.process.send_signal(signal.SIGCONT)
    node.wait_served_by(two)
    assert two.probe()[0] == 0
    two.end()
    code, said = two.probe()
    assert code == 1 and "no tunnel process answers" in said


def test_without_names_all_is_as_before(node):
    """A process without a name does not wait, and is not remembered; one with a name takes over from it."""
    first = node.host.start([PODVEIL, "tunnel"])
    wait_for(node.answers, "it answers")
    make(node)
    second = node.host.run([PODVEIL, "tunnel"], check=False)
    assert second.returncode == 1 and "another tunnel process runs" in second.stderr
    one = Instance(node, "one")
    assert first.wait(60) == 0
    assert node.serves() == ("one", [])
    third = node.host.start([PODVEIL, "tunnel", "--take-over"])
    assert one.process.wait(60) == 0
    assert node.serves() == (None, ["one"])
    one.start()
    one.waits()
    assert one.probe() == (0, "podveil tunnel: instance one handed over, and waits until one without a name ends")
    assert third.poll() is None


def test_one_that_cannot_hand_over_is_waited_for(node):
    """The next instance counts as ready: else the update of a DaemonSet would wait for ever."""
    node.host.run("mkdir -p /run/podveil/podveil-tunnel-process.handover/in-the-way")
    one = Instance(node, "one")
    node.wait_served_by(one)
    assert "cannot take over without loss" in one.log()
    make(node)
    two = Instance(node, "two")
    two.waits()
    assert two.probe() == (0, "podveil tunnel: instance two waits until instance one ends, which cannot hand over")
    assert one.end() == 0
    node.wait_served_by(two)
    make(node)


# Steps of user/device/handover/channel.h, in both processes.
@pytest.mark.parametrize("side, step", [("new", n) for n in range(1, 9)] + [("old", n) for n in range(1, 7)])
def test_a_process_is_killed_and_both_are_started_again(node, side, step):
    """Whichever of the two serves in the end, both count as ready, so the update goes on."""
    one = Instance(node, "one", f"old:{step}:kill" if side == "old" else "")
    node.wait_served_by(one)
    make(node)
    two = Instance(node, "two", f"new:{step}:kill" if side == "new" else "")

    def settled():
        one.keep()
        two.keep()
        try:
            first = node.serves()
            other = two if first[0] == "one" else one
            waits = "waits until it ends" in other.log() and "tunnel process started" not in other.log()
            # Nothing has changed while they were asked.
            return waits and one.probe()[0] == two.probe()[0] == 0 and node.serves() == first and first[1]
        except OSError:
            return False  # none serves, or one that is just killed
    wait_for(settled, "one serves, the other one waits, and both are ready", 20)
    # It stays so: devices do not go to and fro.
    assert (one.process.poll(), two.process.poll()) == (None, None)
    assert node.serves()[1] == [two.name if node.serves()[0] == "one" else one.name]


@pytest.mark.parametrize("arguments, environment, says", [
    (["--instance", "a b"], {}, "--instance \"a b\": not 1 to 63 letters"),
    (["--instance", "x" * 64], {}, "not 1 to 63 letters"),
    ([], {"PODVEIL_INSTANCE": "$(POD_UID)"}, "PODVEIL_INSTANCE \"$(POD_UID)\": not 1 to 63 letters"),
    (["--probe"], {}, "--probe needs --instance or PODVEIL_INSTANCE"),
])
def test_wrong_names_are_refused(arguments, environment, says):
    done = subprocess.run([PODVEIL, "tunnel", *arguments], env={**os.environ, **environment}, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and says in done.stderr
