"""Evaluates trials that `swath ask-tell` proposes, and sends their results back."""

import json, subprocess, sys

class Study:
    def __init__(self, sweep, swath="swath"):
        command, pipe = [swath, "ask-tell", sweep], subprocess.PIPE
        self.swath = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def call(self, **request):
        print(json.dumps(request), file=self.swath.stdin, flush=True)
        reply = json.loads(self.swath.stdout.readline())
        if "error" in reply:
            raise ValueError(reply["error"])
        return reply

study = Study(sys.argv[1], *sys.argv[2:])
while (proposal := study.call(ask=1))["trial"]:
    x, y = proposal["params"]["x"], proposal["params"]["y"]
    study.call(tell={"trial": proposal["trial"], "value": (x - 1) ** 2 + y**2})
print(json.dumps(study.call(best=1)["best"][0]["params"]))
