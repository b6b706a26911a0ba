"""The samplers that are compared, each behind its public interface: swath's by `swath ask-tell`."""

import importlib.util
import json
import os
import pathlib
import subprocess
import tempfile
import time
import warnings


class Refused(Exception):
    """The sampler does not support the space of the task."""


class Swath:
    """A sampler of swath in a process that reads requests and writes replies as lines of JSON."""

    def __init__(self, sampler, binary):
        self.sampler, self.binary = sampler, binary

    def start(self, task, trials, seed):
        self.folder = tempfile.TemporaryDirectory()
        sweep = pathlib.Path(self.folder.name) / "task.toml"
        text = f'name = "task"\nseed = {seed}\n'
        for index in range(task.objectives):
            text += f'[[objective]]\nmetric = "f{index}"\ngoal = "min"\n'
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
        proposal = self.call(ask=1)
        self.trial = proposal["trial"]
        return proposal.get("params")

    def tell(self, losses):
        self.call(tell={"trial": self.trial, "values": losses})

    def add_trials(self, task, trials):
        """Adds trials that another sampler has proposed."""
        for params, losses in trials:
            added = self.call(add=params)
            if "error" in added:
                raise RuntimeError(added["error"]["cause"])
            self.ask()
            self.tell(losses)

    def seconds(self):
        """Returns the CPU time of the process since its start."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()
        self.folder.cleanup()


def condition(spec):
    """Returns the condition of a parameter as tasks.py writes it, `None` if there is none."""
    return next(
        (word[5:] for word in spec if isinstance(word, str) and word.startswith("when ")), None
    )


class InProcess:
    """A sampler in this process. `cpu_seconds` is the CPU time of its calls."""

    def seconds(self):
        return self.cpu_seconds

    def stop(self):
        pass


class Optuna(InProcess):
    def __init__(self, make):
        self.make = make

    def start(self, task, trials, seed):
        import optuna

        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.cpu_seconds, self.task = 0.0, task
        self.study = optuna.create_study(
            sampler=self.make(optuna.samplers, seed), directions=["minimize"] * task.objectives
        )

    def ask(self):
        start = time.process_time()
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
        self.cpu_seconds += time.process_time() - start
        return params

    def tell(self, losses):
        start = time.process_time()
        self.study.tell(self.trial, losses)
        self.cpu_seconds += time.process_time() - start

    def add_trials(self, task, trials):
        """Adds trials that another sampler has proposed."""
        import optuna

        ranges = {
            name: optuna.distributions.FloatDistribution(*spec) for name, spec in task.space.items()
        }
        create = optuna.trial.create_trial
        self.study.add_trials(
            [
                create(params=params, distributions=ranges, values=losses)
                for params, losses in trials
            ]
        )


def python_value(value):
    """Converts a scalar of NumPy to a value of Python."""
    return value.item() if hasattr(value, "item") else value


def active(task, params):
    """Returns the parameters that exist, for samplers that do not support conditions."""
    active_params = {}
    for name, spec in task.space.items():
        when = condition(spec)
        if not when or eval(
            when, {}, {**params, **active_params}
        ):  # a comparison written in tasks.py
            active_params[name] = params[name]
    return active_params


class Smac(InProcess):
    """SMAC3's facade for hyperparameters, with a random forest. It supports conditions."""

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
        self.cpu_seconds = 0.0
        self.facade = Facade(scenario, lambda config, seed=0: 0.0, overwrite=True, logging_level=40)

    def ask(self):
        start = time.process_time()
        self.info = self.facade.ask()
        self.cpu_seconds += time.process_time() - start
        return {name: python_value(value) for name, value in self.info.config.items()}

    def tell(self, losses):
        from smac.runhistory import TrialValue

        start = time.process_time()
        self.facade.tell(self.info, TrialValue(cost=losses[0]))
        self.cpu_seconds += time.process_time() - start

    def stop(self):
        self.folder.cleanup()


class Ax(InProcess):
    """Ax's client with its default methods. It does not support conditions of this kind."""

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
        self.task, self.cpu_seconds = task, 0.0
        self.client = Client(random_seed=seed)
        self.client.configure_experiment(parameters=parts)
        # Each objective is minimised; with several the default is qLogNEHVI.
        self.names = [f"loss{index}" for index in range(task.objectives)]
        self.client.configure_optimization(objective=", ".join(f"-{name}" for name in self.names))

    def ask(self):
        start = time.process_time()
        ((self.trial, params),) = self.client.get_next_trials(max_trials=1).items()
        self.cpu_seconds += time.process_time() - start
        return active(self.task, params)

    def tell(self, losses):
        start = time.process_time()
        self.client.complete_trial(trial_index=self.trial, raw_data=dict(zip(self.names, losses)))
        self.cpu_seconds += time.process_time() - start


class Hebo(InProcess):
    """HEBO with its defaults. It does not support conditions."""

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
        self.task, self.cpu_seconds = task, 0.0
        self.hebo = HEBO(DesignSpace().parse(parts), scramble_seed=seed)

    def ask(self):
        start = time.process_time()
        self.proposal = self.hebo.suggest(n_suggestions=1)
        self.cpu_seconds += time.process_time() - start
        params = {
            name: python_value(value) for name, value in self.proposal.iloc[0].to_dict().items()
        }
        return active(self.task, params)

    def tell(self, losses):
        import numpy

        start = time.process_time()
        self.hebo.observe(self.proposal, numpy.array([losses]))
        self.cpu_seconds += time.process_time() - start


def hub_auto(_, seed):
    """Returns the AutoSampler of OptunaHub."""
    import optunahub

    return optunahub.load_module("samplers/auto_sampler").AutoSampler(seed=seed)


def is_installed(module):
    return importlib.util.find_spec(module) is not None


def all_entrants(binary, several):
    """Yields all installed samplers by name, those for several objectives or those for one."""
    swath_samplers = (
        ("random", "nsga2", "tpe", "gp", "auto")
        if several
        else ("random", "tpe", "cmaes", "gp", "auto")
    )
    yield from ((f"swath {sampler}", Swath(sampler, binary)) for sampler in swath_samplers)
    if is_installed("optuna"):
        yield "Optuna TPE", Optuna(lambda samplers, seed: samplers.TPESampler(seed=seed))
        if several:
            yield "Optuna NSGA-II", Optuna(lambda samplers, seed: samplers.NSGAIISampler(seed=seed))
        else:
            yield "Optuna CMA-ES", Optuna(lambda samplers, seed: samplers.CmaEsSampler(seed=seed))
    if is_installed("optuna") and is_installed("torch"):
        import torch

        torch.set_num_threads(1)
        yield "Optuna GP", Optuna(lambda samplers, seed: samplers.GPSampler(seed=seed))
    if is_installed("optunahub"):
        yield "Optuna AutoSampler", Optuna(hub_auto)
    if is_installed("ax"):
        yield "Ax", Ax()
    if several:
        return
    for module, name, kind in (("smac", "SMAC3", Smac), ("hebo", "HEBO", Hebo)):
        if is_installed(module):
            yield name, kind()
