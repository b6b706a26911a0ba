#!/bin/sh
# Fails as a Python program does that raises an error nobody catches.
cat >&2 <<'END'
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    train(shape)
ValueError: bad shapes
END
exit 1
