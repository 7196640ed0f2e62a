# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of the rights of a running process; tests/unit/test_confine.c makes forbidden calls."""
import glob
import json
import os
import re
import signal
import subprocess

from agents import enable
from hosts import ROOT
from lab import PODVEIL, Device, wait_for

CAP_SYS_PTRACE = 19
OWN_USER = "60820"  # CONFINE_USER_ID, user/confine/confine.h


def capabilities_of(process):
    """The numbers of those that docs/security.md says it keeps."""
    with open("/usr/include/linux/capability.h") as f:
        numbers = dict(re.findall(r"^#define CAP_(\w+)\s+(\d+)$", f.read(), re.M))
    with open(os.path.join(ROOT, "docs/security.md")) as f:
        names = re.findall(rf"^\| `CAP_(\w+)` \| [^|]*{process}[^|]*\| (?!at the start)", f.read(), re.M)
    assert names
    return {int(numbers[name]) for name in names}


def threads(pid):
    """What the kernel says of each thread: a dictionary of the lines of its status."""
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        with open(path) as f:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in f)


def parent(pid):
    """The PID of a process' parent; None: it is gone."""
    try:
        return int(next(threads(pid))["PPid"])
    except (OSError, StopIteration):
        return None


def peer_slots(node):
    return json.loads(node.run("bpftool -j map show pinned /sys/fs/bpf/podveil/wg0/peer_counters"))["max_entries"]


def bits(text):
    return {bit for bit in range(64) if int(text, 16) >> bit & 1}


def test_all_threads_of_a_device_have_the_rights_of_the_page_and_no_others(lab):
    device = Device(lab.a, [PODVEIL, "device"], arguments=("--workers", "2"))
    # A thread names itself.
    wait_for(lambda: {"podveil-w0", "podveil-w1", "podveil-hs"} <= {t["Name"] for t in threads(device.pid())}, "all threads run")
    every = list(threads(device.pid()))
    for t in every:
        assert t["Seccomp"] == "2" and t["NoNewPrivs"] == "1", t
        assert bits(t["CapEff"]) == bits(t["CapPrm"]) == bits(t["CapBnd"]) == capabilities_of("device"), t
        assert not bits(t["CapInh"]) and not bits(t["CapAmb"]), t
        assert t["Uid"].split() == t["Gid"].split() == [OWN_USER] * 4 and not t["Groups"].split(), t
    # Who has the same user, but not this capability, cannot read its memory.
    done = lab.a.run(["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", "head", "-c1",
                      f"/proc/{device.pid()}/mem"], check=False)
    assert done.returncode == 1 and "Permission denied" in done.stderr


def test_programs_are_made_by_a_process_that_does_nothing_else(lab):
    """All that a device needs of programs and maps: loaded, adopted, a larger map, made anew in place of damaged pins."""
    device = Device(lab.a, [PODVEIL, "device"])
    pid = device.pid()

    def makers():
        return [p for p in os.listdir("/proc") if p.isdigit() and parent(p) == pid]
    maker, = makers()
    with open(f"/proc/{maker}/cmdline") as f:
        assert f.read().rstrip("\0") == "podveil-maker"
    for t in threads(maker):
        assert t["Seccomp"] == "2" and t["NoNewPrivs"] == "1" and t["Uid"].split() == [OWN_USER] * 4, t
        assert bits(t["CapEff"]) == bits(t["CapPrm"]) == bits(t["CapBnd"]) == capabilities_of("maker"), t
    slots = peer_slots(lab.a)

    def grow(device):
        for _ in range(slots + 1):
            device.set("peer", lab.a.run("wg genkey | wg pubkey").strip())
        return peer_slots(lab.a) > slots
    assert grow(device)
    lab.a.run("rm /sys/fs/bpf/podveil/wg0/classify")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{maker}"), "the maker ends with the process that it served")
    device = Device(lab.a, [PODVEIL, "device"])
    assert "loading new programs" in device.log.read()
    assert peer_slots(lab.a) == slots
    # systemd and a terminal signal both processes.
    pid = device.pid()
    maker, = makers()
    os.kill(int(maker), signal.SIGTERM)
    os.kill(int(maker), signal.SIGINT)
    assert grow(device)
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{maker}"), "it ends with the device")


def test_unconfined_for_those_who_debug(lab):
    device = Device(lab.a, [PODVEIL, "device"], arguments=("--unconfined",))
    assert {t["Seccomp"] for t in threads(device.pid())} == {"0"}
    assert CAP_SYS_PTRACE in bits(next(threads(device.pid()))["CapEff"])


