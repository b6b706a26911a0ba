"""Hydra parses all texts that `{hydra}` passes on as the texts of the sweep file.

usage: python hydra_overrides.py STUDY     (STUDY is ignored; $SWATH names the binary)
"""
# needs: hydra-core==1.3.2

import json
import os
import string
import subprocess
import sys
import tempfile
from pathlib import Path

# The trial writes the values of its overrides: from Hydra's parser, and from a composed
# configuration such as an app receives.
APP = """
import json, os, sys
from hydra import compose, initialize
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

overrides = sys.argv[1:]
parsed = {}
for override in OverridesParser.create().parse_overrides(overrides):
    parsed[override.key_or_group] = override.value()
composed = {}
with initialize(version_base=None, config_path=None):
    for override in overrides:
        try:
            config = compose(overrides=["+" + override])
            composed.update(OmegaConf.to_container(config, resolve=False))
        except Exception:
            # OmegaConf rejects some texts with an interpolation in any notation.
            if "${" not in override:
                raise
with open(os.path.join(os.environ["SWATH_TRIAL_DIR"], "values.json"), "w") as file:
    json.dump({"parsed": parsed, "composed": composed}, file)
with open(os.environ["SWATH_RECORDS"], "a") as file:
    file.write(json.dumps({"loss": 0.0}) + "\\n")
"""

SWEEP = """
name = "hydra"
[run]
command = [{python}, "app.py", "{{hydra}}"]
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "grid"
[space]
"""


def texts():
    """Yields texts with a special meaning in Hydra, TOML, shells or YAML."""
    yield from [
        "",
        " ",
        "  ",
        "\t",
        "\n",
        "a\nb",
        "x\ty",
        " padded ",
        "naïve 学習率",
        "ß",
        "😀",
        "a\u00a0b",
    ]
    for mark in string.punctuation:
        yield from [
            mark,
            mark * 2,
            mark * 3,
            f"{mark}a",
            f"a{mark}",
            f"a{mark}b",
            f"{mark}a{mark}",
            f"{mark * 2}a{mark * 2}",
        ]
        yield from [f"{mark}1", f"1{mark}", f"1{mark}0", f" {mark} ", f"a {mark} b"]
        for quote in ["'", '"', "\\", "\\'", "'\\", "\\\\'", '\\"', "\\\\", " "]:
            yield from [mark + quote, quote + mark, quote + mark + quote]
    for count in range(1, 6):
        slashes = "\\" * count
        yield from [
            slashes,
            f"a{slashes}",
            f"{slashes}a",
            f"a{slashes}b",
            f"a{slashes}'b",
            f"a{slashes}'",
            f'a{slashes}"b',
            f"'{slashes}'{slashes}",
        ]
    for number in [
        "0",
        "1",
        "10",
        "1000",
        "1_000",
        "1_0_0",
        "1__0",
        "_1",
        "1_",
        "0_1",
        "007",
        "1.5",
        "1_0.5",
        "1.5_0",
        ".5",
        ".5_0",
    ]:
        yield from [
            number,
            f"+{number}",
            f"-{number}",
            f"{number}e5",
            f"{number}e-1_0",
            f"{number}.",
            f"{number}x",
            f" {number}",
        ]
    for word in [
        "inf",
        "nan",
        "infinity",
        "null",
        "none",
        "true",
        "false",
        "yes",
        "on",
        "~",
        "1e5",
        "0x1f",
        "0b1",
        "1j",
    ]:
        yield from [
            word,
            word.upper(),
            word.title(),
            f"+{word}",
            f"-{word}",
            f"{word}_",
            f" {word}",
            f"{word}x",
        ]
    yield from [
        "${x}",
        "${oc.env:HOME}",
        "a${x}b",
        "\\${x}",
        "'${x}'",
        "$x",
        "${",
        "$}",
        "${x",
        "{a: 1}",
        "{}",
        "[1,2]",
        "[]",
    ]
    yield from [
        "choice(1,2)",
        "range(1,3)",
        "interval(0,1)",
        "glob(*)",
        "sort(3,1)",
        "(f)",
        "~x",
        "+x",
        "++x",
        "a,b",
        "k=v",
        "k: v",
    ]
    yield from [
        "db@pkg",
        "a.b.c",
        "a/b",
        "/abs/path",
        "C:\\dir\\file",
        "pattern_%r.bin",
        "100%",
        "a|b;c&d",
        "---",
        "- a",
        "# no",
        "a #b",
    ]
    yield from [
        "it's",
        'say "hi"',
        "'",
        "''",
        '"',
        '""',
        "'\"",
        "\"'",
        "ends with \\",
        "back\\slash",
        "\\'",
        "\\\\'",
        "'\\'",
    ]


def toml_string(text):
    """Returns a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def main():
    scalars = {f"t{index}": text for index, text in enumerate(dict.fromkeys(texts()))}
    values = list(scalars.values())
    lists = {f"l{start}": values[start : start + 16] for start in range(0, len(values), 16)}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "app.py").write_text(APP)
        sweep = SWEEP.format(python=toml_string(sys.executable))
        for name, text in scalars.items():
            sweep += f"{name} = {{ value = {toml_string(text)} }}\n"
        for name, items in lists.items():
            sweep += f"{name} = {{ value = [{', '.join(map(toml_string, items))}] }}\n"
        (folder / "sweep.toml").write_text(sweep)
        env = {name: value for name, value in os.environ.items() if not name.startswith("SWATH_")}
        command = [os.path.abspath(os.environ["SWATH"]), "run", "sweep.toml", "--quiet"]
        result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-4000:]
        received = json.loads((folder / "logs/hydra/1/values.json").read_text())
    for name, text in [*scalars.items(), *lists.items()]:
        assert received["parsed"][name] == text, (text, received["parsed"][name])
        if "${" not in str(text):
            assert received["composed"][name] == text, (text, received["composed"].get(name))
    interpolations = sum("${" in text for text in values)
    print(
        f"Hydra reads {len(scalars)} texts and {len(lists)} lists unchanged, "
        f"{interpolations} texts with interpolations"
    )


if __name__ == "__main__":
    main()
