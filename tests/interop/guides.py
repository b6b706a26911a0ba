"""The guides for Python and Hydra work with the real packages, command by command.

usage: python guides.py STUDY     (STUDY is not looked at; the binary is $SWATH)

`tests/cli/readme.rs` runs the commands that need no package. This script also runs the blocks
fenced as `console needs=…`. The rules are the same: a block `file=NAME` is a file, `…` stands for
any text in a line, and a line that is only `…` for any lines.
"""
# needs: hydra-core==1.3.2 pandas

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


def commands(block):
    """Yields each command of a block with the output that the page shows."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def pattern(shown):
    """Returns a regular expression for the output that a page shows."""
    lines = []
    for line in shown.splitlines():
        text = ".*".join(re.escape(piece) for piece in line.rstrip().split("…"))
        lines.append(r"(?:.*\n)*" if line == "…" else rf"{text} *\n")
    return "".join(lines)


def run_page(page, env):
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        blocks = BLOCK.findall(page.read_text())
        for info, text in blocks:
            if " file=" in info:
                file = Path(folder, info.split(" file=")[1])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        for info, text in blocks:
            if info.split(" ")[0] != "console":
                continue
            for command, shown in commands(text):
                script = f"{{ {command}\n}} 2>&1"
                run = ["sh", "-c", script]
                done = subprocess.run(run, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
                printed = done.stdout
                where = f"{page.name}: {command}\nprinted\n{printed}"
                assert done.returncode == 0, where
                agrees = not shown or re.fullmatch(pattern(shown), printed.rstrip("\n") + "\n")
                assert agrees, f"{where}\nwhere the page shows\n{shown}"
                count += 1
    print(f"{page.name}: {count} commands")


def main():
    env = {name: value for name, value in os.environ.items() if not name.startswith("SWATH_")}
    paths = [Path(sys.executable).parent, Path(os.environ["SWATH"]).resolve().parent, env["PATH"]]
    env["PYTHONPATH"] = str(DOCS.parent / "python")
    env.update(PATH=os.pathsep.join(map(str, paths)), NO_COLOR="1", COLUMNS="120")
    for name in ["python.md", "hydra.md"]:
        run_page(DOCS / name, env)


if __name__ == "__main__":
    main()
