"""The configuration of a script for MLXP: a YAML file, overrides, and the trial's parameters."""

from __future__ import annotations

import json
import os

from .. import _records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Config(dict):
    """A dictionary whose entries are also attributes, at every depth."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()
        for name, value in dict(*arguments, **named).items():
            self[name] = value

    def __setitem__(self, name: Any, value: Any) -> None:
        dict.__setitem__(self, name, _nested(value))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            names = ", ".join(map(str, self)) or "none"
            raise AttributeError(
                f"there is no `{name}` in the configuration; there are: {names}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def update(self, other: "dict", **named: Any) -> None:  # type: ignore[override]
        """Sets the entries of another dictionary; nested ones are merged, not replaced."""
        _merge(self, {**other, **named})

    def to_dict(self) -> dict:
        """Returns plain dictionaries of the same entries."""
        return {
            name: value.to_dict() if isinstance(value, Config) else value
            for name, value in self.items()
        }


def _nested(value: Any) -> Any:
    if isinstance(value, dict) and not isinstance(value, Config):
        return Config(value)
    if isinstance(value, list):
        return [_nested(item) for item in value]
    return value


# What MLXP has in `mlxp.yaml` by default and a script may read.
_SETTINGS = {
    "logger": {"parent_log_dir": "./logs", "forced_log_id": -1, "log_streams_to_file": False},
    "use_logger": True,
    "use_scheduler": False,
    "use_version_manager": False,
    "interactive_mode": False,
}


def compose(folder: str, arguments: "list[str]") -> "tuple[Config, Config]":
    """Returns the configuration of the script, and the settings of MLXP.

    ``folder`` has ``config.yaml``, which may be missing. ``arguments`` are those of the command
    line. The parameters of the trial win over both.
    """
    parameters = _parameters()
    overrides = _overrides(arguments, parameters)
    own = {name: text for name, text in overrides.items() if _setting(name) is None}
    path = os.path.join(folder, "config.yaml")
    config = _read(path, folder, own)
    _set_parameters(config, parameters, path, overrides)
    settings = Config(json.loads(json.dumps(_SETTINGS)))
    for file in ("mlxp.yaml", "mlxpy.yaml"):
        _merge(settings, _load_yaml(os.path.join(folder, file)))
    for name, text in overrides.items():
        setting = _setting(name)
        if setting is not None:
            _set(settings, setting, _value(text))
    return config, settings


def _setting(name: str) -> "str | None":
    """Returns the name of a setting of MLXP without its prefix; ``None`` for another name."""
    for prefix in ("mlxp.", "mlxpy."):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return None


def _parameters() -> dict:
    path = os.environ.get("SWATH_PARAMS")
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _overrides(arguments: "list[str]", parameters: dict) -> "dict[str, str]":
    """Returns the values of ``name=value``. Raises `SystemExit` for anything else."""
    overrides = {}
    for argument in arguments:
        name, separator, text = argument.partition("=")
        # swath adds `--name=value` for every parameter to a command that names none.
        if separator and name.startswith("--") and name[2:] in parameters:
            continue
        name = name.lstrip("+")
        if not separator or name.startswith("-"):
            raise SystemExit(
                f"the argument `{argument}` is not understood; values of the configuration are "
                "`name=value`. A sweep over several values is `swath run`"
            )
        overrides[name] = text
    return overrides


def _read(path: str, folder: str, overrides: "dict[str, str]") -> Config:
    """Reads the configuration, with Hydra if the file needs it."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    if "${" in text or any(line.startswith("defaults:") for line in text.splitlines()):
        return _compose_with_hydra(folder, overrides)
    config = Config(_parse(text) or {})
    for name, value in overrides.items():
        _set(config, name, _value(value))
    return config


def _compose_with_hydra(folder: str, overrides: "dict[str, str]") -> Config:
    try:
        from hydra import compose as hydra_compose
        from hydra import initialize_config_dir
        from omegaconf import OmegaConf
    except ImportError:
        raise ImportError(
            "the configuration has config groups or interpolations, which need hydra-core: "
            "pip install hydra-core"
        ) from None
    with initialize_config_dir(config_dir=os.path.abspath(folder), version_base=None):
        # `++` sets a value whether or not the file has it. Config groups have no dot.
        listed = [f"{'++' if '.' in name else ''}{name}={text}" for name, text in overrides.items()]
        config = hydra_compose(config_name="config", overrides=listed)
    return Config(OmegaConf.to_container(config, resolve=True))


def _set_parameters(config: Config, parameters: dict, path: str, overrides: dict) -> None:
    unknown = []
    for name, value in parameters.items():
        if not _has(config, name):
            unknown.append(name)
            # The command passes it under a name of its own.
            if overrides:
                continue
        _set(config, name, value)
    if unknown and not overrides and not _records.rank():
        from .._trial import _warn

        names = ", ".join(f"`{name}`" for name in unknown)
        file = os.path.relpath(path)
        _warn(f"{file} has no {names}, so the script may not read it")


def _has(config: Any, name: str) -> bool:
    for part in name.split("."):
        if not isinstance(config, dict) or part not in config:
            return False
        config = config[part]
    return True


def _set(config: Config, name: str, value: Any) -> None:
    *folders, last = name.split(".")
    for part in folders:
        if not isinstance(config.get(part), Config):
            config[part] = Config()
        config = config[part]
    config[last] = value


def _merge(config: Config, other: "dict | None") -> None:
    for name, value in (other or {}).items():
        if isinstance(value, dict) and isinstance(config.get(name), Config):
            _merge(config[name], value)
        else:
            config[name] = value


def _load_yaml(path: str) -> "dict | None":
    try:
        with open(path, encoding="utf-8") as file:
            return _parse(file.read())
    except FileNotFoundError:
        return None


def _value(text: str) -> Any:
    """Returns the value of an override, with the types of YAML."""
    return _parse(text) if text else ""


def _parse(text: str) -> Any:
    """Parses YAML. ``1e-3`` is a number, as for Hydra; for PyYAML alone it is a text."""
    if not text.strip():
        return None
    try:
        import yaml
    except ImportError:
        raise ImportError("reading config.yaml needs PyYAML: pip install pyyaml") from None
    loader = _loader(yaml)
    return yaml.load(text, Loader=loader)


def _loader(yaml: Any) -> Any:
    import re

    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"),
        list("-+0123456789."),
    )
    return loader
