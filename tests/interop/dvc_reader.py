"""DVC's own hashing computes the digests that a study records for its data sets, models and
artifacts: files, folders, names that are not ASCII.

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
from fixtures.study import read_json_lines, run_swath

TRAIN = """
import json, os
FILES = {"a.bin": bytes(range(256)) * 5000, "tief/é.bin": b"", "tief/b .txt": b"x\\r\\ny"}
os.makedirs("modèle/tief", exist_ok=True)
for name, data in FILES.items():
    with open("modèle/" + name, "wb") as file:
        file.write(data)
with open(os.environ["SWATH_RECORDS"], "a", buffering=1) as records:
    def write(**line):
        records.write(json.dumps(line) + "\\n")
    write(kind="dataset", path="data/sub/win.txt")
    write(kind="dataset", path="data/sub")
    write(kind="artifact", path="data/sub/win.txt")
    write(epoch=1, loss=0.5, model_path="modèle")
    write(kind="model", path="modèle/a.bin")
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

DATA = {
    "é.txt": b"1",
    "Z.csv": b"",
    "sub/win.txt": b"1\r\n2\r\n",
    "sub/.hidden": b"h",
    "sub/a/b/c": b"c" * 70_000,
}


def dvc_digest(path):
    """Computes the digest that `dvc add` would record."""
    files = LocalFileSystem()
    with tempfile.TemporaryDirectory() as cache:
        database = HashFileDB(files, cache)
        _, _, built = build(database, str(path), files, "md5", dry_run=True)
        return built.hash_info.value


def recorded_digests(study):
    """Returns the digests in the journal by path."""
    digests = {}
    for entry in read_json_lines(study / "journal.jsonl"):
        ((event_kind, event),) = entry["event"].items()
        if event_kind != "logged":
            continue
        ((kind, record),) = event["record"].items()
        if kind == "dataset":
            digests[record["data_dir"]] = record["md5"]
        elif kind == "model":
            digests[record["model_path"]] = record["md5"]
        elif kind == "artifact":
            digests[str(study / "1" / record["path"])] = record["md5"]
    return digests


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    for name, data in DATA.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    sweep = SWEEP.format(python=json.dumps(sys.executable))
    (folder / "sweep.toml").write_text(sweep, encoding="utf-8")
    result = run_swath("run", "sweep.toml", "--quiet", cwd=folder)
    digests = recorded_digests(folder / "logs" / "dvc")
    assert len(digests) == 6, (digests, result.stderr)
    for path, md5 in digests.items():
        expected = dvc_digest(folder / path)
        assert md5 == expected, (path, md5, expected)
    folder_count = sum(md5.endswith(".dir") for md5 in digests.values())
    assert folder_count == 3, digests
    print(
        f"DVC computes the {len(digests)} digests of the study, {folder_count} of them of folders"
    )
