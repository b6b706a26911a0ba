"""Who takes part: each asks for a configuration and is told its losses, through its public interface; ours by `swath ask-tell`."""

import importlib.util
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
        sweep.write_text(
            text
            + f'[search]\nsampler = "{self.sampler}"\ntrials = {trials}\n[space]\n{task.toml()}\n'
        )
        command = [self.binary, "--logs", self.folder.name, "ask-tell", str(sweep)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

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
            added = self.call(add=params)
            if "error" in added:
                raise RuntimeError(added["error"]["cause"])
            self.ask()
            self.tell(losses)

    def seconds(self):
        """The processor time of all that was asked and told so far, the start of the process included."""
        words = (
            pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        )
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()
        self.folder.cleanup()


def condition(spec):
    """When a parameter exists, in the words of tasks.py; `None` if always."""
    return next(
        (word[5:] for word in spec if isinstance(word, str) and word.startswith("when ")), None
    )


class InProcess:
    """Asked and told in this process, with the processor time that took in `took`."""

    def seconds(self):
        return self.took

    def stop(self):
        pass


class Optuna(InProcess):
    def __init__(self, make):
        self.make = make

    def start(self, task, trials, seed):
        import optuna

        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.took, self.task = 0.0, task
        self.study = optuna.create_study(
            sampler=self.make(optuna.samplers, seed), directions=["minimize"] * task.objectives
        )

    def ask(self):
        begun = time.process_time()
        self.trial, params = self.study.ask(), {}
        for name, spec in self.task.space.items():
            if isinstance(spec, list):
                params[name] = self.trial.suggest_categorical(name, spec)
                continue
            low, high, *rest = spec
            when = condition(spec)
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

        ranges = {
            name: optuna.distributions.FloatDistribution(*spec) for name, spec in task.space.items()
        }
        create = optuna.trial.create_trial
        self.study.add_trials(
            [create(params=params, distributions=ranges, values=losses) for params, losses in known]
        )


def active(task, params):
    """What of a configuration exists, for those who know no conditions and fill in everything."""
    kept = {}
    for name, spec in task.space.items():
        when = condition(spec)
        if not when or eval(when, {}, {**params, **kept}):  # a comparison written in tasks.py
            kept[name] = params[name]
    return kept


class Smac(InProcess):
    """SMAC3's facade for hyperparameters, a random forest; it is told of conditions."""

    def start(self, task, trials, seed):
        import ConfigSpace as cs
        from smac import HyperparameterOptimizationFacade as Facade
        from smac import Scenario

        space, parts = cs.ConfigurationSpace(seed=seed), {}
        for name, spec in task.space.items():
            if isinstance(spec, list):
                parts[name] = cs.CategoricalHyperparameter(name, spec)
                continue
            low, high, *rest = spec
            kind = (
                cs.UniformIntegerHyperparameter if "int" in rest else cs.UniformFloatHyperparameter
            )
            parts[name] = kind(name, low, high, log="log" in rest)
        space.add(*parts.values())
        for name, spec in task.space.items():
            when = condition(spec)
            if when:
                parent, sign, value = when.split()
                kind = {"==": cs.EqualsCondition, ">=": cs.GreaterThanCondition}[sign]
                space.add(
                    kind(
                        parts[name],
                        parts[parent],
                        value.strip("'") if sign == "==" else int(value) - 1,
                    )
                )
        self.folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            space,
            deterministic=True,
            n_trials=trials,
            seed=seed,
            output_directory=pathlib.Path(self.folder.name),
        )
        self.took = 0.0
        self.facade = Facade(scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=40)

    def ask(self):
        begun = time.process_time()
        self.info = self.facade.ask()
        self.took += time.process_time() - begun
        return {
            name: getattr(value, "item", lambda value=value: value)()
            for name, value in self.info.config.items()
        }

    def tell(self, losses):
        from smac.runhistory import TrialValue

        begun = time.process_time()
        self.facade.tell(self.info, TrialValue(cost=losses[0]))
        self.took += time.process_time() - begun

    def stop(self):
        self.folder.cleanup()


