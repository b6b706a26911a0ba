"""The callbacks of the libraries over PyTorch, in small real trainings. Run by hand, not by CI:

    pip install torch lightning transformers accelerate pytorch-ignite fastai pytest
    SWATH_BINARY=target/debug/swath PYTHONPATH=python pytest tests/python/with_torch.py

Each library has one script. It trains for three epochs, saves a checkpoint after each of them, and
goes on from the checkpoint that it finds. `KILL_AFTER` ends its first attempt after an epoch, and
`RANKS` trains in several processes.
"""

import pytest

EPOCHS = 3

START = """
import os, signal, sys, torch, swath
torch.manual_seed(0)
torch.set_num_threads(1)
p = swath.params(lr=0.05)
# Early trials have the larger rates, and so the smaller losses: ASHA resumes them later.
rate = 0.1 - p.lr
trial = swath.trial()
folder = trial.checkpoint_dir
X = torch.randn(64, 4)
y = X.sum(dim=1, keepdim=True)
def begin(epoch):
    if trial.attempt == 1 and os.environ.get("KILL_AFTER") == str(epoch - 1):
        os.kill(os.getpid(), signal.SIGKILL)
    print("epoch", epoch, "rank", swath.rank(), flush=True)
"""

LIGHTNING = """
import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from swath.integrations.lightning import SwathCallback

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, _):
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss
    def validation_step(self, batch, _):
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("val_loss", loss, sync_dist=True)
        self.log("epoch_of_validation", float(self.current_epoch + 1), sync_dist=True)
    def on_train_epoch_end(self):
        self.log("epoch_of_training", float(self.current_epoch + 1), sync_dist=True)
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), rate)

class Printer(lightning.Callback):
    def on_train_epoch_start(self, trainer, module):
        begin(trainer.current_epoch + 1)

callbacks = [SwathCallback(), Printer()]
if folder:
    callbacks.append(ModelCheckpoint(dirpath=folder, save_last=True))
ranks = int(os.environ.get("RANKS", 1))
trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", devices=ranks, callbacks=callbacks,
    strategy="ddp" if ranks > 1 else "auto", logger=False, enable_progress_bar=False,
    enable_checkpointing=bool(folder), enable_model_summary=False)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), 16)
last = folder / "last.ckpt" if folder else None
trainer.fit(Model(), data, data, ckpt_path=last if last and last.exists() else None)
"""

TRANSFORMERS = """
from transformers import Trainer, TrainerCallback, TrainingArguments
from swath.integrations.transformers import SwathCallback

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def forward(self, x, labels):
        out = self.layer(x)
        return {"loss": torch.nn.functional.mse_loss(out, labels), "logits": out}

class Printer(TrainerCallback):
    def on_epoch_begin(self, args, state, control, **_):
        begin(round(state.epoch or 0) + 1)

data = [{"x": a, "labels": b} for a, b in zip(X, y)]
arguments = TrainingArguments(
    str(folder or "output"), num_train_epochs=3, learning_rate=rate,
    per_device_train_batch_size=16, eval_strategy="epoch",
    save_strategy="epoch" if folder else "no", use_cpu=True, report_to=[], disable_tqdm=True,
    logging_strategy="epoch")
trainer = Trainer(Model(), arguments, train_dataset=data, eval_dataset=data,
    callbacks=[SwathCallback(), Printer()])
from transformers.trainer_utils import get_last_checkpoint
trainer.train(resume_from_checkpoint=get_last_checkpoint(folder) if folder else None)
"""

IGNITE = """
import ignite.distributed as idist
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Loss
from swath.integrations.ignite import SwathHandler

def train(rank=0):
    model = idist.auto_model(torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    loss = torch.nn.MSELoss()
    trainer = create_supervised_trainer(model, optimizer, loss)
    evaluator = create_supervised_evaluator(model, {"val_loss": Loss(loss)})
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), 16)
    parts = {"model": model, "optimizer": optimizer, "trainer": trainer}
    state = trial.load_checkpoint()
    if state:
        for name, part in parts.items():
            part.load_state_dict(state[name])

    @trainer.on(Events.EPOCH_STARTED)
    def start():
        begin(trainer.state.epoch)

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate():
        evaluator.run(data)

    SwathHandler(trainer).attach(evaluator)

    @trainer.on(Events.EPOCH_COMPLETED)
    def save():
        state = {name: part.state_dict() for name, part in parts.items()}
        trial.save_checkpoint(state, trainer.state.epoch)

    trainer.run(data, max_epochs=3)

if "RANK" in os.environ:
    with idist.Parallel(backend="gloo") as parallel:
        parallel.run(train)
else:
    train()
"""

