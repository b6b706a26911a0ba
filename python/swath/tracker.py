"""``python -m swath.tracker mine:Mine``: runs a `swath.Tracker` as a ``program`` tracker."""

from ._tracker import Row, Study, Tracker, Trial, main

__all__ = ["Row", "Study", "Tracker", "Trial", "main"]

if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
