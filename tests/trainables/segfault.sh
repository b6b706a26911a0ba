#!/bin/sh
# Is ended by a signal that nobody sent it on purpose.
kill -SEGV $$
