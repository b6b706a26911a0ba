#!/bin/sh
# Fails like a Python program with an uncaught exception.
cat >&2 <<'END'
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    train(shape)
ValueError: bad shapes
END
exit 1