FASTAI = """
from fastai.learner import Learner
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.callback.core import Callback
import fastai.callback.progress
from swath.integrations.fastai import SwathCallback

data = [(a, b) for a, b in zip(X, y)]
loaders = DataLoaders(DataLoader(data, bs=16), DataLoader(data, bs=16), device="cpu")

class Printer(Callback):
    # After the callback that skips the epochs before `start_epoch`.
    order = 75
    def before_epoch(self):
        begin(self.epoch + 1)

class Saver(Callback):
    # As SaveModelCallback, which looks at the recorded values first.
    order = 61
    def after_epoch(self):
        if self.epoch + 1 > first:
            state = {"model": self.model.state_dict(), "optimizer": self.opt.state_dict()}
            trial.save_checkpoint(state, self.epoch + 1)

learner = Learner(loaders, torch.nn.Linear(4, 1), loss_func=torch.nn.MSELoss(),
    cbs=[SwathCallback(), Printer(), Saver()])
first = 0
state = trial.load_checkpoint()
if state:
    first = trial.resume_step
    learner.model.load_state_dict(state["model"])
    learner.create_opt()
    learner.opt.load_state_dict(state["optimizer"])
# fastai's own distributed training needs CUDA: the ranks only train side by side.
if "RANK" in os.environ:
    torch.distributed.init_process_group("gloo")
with learner.no_bar():
    learner.fit(3, rate, start_epoch=first)
"""

SCRIPTS = {
    "lightning": ("lightning", LIGHTNING, "val_loss"),
    "transformers": ("transformers", TRANSFORMERS, "eval_loss"),
    "ignite": ("ignite", IGNITE, "val_loss"),
    "fastai": ("fastai", FASTAI, "valid_loss"),
}

SWEEP = """
{run}
[objective]
metric = "{metric}"
goal = "min"
{scheduler}
[search]
sampler = "random"
trials = {trials}
[space]
lr = {{ min = 0.01, max = 0.09 }}
"""

ASHA = """
[scheduler]
name = "asha"
resource = "epoch"
min = 1
max = 3
"""


@pytest.fixture(params=SCRIPTS)
def library(request):
    return request.param


@pytest.fixture
def training(folder, library):
    """A folder with the script of a library, and the metric that the library reports."""
    pytest.importorskip(SCRIPTS[library][0])
    folder.timeout = 600
    folder.script(START + SCRIPTS[library][1])
    folder.library = library
    folder.metric = SCRIPTS[library][2]
    return folder


def sweep(training, trials=1, run="", scheduler=""):
    text = SWEEP.format(run=run, metric=training.metric, scheduler=scheduler, trials=trials)
    rows = training.run(text, "--jobs", "1")
    return rows, [trained_epochs(training, row["trial"]) for row in rows]


def trained_epochs(training, trial, rank=0):
    """Returns the epochs that a rank of the trial began, over all its attempts."""
    lines = (training.path / f"logs/s/{trial}/stdout.log").read_text().splitlines()
    words = [line.split() for line in lines if line.startswith("epoch ")]
    return [int(epoch) for _, epoch, _, own in words if int(own) == rank]


def last_epoch(row):
    return row["metrics"]["epoch"]["last"]


def test_alone_the_callback_prints_the_reports_of_all_epochs(training):
    done = training.python()
    assert done.returncode == 0, done.stderr
    reports = [line for line in done.stdout.splitlines() if f" {training.metric}=" in line]
    assert [line.split()[0] for line in reports] == [f"epoch={e + 1}" for e in range(EPOCHS)]


def reports_alone(training, old, new):
    """Runs a script with a replacement by hand, and returns the values that it reports."""
    script = START + SCRIPTS[training.library][1]
    assert old in script
    training.script(script.replace(old, new))
    done = training.python()
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("epoch=")]
    return [dict(pair.split("=") for pair in line.split()) for line in lines]


