#!/bin/sh
# Prints its arguments, working directory and environment.
echo "$# $*"
pwd
ls -d "$SWATH_CHECKPOINT_DIR"
env | grep -E '^(SWATH_|GIVEN)' | grep -v '^SWATH_RUN=' | sort
