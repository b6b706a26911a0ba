"""Asks `swath ask-tell` for trials, runs them here, and tells how they went."""

import json, subprocess, sys

class Study:
    def __init__(self, sweep, swath="swath"):
        command = [swath, "ask-tell", sweep]
        self.swath = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, **request):
        print(json.dumps(request), file=self.swath.stdin, flush=True)
        reply = json.loads(self.swath.stdout.readline())
        if "error" in reply:
            raise ValueError(reply["error"])
        return reply

study = Study(sys.argv[1], *sys.argv[2:])
while (asked := study.call(ask=1))["trial"]:
    x, y = asked["params"]["x"], asked["params"]["y"]
    study.call(tell={"trial": asked["trial"], "value": (x - 1) ** 2 + y**2})
print(json.dumps(study.call(best=1)["best"][0]["params"]))
