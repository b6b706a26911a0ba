"""DVC's own hashing finds the digests that a study has of its data sets, models and artifacts: files, folders, names that are not ASCII.

SWATH=target/debug/swath python dvc_reader.py
"""
# needs: dvc-data==3.18.3

import json
import sys
import tempfile
from pathlib import Path

from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.local import LocalFileSystem
from fixtures.study import swath

TRAIN = """
import json, os
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    say = lambda **line: records.write(json.dumps(line) + "\\n")
    os.makedirs("modèle/tief", exist_ok=True)
    for name, data in [("a.bin", bytes(range(256)) * 5000), ("tief/é.bin", b""), ("tief/b\\n.txt".replace("\\n", " "), b"x\\r\\ny")]:
        open("modèle/" + name, "wb").write(data)
    say(kind="dataset", path="data/sub/win.txt")
    say(kind="dataset", path="data/sub")
    say(kind="artifact", path="data/sub/win.txt")
    say(epoch=1, loss=0.5, model_path="modèle")
    say(kind="model", path="modèle/a.bin")
"""

SWEEP = """
name = "dvc"
[run]
command = [{python}, "train.py"]
data_dir = "data"
[objective]
metric = "loss"
goal = "min"
[search]
trials = 1
[space]
x = {{ min = 0.0, max = 1.0 }}
"""


def digest(path):
    """What `dvc add` would write."""
    files = LocalFileSystem()
    with tempfile.TemporaryDirectory() as cache:
        _, _, made = build(HashFileDB(files, cache), str(path), files, "md5", dry_run=True)
        return made.hash_info.value


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    for name, data in [
        ("é.txt", b"1"),
        ("Z.csv", b""),
        ("sub/win.txt", b"1\r\n2\r\n"),
        ("sub/.hidden", b"h"),
        ("sub/a/b/c", b"c" * 70_000),
    ]:
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).write_bytes(data)
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    (folder / "sweep.toml").write_text(
        SWEEP.format(python=json.dumps(sys.executable)), encoding="utf-8"
    )
    ran = swath("run", "sweep.toml", "--quiet", cwd=folder)
    study, found = folder / "logs" / "dvc", {}
    for line in open(study / "journal.jsonl", encoding="utf-8"):
        ((kind, event),) = json.loads(line)["event"].items()
        if kind == "logged":
            ((what, record),) = event["record"].items()
            if what in ("dataset", "model"):
                found[record["data_dir" if what == "dataset" else "model_path"]] = record["md5"]
            elif what == "artifact":
                found[str(study / "1" / record["path"])] = record["md5"]
    assert len(found) == 6, (found, ran.stderr)
    for path, md5 in found.items():
        wanted = digest(folder / path)
        assert md5 == wanted, (path, md5, wanted)
    folders = sum(md5.endswith(".dir") for md5 in found.values())
    assert folders == 3, found
    print(f"DVC finds the {len(found)} digests of the study, {folders} of them of folders")
