#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What low latency (podveilLowLatency, podveil device --low-latency) gains and costs: two devices without and with
it, in turn in each round, and never both at a time, because it keeps the processors of the whole machine awake.

bench_latency.py [--rounds N] [--seconds N]
"""
import argparse
import contextlib
import statistics

import contenders
import measures
import results
from report import switched, switched_rows

MEASURES = {
    "ping every 0.2 s, median, us": lambda c, _: 1000 * statistics.median(measures.ping(c, 20, 0.2)),
    "ping every 10 ms, median, us": lambda c, _: 1000 * statistics.median(measures.ping(c, 200, 0.01)),
    "ping beside a stream, p99, ms": lambda c, _: measures.ping_loaded(c, 520),
    **measures.SWITCHED,
    "TCP both ways, Gbit/s": lambda c, seconds: measures.tcp(c, seconds, "--bidir")[0],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=1)
    options = parser.parse_args()

    values = {key: {False: [], True: []} for key in MEASURES}
    for i in range(options.rounds):
        for low in (False, True) if i % 2 == 0 else (True, False):
            more = ["--low-latency"] if low else []
            with contextlib.closing(contenders.Contender("podveil socket", more=more)) as contender:
                for key, measure in MEASURES.items():
                    values[key][low].append(measure(contender, options.seconds))
    print(switched(f"low latency, medians of {options.rounds}", values))
    results.save("low-latency", "tests/bench/bench_latency.py", f"medians of {options.rounds}, off and on in turn",
                 ["off", "on", "×"], switched_rows(values))


if __name__ == "__main__":
    main()
