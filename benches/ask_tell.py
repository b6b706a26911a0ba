"""Measures calls of `swath ask-tell` from Python: median and 99th percentile of ask and of tell.

usage: python3 benches/ask_tell.py target/release/swath [PAIRS]
"""

import json
import os
import subprocess
import sys
import tempfile
import time

SWEEP = """
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "{sampler}"
trials = {trials}
[space]
{space}
"""
SPACE = "".join(f"x{index} = {{ min = 0.0, max = 1.0 }}\n" for index in range(10))


def timed_call(process, request):
    """Sends a request. Returns the microseconds until the reply, and the reply."""
    line = json.dumps(request).encode() + b"\n"
    start = time.perf_counter()
    process.stdin.write(line)
    process.stdin.flush()
    reply = process.stdout.readline()
    return (time.perf_counter() - start) * 1e6, json.loads(reply)


def measure(swath, sampler, trials):
    """Returns the times of all asks and of all tells."""
    asks, tells = [], []
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/s.toml", "w") as file:
            file.write(SWEEP.format(sampler=sampler, trials=trials, space=SPACE))
        process = subprocess.Popen(
            [swath, "ask-tell", "s.toml"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(trials):
            microseconds, proposal = timed_call(process, {"ask": 1})
            asks.append(microseconds)
            loss = sum((x - 0.3) ** 2 for x in proposal["params"].values())
            result = {"trial": proposal["trial"], "value": loss}
            tells.append(timed_call(process, {"tell": result})[0])
        process.stdin.close()
        process.wait()
    return asks, tells


def summary(times):
    times = sorted(times)
    median, percentile = times[len(times) // 2], times[len(times) * 99 // 100]
    return f"{median:.0f} µs, 99 % under {percentile:.0f} µs"


def main():
    swath = os.path.abspath(sys.argv[1])
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    for sampler in ["random", "tpe", "auto"]:
        # Auto includes the Gaussian process, whose proposals take much longer.
        trials = pairs if sampler != "auto" else min(pairs, 200)
        asks, tells = measure(swath, sampler, trials)
        print(f"{sampler}, {trials} pairs: ask {summary(asks)}; tell {summary(tells)}")


main()
