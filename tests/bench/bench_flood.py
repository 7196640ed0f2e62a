# SPDX-License-Identifier: Apache-2.0
"""A device under a flood of initiations with a right mac1, beside wireguard-go: what is answered a second, echoes of a
session that stood before, a newcomer's first answer, what is over how soon, memory.

    bench_flood.py [--rates 10000,40000,60000,100000] [--seconds 4] [CONTENDER...]
"""
import argparse
import base64
import contextlib
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))

import results  # noqa: E402
from lab import PORT, ROOT, Device, Failed, Lab, implementation, resident, wait_for  # noqa: E402
from traffic import ping  # noqa: E402

FLOOD = os.path.join(ROOT, "build/bench/initiations")
PEER = implementation("wireguard-go-new")


def stranger(lab, i):
    """A host on the network between the nodes."""
    host = lab.host(f"stranger-{i}")
    lab.switch.run(f"ip link add port-{i} type veth peer name eth0 netns {host.pid} && ip link set port-{i} master br0 up")
    host.run(f"ip addr add 172.18.0.{i}/24 dev eth0 && ip link set eth0 up")
    return host


def peer_of(lab, device, node, i):
    """Makes another peer on `node`, with the inner address 10.0.9.i, and adds it to `device`."""
    other = Device(node, PEER, name=f"wg{i}")
    node.run(f"ip addr add 10.0.9.{i}/32 dev wg{i}")
    other.set("listen-port", 40000 + i, "peer", device.public, "endpoint", lab.endpoint(1), "allowed-ips", "10.0.1.0/24")
    device.set("peer", other.public, "allowed-ips", f"10.0.9.{i}/32")
    device.node.run(f"ip route replace 10.0.9.{i}/32 dev {device.name}")
    node.run(f"ip link set wg{i} mtu 1420 up && ip route replace 10.0.1.0/24 dev wg{i}")
    return other


def first_answer(node, i, seconds):
    """Seconds until a new peer gets its first echo reply, or None."""
    begin = time.monotonic()
    with contextlib.suppress(Failed):
        wait_for(lambda: node.run(["ping", "-n", "-c", "1", "-W", "1", "-I", f"10.0.9.{i}", "10.0.1.1"],
                                  check=False).returncode == 0, "an answer", seconds)
        return time.monotonic() - begin
    return None


def measure(command, rate, seconds):
    with Lab(switch=True) as lab:
        attacker, newcomer, latecomer = (stranger(lab, i) for i in (7, 8, 9))
        device, peer = Device(lab.a, command), Device(lab.b, PEER)
        lab.connect(device, peer)
        assert ping(lab.pod_b, "10.0.1.2") == 3
        pid = device.pid()
        before = resident(pid)
        peer_of(lab, device, newcomer, 8)
        peer_of(lab, device, latecomer, 9)
        key = base64.b64decode(device.public).hex()
        echoes = int(seconds * 100)
        flood = attacker.start([FLOOD, "172.18.0.1", str(PORT), key, str(rate), str(seconds + 1)])
        assert flood.stdout.readline() == "flooding\n"
        pings = lab.pod_b.start(["ping", "-n", "-q", "-i", "0.01", "-c", str(echoes), "-W", "1", "10.0.1.2"])
        soon = first_answer(newcomer, 8, seconds)
        out = pings.communicate(timeout=60)[0]
        sent, answered = map(float, flood.communicate(timeout=60)[0].split())
        after = first_answer(latecomer, 9, 10)
        return {
            "sent": sent, "answered": answered,
            "echoes": int(re.search(r"(\d+) received", out)[1]) / echoes,
            "rtt": float((re.search(r"= [\d.]+/([\d.]+)/", out) or [0, "nan"])[1]),
            "newcomer": soon, "after": after, "grown": (resident(pid) - before) / 1024,
        }


def seconds_text(seconds):
    return "never" if seconds is None else f"{seconds:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="10000,40000,60000,100000")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("contenders", nargs="*", default=["podveil", "wireguard-go-new"])
    options = parser.parse_args()
    print(f"{'':>18} {'sent/s':>8} {'answered/s':>10} {'echoes':>7} {'rtt':>7} {'newcomer':>9} {'after':>6} {'memory':>7}")
    rows = []
    for rate in map(int, options.rates.split(",")):
        for name in options.contenders:
            r = measure([name, "device"] if "/" in name else implementation(name), rate, options.seconds)
            print(f"{os.path.basename(name):>18} {r['sent']:8.0f} {r['answered']:10.0f} {r['echoes']:7.0%} {r['rtt']:5.1f}ms "
                  + f"{seconds_text(r['newcomer']):>9} {seconds_text(r['after']):>6} {r['grown']:5.1f}MB", flush=True)
            rows.append(results.row(os.path.basename(name).replace("-new", ""), [
                rate, r["answered"], 100 * r["echoes"], f"{r['rtt']:.1f}", seconds_text(r["newcomer"]), seconds_text(r["after"]),
                r["grown"]], 0))
    results.save("flood", "tests/bench/bench_flood.py", "one run, nothing else at work",
                 ["initiations a second", "answered a second", "echoes, %", "round trip, ms", "newcomer, s", "after, s",
                  "memory, MB"], rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
