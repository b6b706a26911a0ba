"""``python -m swath.tracker mine:Mine``: runs a `swath.Tracker` as a ``program`` tracker."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from ._feed import Feed, GivenUp
from ._tracker import Row, Study, Tracker, Trial

__all__ = ["Row", "Study", "Tracker", "Trial", "main"]


def _sweep_options(sweep: Path, words: "list[str]") -> dict:
    """Returns the table ``[[tracker]]`` of a sweep file whose command ends with ``words``.

    Without such a table, the first one whose command names the same class; else an empty one.
    """
    text = sweep.read_text(encoding="utf-8")
    try:
        import tomllib
    except ImportError:
        tables = _tracker_tables(text)
    else:
        tables = tomllib.loads(text).get("tracker", [])
    programs = [table for table in tables if table.get("name") == "program"]
    # A word of the command may be a variable in the sweep file.
    for shared in (words, words[:1]):
        for table in programs:
            if all(word in table.get("command", ()) for word in shared):
                return table
    return {}


def _tracker_tables(text: str) -> "list[dict]":
    """Reads the tables ``[[tracker]]`` of a sweep file where Python has no reader of TOML.

    Knows values on one line; a ``command`` on several is read as a text.
    """
    tables = []
    for block in re.split(r"(?m)^\s*\[\[\s*tracker\s*\]\]", text)[1:]:
        block = re.split(r"(?m)^\s*\[[\w\[\s\"']", block)[0]
        table: "dict[str, Any]" = {"command": block}
        for key, value in re.findall(r"(?m)^\s*([\w-]+)\s*=\s*([^#\n]+)", block):
            try:
                value = json.loads(value.strip().replace("'", '"'))
            except ValueError:
                continue
            table[key] = block if key == "command" else value
        tables.append(table)
    return tables


def _load(spec: str) -> "type[Tracker]":
    """Imports the class that ``module:Class`` or ``file.py:Class`` names.

    Raises `ValueError` if there is none.
    """
    from importlib import import_module

    name, separator, member = spec.rpartition(":")
    if not separator:
        raise ValueError(f"`{spec}` names no class: write `module:Class` or `file.py:Class`")
    if name.endswith(".py"):
        sys.path.insert(0, os.path.dirname(os.path.abspath(name)))
        name = os.path.basename(name)[: -len(".py")]
    found = getattr(import_module(name), member, None)
    if not (isinstance(found, type) and issubclass(found, Tracker)):
        raise ValueError(f"`{name}` has no subclass of `swath.Tracker` with the name `{member}`")
    return found


def _options(words: "list[str]") -> "dict[str, str]":
    """Returns the options ``key=value`` of the command. Raises `ValueError` for other words."""
    wrong = next((word for word in words if "=" not in word), None)
    if wrong is not None:
        raise ValueError(f"`{wrong}` is no option: write `key=value`")
    return dict(word.split("=", 1) for word in words)


def main(words: "list[str]") -> int:
    """Runs the tracker that the words name, and returns the exit status of the process.

    0: everything was delivered. 1: something was not, and the last line printed says why. 2: there
    is no such tracker.
    """
    try:
        if not words:
            raise ValueError("usage: python -m swath.tracker MODULE:CLASS [KEY=VALUE]...")
        study_dir = os.environ.get("SWATH_STUDY_DIR")
        if not study_dir:
            raise ValueError("this program is started by swath: see docs/own-tracker.md")
        kind = _load(words[0])
        tracker = kind()
        tracker.options = _options(words[1:])
        options = _sweep_options(Path(study_dir) / "sweep.toml", words)
        tracker.log_freq = options.get("log_freq", tracker.log_freq)
        tracker.log_on_workers = options.get("log_on_workers", tracker.log_on_workers)
        feed = Feed(tracker, Path(study_dir), options, sys.stdin.fileno())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        feed.run()
    except GivenUp as error:
        return _ended(str(error))
    if not feed.failures:
        return 0
    count = len(feed.failures)
    calls = "1 call failed" if count == 1 else f"{count} calls failed, the first one"
    return _ended(f"{calls} {feed.failures[0]}")


def _ended(why: str) -> int:
    """Prints the reason on the last line, which swath shows."""
    sys.stdout.flush()
    print(why, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