class Ax(InProcess):
    """Ax's client with its own choice of method; it knows no conditions of this kind."""

    def start(self, task, trials, seed):
        import logging

        import torch
        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        torch.set_num_threads(1)
        parts = []
        for name, spec in task.space.items():
            if isinstance(spec, list):
                parts.append(
                    ChoiceParameterConfig(
                        name=name, values=spec, parameter_type="str", is_ordered=False
                    )
                )
                continue
            low, high, *rest = spec
            kind, scaling = (
                "int" if "int" in rest else "float",
                "log" if "log" in rest else "linear",
            )
            parts.append(
                RangeParameterConfig(
                    name=name, bounds=(low, high), parameter_type=kind, scaling=scaling
                )
            )
        self.task, self.took = task, 0.0
        self.client = Client(random_seed=seed)
        self.client.configure_experiment(parameters=parts)
        self.client.configure_optimization(objective="-loss")

    def ask(self):
        begun = time.process_time()
        ((self.trial, params),) = self.client.get_next_trials(max_trials=1).items()
        self.took += time.process_time() - begun
        return active(self.task, params)

    def tell(self, losses):
        begun = time.process_time()
        self.client.complete_trial(trial_index=self.trial, raw_data={"loss": losses[0]})
        self.took += time.process_time() - begun


class Hebo(InProcess):
    """HEBO by its own defaults; it knows no conditions."""

    def start(self, task, trials, seed):
        import numpy
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        numpy.random.seed(seed)
        parts = []
        for name, spec in task.space.items():
            if isinstance(spec, list):
                parts.append({"name": name, "type": "cat", "categories": spec})
                continue
            low, high, *rest = spec
            kind = {
                (False, False): "num",
                (False, True): "int",
                (True, False): "pow",
                (True, True): "pow_int",
            }["log" in rest, "int" in rest]
            parts.append({"name": name, "type": kind, "lb": low, "ub": high, "base": 10})
        self.task, self.took = task, 0.0
        self.hebo = HEBO(DesignSpace().parse(parts), scramble_seed=seed)

    def ask(self):
        begun = time.process_time()
        self.asked = self.hebo.suggest(n_suggestions=1)
        self.took += time.process_time() - begun
        params = {
            name: getattr(value, "item", lambda value=value: value)()
            for name, value in self.asked.iloc[0].to_dict().items()
        }
        return active(self.task, params)

    def tell(self, losses):
        import numpy

        begun = time.process_time()
        self.hebo.observe(self.asked, numpy.array([losses]))
        self.took += time.process_time() - begun


def hub_auto(_, seed):
    import optunahub

    return optunahub.load_module("samplers/auto_sampler").AutoSampler(seed=seed)


def has(module):
    return importlib.util.find_spec(module) is not None


def everyone(binary, several):
    """Names and makers, for several objectives or one."""
    ours = (
        ("random", "nsga2", "tpe", "gp", "auto")
        if several
        else ("random", "tpe", "cmaes", "gp", "auto")
    )
    yield from ((f"swath {sampler}", Swath(sampler, binary)) for sampler in ours)
    if has("optuna"):
        yield "Optuna TPE", Optuna(lambda samplers, seed: samplers.TPESampler(seed=seed))
        if several:
            yield "Optuna NSGA-II", Optuna(lambda samplers, seed: samplers.NSGAIISampler(seed=seed))
        else:
            yield "Optuna CMA-ES", Optuna(lambda samplers, seed: samplers.CmaEsSampler(seed=seed))
    if has("optuna") and has("torch"):
        import torch

        torch.set_num_threads(1)
        yield "Optuna GP", Optuna(lambda samplers, seed: samplers.GPSampler(seed=seed))
    if has("optunahub"):
        yield "Optuna AutoSampler", Optuna(hub_auto)
    if several:
        return
    for module, name, kind in (("smac", "SMAC3", Smac), ("hebo", "HEBO", Hebo), ("ax", "Ax", Ax)):
        if has(module):
            yield name, kind()
