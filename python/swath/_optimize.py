"""Tunes a Python function: every trial is a call in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import traceback
from multiprocessing import connection
from typing import Any, Callable, Mapping

from . import _records, _trial
from ._errors import SwathError, TrialInvalid, TrialPruned
from ._study import Offer, Study
from ._trial import Params

# This many trials that fail with the same error, before any other has succeeded, end the run.
_SAME_FAILURES = 3
# While the search space is being found: the time without a further suggestion after which a call
# is taken to have begun its training, and the limit of all calls.
_QUIET, _PROBES = 3.0, 64


class FunctionTrial(_trial.Trial):
    """The trial that a function gets: its parameters, and the calls of `swath.Trial`.

    ``suggest_float``, ``suggest_int`` and ``suggest_categorical`` serve functions written for
    Optuna.
    """

    def __init__(self, offer: Offer, conversation: Any, specs: "dict | None") -> None:
        super().__init__()
        self.id = offer.trial
        self.seed = offer.seed
        self.attempt = offer.attempt
        self.until = offer.until
        self.params = offer.params
        self.number = offer.trial
        self._conversation = conversation
        self._specs = specs
        self._verdict = "continue"

    def __getitem__(self, name: str) -> Any:
        return self.params[name]

    def __getattr__(self, name: str) -> Any:
        # Called for names that are no attributes: parameters.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.params, name)

    def report(self, values: Any = None, step: Any = None, /, **named: Any) -> str:
        """Reports values and returns the scheduler's verdict, which applies to this very report.

        ``trial.report(0.4, 3)`` reports the objective at step 3, ``trial.report(epoch=3, loss=0.4)``
        values by name.
        """
        if values is None or isinstance(values, Mapping):
            values = {**(values or {}), **named}
        self._conversation.send(("report", _message(values), step))
        self._verdict = self._conversation.recv()
        return self._verdict

    def should_prune(self) -> bool:
        """Returns whether the scheduler ended the trial at its last report."""
        return self._verdict != "continue"

    def should_stop(self) -> bool:
        return self.should_prune()

    def suggest_float(self, name: str, low: float, high: float, *, step=None, log=False) -> float:
        """Returns the parameter ``name``."""
        return float(self._suggest(name, _float_entry(low, high, step, log)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log=False) -> int:
        """Returns the parameter ``name``."""
        return int(self._suggest(name, _int_entry(low, high, step, log)))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Returns the parameter ``name``."""
        return self._suggest(name, list(choices))

    def _suggest(self, name: str, entry: Any) -> Any:
        if name not in self.params:
            raise SwathError(
                f"the search space has no parameter `{name}` in this trial, although the function "
                "suggests it",
                "give the whole space: swath.optimize(objective, space={...}); a parameter that "
                "exists in some trials only has `when`",
            )
        if self._specs is not None and _changed(self._specs.get(name), entry):
            raise SwathError(
                f"`{name}` is suggested with {entry!r}, and the search space has "
                f"{self._specs.get(name)!r}",
                "use the same range in every trial, or give the parameter another name",
            )
        return self.params[name]


def _changed(spec: Any, entry: Any) -> bool:
    if isinstance(spec, dict):
        spec = {key: value for key, value in spec.items() if key != "when"}
        if "choices" in spec:
            spec = spec["choices"]
    return spec is not None and spec != entry


def _float_entry(low: float, high: float, step: "float | None", log: bool) -> dict:
    entry: dict = {"min": float(low), "max": float(high)}
    if step is not None:
        entry["step"] = float(step)
    if log:
        entry["log"] = True
    return entry


def _int_entry(low: int, high: int, step: int, log: bool) -> dict:
    entry: dict = {"min": int(low), "max": int(high)}
    if step != 1:
        entry["step"] = int(step)
    if log:
        entry["log"] = True
    return entry


