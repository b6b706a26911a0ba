"""A (1+1) evolution strategy as a sampler for swath: https://doi.org/10.1023/A:1015059928466

[search]
sampler = "program"
trials = 40

[search.program]
command = ["python3", "examples/sampler.py"]
"""

import json, random, sys


def say(answer):
    print(json.dumps(answer), flush=True)


greeting = json.loads(sys.stdin.readline())
objective = greeting["objectives"][0]
sign = 1 if objective["goal"] == "min" else -1
parent, best, step = [0.5] * greeting["dims"], float("inf"), 0.2
say({"protocol": 1})

for line in sys.stdin:
    message = json.loads(line)
    # Only events change the state, so the same history leads to the same proposals.
    if "ended" in message.get("event", {}):
        for trial in message["trials"]:
            value = trial["objectives"][objective["metric"]]
            if trial["state"] != "complete" or trial["unit"] is None:
                continue
            if sign * value < best:
                parent, best, step = trial["unit"], sign * value, step * 1.5
            else:
                step *= 1.5**-0.25  # the rule of one success in five
    elif "suggest" in message:
        ask = message["suggest"]
        rng = random.Random(f"{ask['seed']} {ask['try']}")
        say({"unit": [min(max(rng.gauss(x, step), 0), 1) for x in parent]})
