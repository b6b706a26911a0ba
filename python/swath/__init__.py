"""swath: hyperparameter sweeps with trial logging.

Inside a trial (a program that ``swath run`` starts)::

    import swath

    p = swath.params(lr=3e-4, layers=2)      # the trial's parameters over these defaults
    trial = swath.trial()
    for epoch in trial.epochs(20):           # starts after the checkpoint, ends when told to
        loss = train(p.lr, p.layers)
        swath.report(epoch=epoch, val_loss=loss)

The same script also runs by hand: the defaults hold, and reports are printed.

Outside (a notebook, or a program with a loop of its own)::

    best = swath.optimize(objective, space={"lr": (1e-4, 1e-1, "log")}, trials=50).best
    study = swath.Study("sweep.toml")        # ask and tell
    frame = swath.read("digits").pandas()    # the table of a study

Importing this module loads only the part for the inside of a trial, and no other package.
"""

from ._records import (
    SwathWarning,
    artifact,
    dataset,
    figure,
    flush,
    invalid,
    log,
    model,
    note,
    output,
    rank,
    report,
    should_stop,
    table,
)
from ._trial import Params, Trial, params, trial

# The names for the outside of a trial are loaded at their first use, so that a trial does not wait
# for them.
_LAZY = {
    "Study": "._study",
    "Offer": "._study",
    "SwathError": "._errors",
    "SweepError": "._errors",
    "StudyBusy": "._errors",
    "RequestError": "._errors",
    "TrialInvalid": "._errors",
    "TrialPruned": "._errors",
    "TrialTimeout": "._errors",
    "optimize": "._optimize",
    "read": "._read",
    "Table": "._read",
    "Insight": "._insights",
    "Insights": "._insights",
    "binary": "._binary",
    "Tracker": "._tracker",
}

__all__ = [
    "Params",
    "SwathWarning",
    "Trial",
    "artifact",
    "dataset",
    "figure",
    "flush",
    "invalid",
    "log",
    "model",
    "note",
    "output",
    "params",
    "rank",
    "report",
    "should_stop",
    "table",
    "trial",
    *_LAZY,
]


def __getattr__(name):
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'swath' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module, __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