def _message(value: Any) -> Any:
    """Turns the scalars of array libraries in a value into plain numbers."""
    if isinstance(value, Mapping):
        return {str(key): _message(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_message(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value if type(value) in (type(None), bool, int, float, str) else float(value)
    return _records._plain(value)


def _call(objective: Callable, trial: FunctionTrial) -> Any:
    """Calls the function with the trial, or with the parameters by name if it asks for those."""
    import inspect

    try:
        parameters = list(inspect.signature(objective).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    by_name = [p for p in parameters if p.name in trial.params]
    takes_trial = len(parameters) == 1 and not by_name
    takes_trial = takes_trial and parameters[0].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    if takes_trial or not parameters:
        return objective(trial)
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        given = dict(trial.params)
    else:
        given = {p.name: trial.params[p.name] for p in by_name}
    if any(p.name == "trial" for p in parameters):
        given["trial"] = trial
    return objective(**given)


def _work(objective: Callable, offer: Offer, specs: "dict | None", conversation: Any) -> None:
    """Runs one trial in its own process, and sends its result."""
    os.environ.update(offer.env)
    os.environ["SWATH_TRIAL"] = str(offer.trial)
    os.environ["SWATH_SEED"] = str(offer.seed)
    _records._rebind()
    if offer.folder:
        _redirect(offer.folder)
    _seed(offer.seed)
    trial = FunctionTrial(offer, conversation, specs)
    _trial._trial = trial
    _records._relay = trial.report
    try:
        result = ("value", _message(_call(objective, trial)))
    except TrialInvalid as error:
        result = ("invalid", error.why)
    except TrialPruned:
        result = ("pruned", "the function raised TrialPruned")
    except BaseException as error:
        traceback.print_exc()
        if type(error).__module__.startswith("optuna") and "Pruned" in type(error).__name__:
            result = ("pruned", "the function raised TrialPruned")
        else:
            last = traceback.format_exception_only(type(error), error)[-1].strip()
            result = ("error", last, traceback.format_exc())
    finally:
        _records.flush()
        sys.stdout.flush()
        sys.stderr.flush()
    conversation.send(result)


def _redirect(folder: str) -> None:
    """Sends the output of this process to the logs of its trial."""
    for name, descriptor in (("stdout.log", 1), ("stderr.log", 2)):
        log = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(log, descriptor)
        os.close(log)
    # A notebook has streams of its own in place of the descriptors.
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)


def _seed(seed: int) -> None:
    """Makes the random numbers of a trial its own: forked processes share those of the parent."""
    import random

    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


class _Running:
    """A trial that runs in its process."""

    def __init__(self, context: Any, objective: Callable, offer: Offer, specs: Any) -> None:
        self.offer = offer
        self.conversation, other = context.Pipe()
        self.begun = time.monotonic()
        self.is_stopped = False
        self.process = context.Process(
            target=_work, args=(objective, offer, specs, other), name=f"swath trial {offer.trial}"
        )
        self.process.start()
        other.close()

    def end(self) -> None:
        """Ends the process, at first by SIGTERM."""
        self.process.terminate()
        self.process.join(2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class Optimized:
    """The study that `optimize` made: its best trial and its table."""

    def __init__(self, study: Study) -> None:
        self._refresh(study)
        self.dir, self.name = study.dir, study.name

    def _refresh(self, study: Study) -> None:
        best = study.best()
        self.best: "dict | None" = best
        self.best_params: "Params | None" = Params(best["params"]) if best else None
        self.best_value: Any = best["value"] if best else None
        self.pareto: "list[dict]" = study.best_trials(1000) if best else []

    def read(self, **options: Any):
        """Returns the table of the study; see `swath.read`."""
        from ._read import read

        return read(self.dir, **options)

    def compare(self, *arguments: str) -> dict:
        """Returns the comparison of the trials, as ``swath compare --json`` gives it."""
        from ._read import query

        return query("compare", self.dir, *arguments)

    def show(self, height: int = 700) -> Any:
        """Shows the study's page in a notebook; elsewhere returns the path of the page."""
        from ._read import page

        return page(self.dir, height)

    def __repr__(self) -> str:
        if not self.best:
            return f"<swath study {self.name}: no trial is complete>"
        return (
            f"<swath study {self.name}: best {self.best_value:.6g} "
            f"in trial {self.best['trial']}, {dict(self.best_params)!r}>"
            if isinstance(self.best_value, float)
            else f"<swath study {self.name}: {len(self.pareto)} trials on the Pareto front>"
        )

    def _repr_html_(self) -> str:
        import html

        if not self.best:
            return f"<p><code>{html.escape(repr(self))}</code></p>"
        return f"<p><b>{html.escape(self.name)}</b>: {_best_html(self.best)}"


def _best_html(best: dict) -> str:
    """Returns the value of a trial and the table of its parameters, after the start of a `<p>`."""
    import html

    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(str(name))}</th>"
        f"<td>{html.escape(str(value))}</td></tr>"
        for name, value in best["params"].items()
    )
    value = html.escape(_short(best["value"]))
    return f"best {value}, trial {best['trial']}</p><table>{rows}</table>"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def optimize(
    function: "Callable[..., Any]",
    space: "Mapping[str, Any] | str | os.PathLike[str] | None" = None,
    *,
    trials: int = 50,
    jobs: int = 1,
    name: "str | None" = None,
    goal: str = "min",
    metric: str = "value",
    sampler: "str | None" = None,
    scheduler: "str | Mapping[str, Any] | None" = None,
    seed: "int | None" = None,
    timeout: "float | None" = None,
    trial_timeout: "float | None" = None,
    logs: "str | os.PathLike[str] | None" = None,
    start: "str | None" = None,
    progress: bool = True,
    **tables: "Mapping[str, Any]",
) -> Optimized:
    """Finds parameters for which a Python function returns a small value (``goal="max"``: large).

    ``function`` gets a trial (``trial.params.lr``), or the parameters by name if its arguments are
    called like them. It returns the value, a list for several objectives, or a dictionary by name;
    nothing if it reports: ``trial.report(loss, epoch)``. ``space`` is a dictionary, see below, or a
    sweep file. Without it the function is called a few times up to its last
    ``trial.suggest_float(...)`` to find the space.

    ``space={"lr": (1e-4, 1e-1, "log"), "layers": (1, 3), "optimizer": ["sgd", "adam"]}``; a
    dictionary is an entry as in a sweep file, such as ``{"min": 0.0, "max": 0.99, "when":
    "optimizer == 'sgd'"}``.

    Every trial runs in a process of its own, ``jobs`` at a time; ``trial_timeout`` and ``timeout``
    are in seconds. ``start`` is how a process begins: ``"fork"`` (the default where there is one),
    ``"forkserver"`` or ``"spawn"``, which need a function that can be imported. The study is on disk
    under ``logs``, by default with the name of the function; the same call again continues it, and
    ``trials`` is its total. ``tables`` are further tables of a sweep file: ``limits={...}``.

    Raises `SwathError` if the first trials all fail with the same error, with its traceback.
    """
    context = multiprocessing.get_context(start or _default_start())
    name = name or getattr(function, "__name__", "study").strip("<>")
    specs: "dict | None" = None
    if isinstance(space, (str, os.PathLike)):
        study = Study(space, logs=logs, jobs=jobs)
    else:
        if space is None:
            space = specs = _found_space(function, context, progress)
        study = Study(
            name,
            space=space,
            logs=logs,
            jobs=jobs,
            metric=metric,
            goal=goal,
            trials=trials,
            sampler=sampler,
            scheduler=scheduler,
            seed=seed,
            tables=tables,
        )
    with study:
        # A sweep file has a number of trials of its own.
        total = None if isinstance(space, (str, os.PathLike)) else trials
        board = _Board(study, total) if progress else None
        _until_the_end(
            _Run(study, function, context, specs, jobs, trial_timeout, board), timeout
        )
        return Optimized(study)


def _until_the_end(run: "_Run", timeout: "float | None") -> None:
    """Runs the trials of a study for at most ``timeout`` seconds, and gives back those left."""
    try:
        run.until_the_end(None if timeout is None else time.monotonic() + timeout)
    finally:
        run.give_back()
        if run.board is not None:
            run.board.close()


def _default_start() -> str:
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"


class _Run:
    """The loop of `optimize`."""

    def __init__(self, study, objective, context, specs, jobs, trial_timeout, board) -> None:
        self.study, self.objective, self.context, self.specs = study, objective, context, specs
        self.jobs, self.trial_timeout, self.board = jobs, trial_timeout, board
        self.running: "list[_Running]" = []
        self.failures: "list[str]" = []
        self.successes = 0

    def until_the_end(self, deadline: "float | None") -> None:
        while True:
            while len(self.running) < self.jobs:
                offer = self.study.ask()
                if offer is None:
                    break
                self.running.append(_Running(self.context, self.objective, offer, self.specs))
                if self.board is not None:
                    # Trials are numbered in the order of their start, also in an earlier call.
                    self.board.highest = max(self.board.highest, offer.trial)
            if not self.running:
                return
            self.wait(deadline)
            if deadline is not None and time.monotonic() > deadline:
                return

    def wait(self, deadline: "float | None") -> None:
        """Handles the messages and the ends of processes that come within a moment."""
        now = time.monotonic()
        ends = [] if deadline is None else [deadline]
        if self.trial_timeout is not None:
            ends += [running.begun + self.trial_timeout for running in self.running]
        pause = min([end - now for end in ends] + [0.5])
        conversations = {running.conversation: running for running in self.running}
        for ready in connection.wait(list(conversations), max(pause, 0)):
            self.receive(conversations[ready])
        for running in list(self.running):
            limit = self.trial_timeout
            if limit is not None and time.monotonic() - running.begun > limit:
                running.end()
                self.done(running, None, "failed", f"it took longer than {limit:g} s")
        if self.board is not None:
            self.board.show(len(self.running))

    def receive(self, running: _Running) -> None:
        try:
            message = running.conversation.recv()
        except (EOFError, ConnectionResetError):
            running.process.join()
            code = running.process.exitcode
            why = f"its process was ended by signal {-code}" if code and code < 0 else (
                f"its process ended with status {code}"
            )
            self.failed(running, why, why)
            return
        if message[0] == "report":
            self.reported(running, message[1], message[2])
        elif message[0] == "value":
            self.returned(running, message[1])
        elif message[0] == "invalid":
            self.done(running, None, "invalid", message[1])
        elif message[0] == "pruned":
            self.done(running, None, "stopped", message[1])
        else:
            self.failed(running, message[1], message[2])

    def reported(self, running: _Running, values: Any, step: Any) -> None:
        if running.is_stopped:
            running.conversation.send("stop")
            return
        verdict = self.study.report(running.offer, values, step)
        running.is_stopped = verdict != "continue"
        running.conversation.send(verdict)

    def returned(self, running: _Running, value: Any) -> None:
        from ._errors import RequestError

        try:
            self.done(running, value, None, None)
        except RequestError as error:
            self.failed(running, f"the function returned {value!r}: {error.cause}", str(error))

    def failed(self, running: _Running, why: str, text: str) -> None:
        self.done(running, None, "failed", why)
        self.failures.append(why)
        first = self.failures[:_SAME_FAILURES]
        if not self.successes and len(first) == _SAME_FAILURES and len(set(first)) == 1:
            raise SwathError(
                f"the first {_SAME_FAILURES} trials failed with the same error:\n{text}",
                "correct the function and run this again: the study continues",
            )

    def done(self, running: _Running, value: Any, state: Any, why: Any) -> None:
        if not running.is_stopped:
            self.study.tell(running.offer, value, state=state, why=why)
            self.successes += state is None
        if running in self.running:
            self.running.remove(running)
        running.conversation.close()
        running.process.join(5)
        if running.process.is_alive():
            running.end()

    def give_back(self) -> None:
        """Ends the trials that still run. They wait for the next call."""
        for running in list(self.running):
            running.end()
            try:
                self.done(running, None, "waiting", None)
            except SwathError:
                pass


class _Board:
    """The progress of `optimize`: a line on the terminal, or an output of a notebook's cell."""

    def __init__(self, study: Study, trials: "int | None") -> None:
        self.study, self.trials = study, trials
        self.begun = time.monotonic()
        self.last = 0.0
        self.running, self.highest = 0, 0
        self.best: "dict | None" = None
        self.handle = None
        self.is_terminal = sys.stderr.isatty()
        try:
            from IPython import get_ipython

            shell = get_ipython()
            if shell is not None and type(shell).__name__ == "ZMQInteractiveShell":
                from IPython.display import display

                self.handle = display(self, display_id=True)
        except ImportError:
            pass

    def show(self, running: int, force: bool = False) -> None:
        """Shows the progress twice a second; ``running`` is the number of running trials."""
        now = time.monotonic()
        if not force and now - self.last < 0.5 or not (self.handle or self.is_terminal):
            return
        self.last = now
        self.best = self.study.best()
        self.running = running
        if self.handle is not None:
            self.handle.update(self)
        else:
            print(f"\r\x1b[K{self._line()}", end="", file=sys.stderr, flush=True)

    def _line(self) -> str:
        line = f"{self.study.name}: {self.running} running"
        if self.best:
            line += f", best {_short(self.best['value'])} in trial {self.best['trial']}"
        return line

    def _repr_html_(self) -> str:
        import html

        ended = max(self.highest - self.running, 0)
        minutes, seconds = divmod(int(time.monotonic() - self.begun), 60)
        if self.trials:
            ended = min(ended, self.trials)
            counts = f"{ended} of {self.trials} trials have ended"
            bar = f"<progress value='{ended}' max='{self.trials}' style='width:100%'></progress>"
        else:
            counts, bar = f"{ended} trials have ended", ""
        text = (
            f"<p><b>{html.escape(self.study.name)}</b>: {counts}, {self.running} running, "
            f"{minutes}:{seconds:02} min</p>{bar}"
        )
        return text + (f"<p>{_best_html(self.best)}" if self.best else "")

    def close(self) -> None:
        self.show(0, force=True)
        if self.is_terminal and self.handle is None:
            print(file=sys.stderr)


class _Probe(FunctionTrial):
    """Answers suggestions with one choice of each, and sends what was suggested."""

    def __init__(self, conversation: Any, choices: dict) -> None:
        offer = Offer({"trial": 0, "params": {}, "seed": 0})
        super().__init__(offer, conversation, None)
        self._choices = choices

    def report(self, *_: Any, **__: Any) -> str:
        self._conversation.send(("end",))
        time.sleep(3600)
        return "stop"

    def _suggest(self, name: str, entry: Any) -> Any:
        self._conversation.send(("suggest", name, entry))
        if isinstance(entry, list):
            return entry[self._choices.get(name, 0)]
        low, high = entry["min"], entry["max"]
        if entry.get("log"):
            middle = (low * high) ** 0.5
            return int(middle) if isinstance(low, int) else middle
        return low


def _probe(objective: Callable, choices: dict, conversation: Any) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.stdout = sys.stderr = open(1, "w", closefd=False)
    trial = _Probe(conversation, choices)
    _trial._trial = trial
    _records._relay = trial.report
    try:
        objective(trial)
    except BaseException as error:
        last = traceback.format_exception_only(type(error), error)[-1].strip()
        conversation.send(("end", last))
        return
    conversation.send(("end",))


def _suggestions(objective: Callable, context: Any, choices: dict) -> "dict[str, Any]":
    """Calls the function until it suggests nothing more, and returns what it suggested."""
    here, there = context.Pipe()
    process = context.Process(target=_probe, args=(objective, choices, there))
    process.start()
    there.close()
    suggested: dict = {}
    failure = None
    try:
        # Imports may come before the first suggestion, so the first wait is longer.
        while here.poll(_QUIET if suggested else 60.0):
            message = here.recv()
            if message[0] == "end":
                failure = message[1] if len(message) > 1 else None
                break
            suggested[message[1]] = message[2]
    except (EOFError, ConnectionResetError):
        pass
    finally:
        process.kill()
        process.join()
        here.close()
    if not suggested:
        raise SwathError(
            "the function suggested no parameter"
            + (f", and failed: {failure}" if failure else ""),
            "give the space: swath.optimize(objective, space={'lr': (1e-4, 1e-1, 'log')}, …)",
        )
    return suggested


def _found_space(objective: Callable, context: Any, progress: bool) -> "dict[str, Any]":
    """Finds the space of a function that suggests its parameters as it runs.

    The function is called with the first choice of each categorical parameter, and then once with
    each other choice. A parameter that appears only with some choices of one parameter gets the
    condition for them.
    """
    base = _suggestions(objective, context, {})
    space: "dict[str, Any]" = dict(base)
    seen: "list[tuple[dict, set]]" = [({}, set(base))]
    queue = [(name, entry) for name, entry in base.items() if isinstance(entry, list)]
    while queue:
        name, entry = queue.pop(0)
        for index in range(1, len(entry)):
            if len(seen) >= _PROBES:
                raise SwathError(
                    f"the function has more than {_PROBES} choices to follow",
                    "give the space: swath.optimize(objective, space={...})",
                )
            # A parameter that exists only under another choice is followed under that one.
            choices = {**_path_to(name, seen), name: index}
            found = _suggestions(objective, context, choices)
            seen.append((choices, set(found)))
            for other, other_entry in found.items():
                if other not in space:
                    space[other] = other_entry
                    if isinstance(other_entry, list):
                        queue.append((other, other_entry))
                elif space[other] != other_entry:
                    raise SwathError(
                        f"`{other}` is suggested with {space[other]!r} and with {other_entry!r}",
                        "use one range, or give the parameter another name in that branch",
                    )
    conditions = {name: _condition(name, space, seen) for name in space}
    for name, condition in conditions.items():
        if condition:
            entry = space[name]
            space[name] = (
                {"choices": entry, "when": condition}
                if isinstance(entry, list)
                else {**entry, "when": condition}
            )
    if progress:
        conditional = sum(1 for condition in conditions.values() if condition)
        print(
            f"found {len(space)} parameters, {conditional} of them conditional, "
            f"in {len(seen)} calls of the function",
            file=sys.stderr,
        )
    return space


def _path_to(name: str, seen: "list[tuple[dict, set]]") -> dict:
    """Returns the choices under which a parameter was first suggested."""
    return next((choices for choices, names in seen if name in names), {})


def _condition(name: str, space: dict, seen: "list[tuple[dict, set]]") -> "str | None":
    """Returns the condition under which a parameter exists; ``None`` if it always does.

    Raises `SwathError` if no single choice explains it.
    """
    if all(name in names for _, names in seen):
        return None
    for other, entry in space.items():
        if other == name or not isinstance(entry, list):
            continue
        with_it, without_it = set(), set()
        for choices, names in seen:
            if other in names:
                (with_it if name in names else without_it).add(choices.get(other, 0))
            elif name in names:
                break
        else:
            if with_it and not with_it & without_it:
                values = [repr_of(entry[index]) for index in sorted(with_it)]
                return " or ".join(f"{_quoted_name(other)} == {value}" for value in values)
    raise SwathError(
        f"`{name}` is suggested in some calls only, and no single choice decides when",
        "give the space with its condition: "
        f'space={{"{name}": {{"min": …, "max": …, "when": "optimizer == \'sgd\'"}}, …}}',
    )


def repr_of(value: Any) -> str:
    """Returns a choice as an expression of a sweep file has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


def _quoted_name(name: str) -> str:
    return name if name.replace("_", "a").replace(".", "a").isalnum() else f"`{name}`"
