"""What a call of `swath ask-tell` costs: the median and the 99th percentile over pairs of ask and tell, from a Python program.

usage: python3 benches/ask_tell.py target/release/swath [PAIRS]
"""

import json
import os
import subprocess
import sys
import tempfile
import time

swath, pairs = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000
SPACE = "".join(f"x{at} = {{ min = 0.0, max = 1.0 }}\n" for at in range(10))

for sampler in ["random", "tpe", "auto"]:
    count = pairs if sampler != "auto" else min(pairs, 200)
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/s.toml", "w") as file:
            file.write(
                f'[objective]\nmetric = "loss"\ngoal = "min"\n[search]\nsampler = "{sampler}"\ntrials = {count}\n[space]\n{SPACE}'
            )
        talk = subprocess.Popen(
            [swath, "ask-tell", "s.toml"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

        def call(line):
            began = time.perf_counter()
            talk.stdin.write(line)
            talk.stdin.flush()
            reply = talk.stdout.readline()
            return (time.perf_counter() - began) * 1e6, json.loads(reply)

        asks, tells = [], []
        for _ in range(count):
            took, asked = call(b'{"ask": 1}\n')
            asks.append(took)
            loss = sum((x - 0.3) ** 2 for x in asked["params"].values())
            tells.append(
                call(
                    json.dumps({"tell": {"trial": asked["trial"], "value": loss}}).encode() + b"\n"
                )[0]
            )
        talk.stdin.close()
        talk.wait()
        shown = lambda times: (
            f"{sorted(times)[len(times) // 2]:.0f} µs, 99 % under {sorted(times)[len(times) * 99 // 100]:.0f} µs"
        )
        print(f"{sampler}, {count} pairs: ask {shown(asks)}; tell {shown(tells)}")
