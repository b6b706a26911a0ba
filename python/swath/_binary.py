"""Finds the ``swath`` binary."""

from __future__ import annotations

import os


def binary() -> str:
    """Returns the path of the ``swath`` binary that belongs to this module.

    ``$SWATH_BINARY`` comes first, then the scripts folders of this Python, then ``PATH``.

    Raises ``FileNotFoundError`` if there is none.
    """
    named = os.environ.get("SWATH_BINARY")
    if named:
        return named
    import sysconfig

    folders = [sysconfig.get_path("scripts")]
    # `pip install --user`, and `pip install --target`, which puts `bin` beside the module.
    if hasattr(sysconfig, "get_preferred_scheme"):
        folders.append(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    folders.append(os.path.join(os.path.dirname(os.path.dirname(__file__)), "bin"))
    for folder in folders:
        path = os.path.join(folder or "", "swath")
        if os.access(path, os.X_OK):
            return path
    import shutil

    path = shutil.which("swath")
    if path:
        return path
    raise FileNotFoundError(
        "the swath binary was not found beside this module or in PATH; "
        "install the package again (`pip install swath`), or set SWATH_BINARY to its path"
    )