def test_an_agent_says_what_is_in_force(cluster):
    c, worker = cluster, cluster.nodes[1]
    for t in threads(worker.agent.process.pid):
        assert t["Seccomp"] == "2" and bits(t["CapEff"]) == capabilities_of("agent"), t
    for t in threads(worker.agent.tunnel_process()):
        assert t["Seccomp"] == "2" and bits(t["CapEff"]) == capabilities_of("tunnel"), t
        assert t["Uid"].split() == t["Gid"].split() == [OWN_USER] * 4, t
    out = worker.run([PODVEIL, "status"])
    assert "rights:" not in out
    tunnel = worker.agent.status()["rights"]["tunnel"]
    assert tunnel["user"] == int(OWN_USER) and len(tunnel["capabilities"].split()) == len(capabilities_of("tunnel"))
    found = {f["check"]: f for f in json.loads(worker.run([PODVEIL, "doctor", "--json"], check=False).stdout)}
    assert found["least privilege"] == {"check": "least privilege", "verdict": "ok", "found": "seccomp and Landlock",
                                        "needed": found["least privilege"]["needed"],
                                        "do": found["least privilege"]["do"]}
    worker.agent.stop()
    c.start_agent(worker, "--unconfined")
    assert {t["Seccomp"] for t in threads(worker.agent.process.pid)} == {"0"}
    out = worker.run([PODVEIL, "status"])
    assert "rights: system calls are not limited: --unconfined" in out
    rights = worker.agent.status()["rights"]
    assert rights["capabilities"] is None and not any(p["inForce"] for p in rights["parts"])


def test_a_device_is_the_user_podveil_where_there_is_one(lab):
    """All that a device does later, it does as this user: a rename, new pins, AF_XDP on the uplink, low latency, its end."""
    lab.a.run("cp /etc/passwd /run/passwd && echo podveil:x:64820:64821::/:/usr/sbin/nologin >> /run/passwd && "
              "mount --bind /run/passwd /etc/passwd && mkdir -m 0 /sys/fs/bpf/podveil")
    device = Device(lab.a, [PODVEIL, "device"], arguments=("--low-latency", "--wire", "xdp", "--uplink", "eth0"))
    log = device.log.read()
    assert "uid=64820" in log and "in part only" not in log and "could not be given up" not in log, log
    for t in threads(device.pid()):
        assert t["Uid"].split() == ["64820"] * 4 and t["Gid"].split() == ["64821"] * 4 and not t["Groups"].split()
        assert bits(t["CapEff"]) == bits(t["CapBnd"]) == capabilities_of("device")
    device.set("listen-port", 51820)
    lab.a.run("ip link set wg0 up")
    wait_for(lambda: "xdp" in lab.a.run("ip link show eth0"), "messages go through AF_XDP")
    pid = device.pid()
    lab.a.run("ip link set wg0 down && ip link set wg0 name wg7")
    wait_for(lambda: lab.a.run("ls /sys/fs/bpf/podveil; ls /run/wireguard").split() == ["wg7", "wg7.sock"], "pins and socket follow")
    assert "listening port: 51820" in lab.a.run("wg show wg7")
    lab.a.run("rm -r /sys/fs/bpf/podveil && ip link del wg7")
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the device ends")
    assert lab.a.run("find /run/wireguard /run/podveil /sys/fs/bpf/podveil -type f -o -type s 2>/dev/null || true") == ""


def test_another_process_of_that_user_gets_nothing(lab):
    """The number may be in use on a machine, for something else."""
    lab.a.run("mkdir -p /run/podveil; chmod 755 /run/podveil")  # as kubelet makes it
    device = Device(lab.a, [PODVEIL, "device"])
    # A request that cannot be told from one of root's but by who asks.
    request = ("import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/wireguard/wg0.sock'); s.settimeout(20); "
               "s.sendall(b'get=1\\n\\n'); print(s.recv(10000))")
    assert "private_key=" in lab.a.run(["python3", "-c", request])

    def stranger(command):
        done = lab.a.run(["setpriv", "--reuid", OWN_USER, "--regid", OWN_USER, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
                          *command], check=False)
        return done.stdout + done.stderr
    assert "key" not in stranger(["python3", "-c", request])
    assert "Permission denied" in stranger(["ls", "/run/podveil"])
    assert "Permission denied" in stranger(["head", "-c1", f"/proc/{device.pid()}/mem"])
    assert "Permission denied" in stranger(["ls", f"/proc/{device.pid()}/fd"])
    assert "Permission denied" in stranger(["ls", "/sys/fs/bpf/podveil/wg0"])