@pytest.mark.parametrize("library", ["lightning"])
def test_lightning_reports_every_validation_or_epochs_without_any(training):
    reports = reports_alone(training, "max_epochs=3", "max_epochs=2, val_check_interval=0.5")
    assert [(r["epoch"], r["step"]) for r in reports] == [
        ("0.5", "2"), ("1", "4"), ("1.5", "6"), ("2", "8")
    ]
    reports = reports_alone(training, "max_epochs=3", "max_epochs=4, check_val_every_n_epoch=2")
    assert [r["epoch"] for r in reports] == ["2", "4"]
    reports = reports_alone(training, "fit(Model(), data, data", "fit(Model(), data, None")
    assert [r["epoch"] for r in reports] == ["1", "2", "3"] and "train_loss" in reports[0]


@pytest.mark.parametrize("library", ["transformers"])
def test_transformers_reports_the_training_loss_without_evaluations(training):
    reports = reports_alone(training, 'eval_strategy="epoch"', 'eval_strategy="no"')
    assert [r["epoch"] for r in reports] == ["1", "2", "3"] and "loss" in reports[0]


@pytest.mark.parametrize("library", ["fastai"])
def test_fastai_counts_on_over_fits_and_reports_no_other_epochs(training):
    reports = reports_alone(
        training,
        "learner.fit(3, rate, start_epoch=first)",
        "import fastai.callback.schedule; learner.lr_find(show_plot=False, num_it=8); "
        "learner.fit(1, rate); learner.fit(2, rate); learner.get_preds(dl=loaders.valid); "
        "learner.validate()",
    )
    assert [r["epoch"] for r in reports] == ["1", "2", "3"]
    assert all("valid_loss" in r for r in reports)


def test_under_a_sweep_every_epoch_is_reported_and_the_loss_falls(training):
    [row], [epochs] = sweep(training)
    assert row["state"] == "complete" and row["reports"] == EPOCHS == last_epoch(row), row
    assert epochs == [1, 2, 3]
    losses = row["metrics"][training.metric]
    assert losses["last"] == losses["min"] < losses["max"]
    # The training's metrics are those of the same epoch.
    for name, metric in row["metrics"].items():
        assert not name.startswith("epoch_of_") or metric["last"] == EPOCHS, (name, metric)
    assert not [record for record in row.get("records", []) if "warning" in record], row


def test_asha_pauses_trials_and_resumes_them_from_their_checkpoints(training):
    rows, epochs = sweep(training, 6, "checkpoint = true", ASHA)
    assert {row["state"] for row in rows} <= {"complete", "stopped", "paused"}, rows
    assert {row["step"] for row in rows} == {1, EPOCHS}
    # No epoch is trained twice, and none past the last report.
    for row, own in zip(rows, epochs):
        assert own == list(range(1, int(row["step"]) + 1)), (row["step"], own)
    assert max(row["attempts"] for row in rows) > 1


def test_a_killed_attempt_goes_on_from_its_checkpoint(training, monkeypatch):
    monkeypatch.setenv("KILL_AFTER", "2")
    [row], [epochs] = sweep(training, 1, "checkpoint = true\n[retry]\ntimes = 1")
    assert row["state"] == "complete" and row["attempts"] == 2 and last_epoch(row) == EPOCHS
    assert epochs == [1, 2, 3]


LAUNCHER = """
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", "--standalone",
    "--nproc-per-node", "2", "main.py"])
"""


def test_asha_stops_all_ranks_and_only_the_first_one_reports(training, library, monkeypatch):
    monkeypatch.setenv("RANKS", "2")
    if library != "lightning":
        # Lightning starts its processes itself.
        training.script(START + SCRIPTS[library][1], "main.py")
        training.script(LAUNCHER)
    rows, _ = sweep(training, 4, "", ASHA)
    assert {row["state"] for row in rows} <= {"complete", "stopped"}, rows
    assert {row["step"] for row in rows} == {1, EPOCHS}
    for row in rows:
        for rank in (0, 1):
            own = trained_epochs(training, row["trial"], rank)
            assert own == list(range(1, int(row["step"]) + 1)), (row["step"], rank, own)
        assert row["reports"] == row["step"]
