"""Reads studies as tables."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any, Iterator

from ._binary import binary
from ._errors import SwathError


def _run(*arguments: str) -> str:
    """Runs the binary and returns its output. Raises `SwathError` with its text if it fails."""
    done = subprocess.run(
        [binary(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise SwathError(done.stderr.strip() or f"swath ended with status {done.returncode}")
    return done.stdout


def query(command: str, study: "str | os.PathLike[str]", *arguments: str) -> dict:
    """Returns the answer of a command with ``--json``."""
    return json.loads(_run(command, os.fspath(study), *arguments, "--json"))


class Table:
    """The trials of a study, or its reports, read when they are first needed.

    Iterating gives one dictionary for each row, as ``swath export --json`` has it. `pandas`,
    `polars` and `arrow` give data frames with one column for each parameter and metric.
    """

    def __init__(self, arguments: "list[str]") -> None:
        self._arguments = arguments

    def __iter__(self) -> "Iterator[dict]":
        for line in _run("export", *self._arguments, "--json").splitlines():
            yield json.loads(line)

    def rows(self) -> "list[dict]":
        """Returns all rows as dictionaries."""
        return list(self)

    def pandas(self) -> Any:
        """Returns a data frame of pandas."""
        import io

        import pandas

        return pandas.read_csv(io.StringIO(_run("export", *self._arguments, "--csv")))

    def polars(self) -> Any:
        """Returns a data frame of polars."""
        import polars

        return self._parquet(polars.read_parquet)

    def arrow(self) -> Any:
        """Returns a table of pyarrow."""
        import pyarrow.parquet

        return self._parquet(pyarrow.parquet.read_table)

    def _parquet(self, read: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "table.parquet")
            _run("export", *self._arguments, "--parquet", "--output", path)
            return read(path)

    def _repr_html_(self) -> "str | None":
        try:
            return self.pandas()._repr_html_()
        except ImportError:
            return None

    def __repr__(self) -> str:
        return f"<swath.Table: swath export {' '.join(self._arguments)}>"


def read(
    study: "str | os.PathLike[str]",
    *,
    long: bool = False,
    where: "str | None" = None,
    logs: "str | os.PathLike[str] | None" = None,
) -> Table:
    """Returns the table of a study: one row for each trial, or with ``long`` for each report.

    ``study`` is its name or folder; ``where`` is a condition such as ``"val_loss < 0.3"``.
    """
    arguments = [os.fspath(study)]
    if long:
        arguments.append("--long")
    if where is not None:
        arguments += ["--where", where]
    if logs is not None:
        arguments += ["--logs", os.fspath(logs)]
    return Table(arguments)


def page(study: "str | os.PathLike[str]", height: int) -> Any:
    """Writes the study's page, and shows it if this is a notebook. Otherwise returns its path."""
    path = os.path.join(os.fspath(study), "page.html")
    _run("export", os.fspath(study), "--html", path)
    if not is_notebook():
        return path
    import html

    with open(path, encoding="utf-8") as file:
        content = html.escape(file.read(), quote=True)
    return _frame(f'srcdoc="{content}"', height)


def live_page(study: "str | os.PathLike[str]", height: int) -> Any:
    """Shows the page that ``swath ui`` serves on this machine, and that follows the study.

    The server ends with this process: its standard input is a pipe from here.
    """
    address = _served(os.path.abspath(os.fspath(study)))
    return _frame(f'src="{address}"', height)


def is_notebook() -> bool:
    """Returns whether IPython runs this code."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None


def is_remote() -> bool:
    """Returns whether the browser is on another machine, which does not reach a server here."""
    return any(name in os.environ for name in _REMOTE)


# Variables of services that run notebooks for browsers elsewhere, and of a login by SSH.
_REMOTE = ("COLAB_RELEASE_TAG", "JUPYTERHUB_SERVICE_PREFIX", "KAGGLE_KERNEL_RUN_TYPE", "SSH_CONNECTION")

# The servers of this process by the folder of their study, each with its address.
_servers: "dict[str, tuple[subprocess.Popen, str]]" = {}


def _served(study: str) -> str:
    """Returns the address of the live page, and starts its server if there is none.

    Raises `SwathError` if the server does not start.
    """
    process, address = _servers.get(study, (None, ""))
    if process is not None and process.poll() is None:
        return address
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            [binary(), "ui", study, "--notebook"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            start_new_session=True,
        )
        address = process.stdout.readline().decode().strip()
        if not address:
            process.wait()
            messages.seek(0)
            message = messages.read().decode(errors="replace").strip()
            raise SwathError(message or "swath ui did not start")
    _servers[study] = process, address
    return address


def _frame(source: str, height: int) -> Any:
    from IPython.display import HTML

    # IPython warns about a frame without anything around it.
    style = f"width:100%;height:{int(height)}px;border:0"
    return HTML(f'<div><iframe {source} style="{style}"></iframe></div>')
