"""A scheduler for swath: stops a trial whose objective, a positive number, is worse than the best
so far by a factor.

[scheduler]
name = "program"
command = ["python3", "examples/scheduler.py", "2.0"]
resource = "epoch"
"""

import json, sys


def say(answer):
    print(json.dumps(answer), flush=True)


factor = float(sys.argv[1])
greeting = json.loads(sys.stdin.readline())
metric, goal = greeting["objectives"][0].values()
better = min if goal == "min" else max
best = None
say({"protocol": 1})

for line in sys.stdin:
    message = json.loads(line)
    if "event" in message:
        values = [trial["objectives"][metric] for trial in message["trials"]] + [best]
        best = better((value for value in values if value is not None), default=None)
    elif "judge" in message:
        value, step = (message["judge"][key] for key in ("objectives", "step"))
        value = value[metric]
        bound = best and (best * factor if goal == "min" else best / factor)
        if value is not None and better(value, bound) != value and step and step > 1:
            say({"verdict": "stop", "why": f"{metric} is {value:g}, the best so far is {best:g}"})
        else:
            say({"verdict": "continue"})