def test_a_process_has_the_user_that_is_asked_for_and_adopts_what_another_one_left(lab):
    seen, pinned = set(), None
    for user in (OWN_USER, "root", "64830"):
        device = Device(lab.a, [PODVEIL, "device"], env={"PODVEIL_USER": user})
        number = "0" if user == "root" else user
        assert {t["Uid"].split()[1] for t in threads(device.pid())} == {number}
        assert ("took over the programs of an earlier process" in device.log.read()) == bool(seen), user
        assert seen <= {lab.a.run("cat /sys/class/net/wg0/ifindex")}
        assert pinned in (None, lab.a.run("ls /sys/fs/bpf/podveil/wg0"))
        seen, pinned = {lab.a.run("cat /sys/class/net/wg0/ifindex")}, lab.a.run("ls /sys/fs/bpf/podveil/wg0")
        pid = device.pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "it is dead")
    done = lab.a.run([PODVEIL, "device", "wg1", "--user", "65535"], check=False)
    assert (done.returncode, done.stderr) == (2, "podveil device: --user 65535: not the number of a user: 0 to 4294967294, but not 65535\n")
    done = lab.a.run([PODVEIL, "tunnel", "--user", "nobody-of-that-name"], check=False)
    assert done.returncode == 2 and "no such name in /etc/passwd" in done.stderr


def test_a_process_that_takes_over_has_the_user_of_the_one_before(lab):
    """Each can end the other, should it hang while neither knows who has the device."""
    device = Device(lab.a, [PODVEIL, "device"], arguments=("--user", "64830"))
    old = device.pid()
    refused = lab.a.run([PODVEIL, "device", "wg0", "--take-over", "--unconfined"], check=False)
    assert refused.returncode == 1
    assert 'problem="it has another user, so neither could end the other"' in refused.stderr
    assert device.pid() == old
    Device(lab.a, [PODVEIL, "device"], arguments=("--take-over",), private=device.private)
    assert device.pid() != old
    assert {t["Uid"].split()[1] for t in threads(device.pid())} == {"64830"}


def test_the_key_stays_when_the_user_changes(cluster):
    worker = cluster.nodes[1]
    enable(cluster)
    wait_for(lambda: os.path.exists(f"/proc/{worker.pid}/root/run/podveil/wireguard.key"), "there is a key")
    for user in (OWN_USER, "64830", "root"):
        before = worker.run("cat /run/podveil/wireguard.key")
        pid = worker.agent.tunnel_process()
        worker.agent.stop()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the tunnel process is dead")
        cluster.start_agent(worker, env={"PODVEIL_USER": user})
        wait_for(lambda: worker.agent.tunnel_process() not in (None, pid), "another one runs")
        wait_for(lambda: {t["Uid"].split()[1] for t in threads(worker.agent.tunnel_process())} == {"0" if user == "root" else user},
                 "it has its user")
        assert worker.run("cat /run/podveil/wireguard.key") == before
    assert "rights: the tunnel process runs as root" in worker.run([PODVEIL, "status"])


# Runs a command without Landlock: a filter of system calls answers that there is no such call.
WITHOUT_LANDLOCK = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in code))
class Fprog(ctypes.Structure): _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
fprog = Fprog(len(code), ctypes.addressof(program))
assert not libc.prctl(38, 1, 0, 0, 0) and not libc.prctl(22, 2, ctypes.byref(fprog), 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_what_the_system_refuses_is_said_and_the_rest_is_done(lab):
    without = ["python3", "-c", WITHOUT_LANDLOCK, PODVEIL]
    device = lab.a.start([*without, "device", "--foreground", "wg0"], stderr=subprocess.PIPE)
    wait_for(lambda: "wg0" in lab.a.run("wg show interfaces"), "the device stands")
    assert {t["Seccomp"] for t in threads(device.pid)} == {"2"}
    assert bits(next(threads(device.pid))["CapEff"]) == capabilities_of("device")
    device.send_signal(signal.SIGTERM)
    log = device.communicate(timeout=30)[1]
    assert 'event="a right could not be given up" of="files" problem="the kernel has no Landlock"' in log
    out = lab.a.run([*without, "doctor"], check=False).stdout
    assert re.search(r"^note +least privilege +files: the kernel has no Landlock$", out, re.M), out
