"""Who takes part: each asks for a configuration and is told its losses, through its public interface; ours by `swath ask-tell`."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import warnings


class Refused(Exception):
    """The sampler cannot search this space, and says so before it starts."""


class Swath:
    """One of our samplers, in a process of its own that is asked and told by lines of JSON."""

    def __init__(self, sampler, binary):
        self.sampler, self.binary = sampler, binary

    def start(self, task, trials, seed):
        self.folder = tempfile.TemporaryDirectory()
        sweep = pathlib.Path(self.folder.name) / "task.toml"
        text = f'name = "task"\nseed = {seed}\n'
        for at in range(task.objectives):
            text += f'[[objective]]\nmetric = "f{at}"\ngoal = "min"\n'
        sweep.write_text(text + f'[search]\nsampler = "{self.sampler}"\ntrials = {trials}\n[space]\n{task.toml()}\n')
        command = [self.binary, "--logs", self.folder.name, "ask-tell", str(sweep)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def call(self, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Refused from None
        line = self.process.stdout.readline()
        if not line:
            raise Refused
        return json.loads(line)

    def ask(self):
        asked = self.call(ask=1)
        self.trial = asked["trial"]
        return asked.get("params")

    def tell(self, losses):
        self.call(tell={"trial": self.trial, "values": losses})

    def know(self, task, known):
        """Learns of trials that others made."""
        for params, losses in known:
            self.call(add=params)
            self.ask()
            self.tell(losses)

    def seconds(self):
        """The processor time of all that was asked and told so far, the start of the process included."""
        words = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()
        self.folder.cleanup()


class Optuna:
    def __init__(self, make):
        self.make = make

    def start(self, task, trials, seed):
        import optuna

        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.took, self.task = 0.0, task
        self.study = optuna.create_study(sampler=self.make(optuna.samplers, seed), directions=["minimize"] * task.objectives)

    def ask(self):
        begun = time.process_time()
        self.trial, params = self.study.ask(), {}
        for name, spec in self.task.space.items():
            if isinstance(spec, list):
                params[name] = self.trial.suggest_categorical(name, spec)
                continue
            low, high, *rest = spec
            when = next((word[5:] for word in rest if word.startswith("when ")), None)
            if when and not eval(when, {}, params):  # a comparison written in tasks.py
                continue
            suggest = self.trial.suggest_int if "int" in rest else self.trial.suggest_float
            params[name] = suggest(name, low, high, log="log" in rest)
        self.took += time.process_time() - begun
        return params

    def tell(self, losses):
        begun = time.process_time()
        self.study.tell(self.trial, losses)
        self.took += time.process_time() - begun

    def know(self, task, known):
        import optuna

        ranges = {name: optuna.distributions.FloatDistribution(*spec) for name, spec in task.space.items()}
        create = optuna.trial.create_trial
        self.study.add_trials([create(params=params, distributions=ranges, values=losses) for params, losses in known])

    def seconds(self):
        return self.took

    def stop(self):
        pass


def everyone(binary, several):
    """Names and makers, for several objectives or one."""
    ours = ("random", "nsga2", "tpe", "gp", "auto") if several else ("random", "tpe", "cmaes", "gp", "auto")
    yield from ((f"swath {sampler}", Swath(sampler, binary)) for sampler in ours)
    try:
        import optuna  # noqa: F401
    except ImportError:
        return
    yield "Optuna TPE", Optuna(lambda samplers, seed: samplers.TPESampler(seed=seed))
    if several:
        yield "Optuna NSGA-II", Optuna(lambda samplers, seed: samplers.NSGAIISampler(seed=seed))
    else:
        yield "Optuna CMA-ES", Optuna(lambda samplers, seed: samplers.CmaEsSampler(seed=seed))
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        return
    yield "Optuna GP", Optuna(lambda samplers, seed: samplers.GPSampler(seed=seed))
