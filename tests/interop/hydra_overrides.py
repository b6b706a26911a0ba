"""A real Hydra reads every text that `{hydra}` hands over as the text of the sweep file.

usage: python hydra_overrides.py STUDY     (STUDY is not looked at; the binary is $SWATH)
"""
# needs: hydra-core==1.3.2

import json
import os
import string
import subprocess
import sys
import tempfile
from pathlib import Path

# Every trial writes what Hydra made of each of its overrides, by Hydra's own parser and in a
# composed configuration as an app gets it.
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
            # OmegaConf itself refuses some texts with an interpolation, however they are written.
            if "${" not in override:
                raise
with open(os.path.join(os.environ["SWATH_TRIAL_DIR"], "seen.json"), "w") as file:
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
    """Returns texts of all kinds that mean something to Hydra, to TOML, to shells or to YAML."""
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
        run = "\\" * count
        yield from [
            run,
            f"a{run}",
            f"{run}a",
            f"a{run}b",
            f"a{run}'b",
            f"a{run}'",
            f'a{run}"b',
            f"'{run}'{run}",
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


def toml(text):
    """Writes a text as a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def main():
    wanted = {}
    lists = {}
    for text in dict.fromkeys(texts()):
        wanted[f"t{len(wanted)}"] = text
    values = list(wanted.values())
    for at in range(0, len(values), 16):
        lists[f"l{at}"] = values[at : at + 16]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "app.py").write_text(APP)
        sweep = SWEEP.format(python=toml(sys.executable))
        sweep += "".join(f"{name} = {{ value = {toml(text)} }}\n" for name, text in wanted.items())
        sweep += "".join(
            f"{name} = {{ value = [{', '.join(map(toml, items))}] }}\n"
            for name, items in lists.items()
        )
        (folder / "sweep.toml").write_text(sweep)
        env = {name: value for name, value in os.environ.items() if not name.startswith("SWATH_")}
        run = [os.path.abspath(os.environ["SWATH"]), "run", "sweep.toml", "--quiet"]
        done = subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        seen = json.loads((folder / "logs/hydra/1/seen.json").read_text())
    for name, text in [*wanted.items(), *lists.items()]:
        assert seen["parsed"][name] == text, (text, seen["parsed"][name])
        if "${" not in str(text):
            assert seen["composed"][name] == text, (text, seen["composed"].get(name))
    interpolations = [text for text in wanted.values() if "${" in text]
    print(
        f"{len(wanted)} texts and {len(lists)} lists arrive as they are, {len(interpolations)} of them with interpolations"
    )


if __name__ == "__main__":
    main()
