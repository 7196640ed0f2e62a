# SPDX-License-Identifier: Apache-2.0
"""Looks for plaintext on the switch for hours: each packet is judged when it comes, and only the first few are kept."""
import subprocess
import threading
import time

from cluster import leaks
from hosts import Failed, wait_for

# What may be readable. Encrypted traffic does not pass this filter, so the kernel copies nothing of it.
FILTER = "(udp port 4789 or net 10.244.0.0/16 or ip6 net fd00:10:244::/48 or proto 4 or proto 41 or proto 47)"
KEPT = 10
CANARY = "10.244.250.1"  # no node has it


class PlaintextWatch:
    def __init__(self, switch):
        self.switch, self.count, self.first, self.canaries, self.since = switch, 0, [], 0, None
        # Packets that carry the canary prove that the watch sees what is in plain.
        switch.run(f"ip route add {CANARY} dev br0 && ip neigh add {CANARY} lladdr 02:00:00:00:00:01 dev br0")
        self.process = switch.start(
            ["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-n", "-s", "256", "-B", "8192", "-i", "any", "-w", "-", FILTER],
            stderr=subprocess.PIPE)
        for line in self.process.stderr:
            if "listening on" in line:
                break
        else:
            raise Failed("tcpdump does not listen on the switch")
        self.said = []
        self.threads = [threading.Thread(target=each, daemon=True) for each in (self._judge, self._listen)]
        for thread in self.threads:
            thread.start()
        self.prove()

    def _listen(self):
        self.said = list(self.process.stderr)

    def _judge(self):
        from scapy.layers import inet, inet6, l2, vxlan  # noqa: F401  (they register what the reader knows)
        from scapy.utils import PcapReader
        for packet in PcapReader(self.process.stdout.buffer):
            if packet.haslayer("IP") and packet["IP"].dst == CANARY:
                self.canaries += 1
            elif self.since and packet.time > self.since and leaks([packet]):
                self.count += 1
                if len(self.first) < KEPT:
                    self.first.append((time.monotonic(), packet.summary()))

    def begin(self):
        """From now on, plaintext is counted."""
        self.since = time.time()

    def prove(self):
        """Fails if the watch does not see a packet in plain that is sent now. When it returns, all earlier ones were judged."""
        before = self.canaries
        self.switch.run(["ping", "-n", "-c", "1", "-W", "0.1", CANARY], check=False)
        wait_for(lambda: self.canaries > before, "the watch sees the canary")

    def stop(self):
        """Ends the watch. Fails if it missed packets."""
        self.prove()
        self.process.terminate()
        self.process.wait(20)
        for thread in self.threads:
            thread.join(20)
        dropped = [line for line in self.said if "dropped by kernel" in line]
        if not dropped or not dropped[0].startswith("0 "):
            raise Failed(f"tcpdump did not see all packets: {self.said}")
