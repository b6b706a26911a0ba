#!/bin/sh
# Prints what it was given.
echo "$# $*"
pwd
ls -d "$SWATH_CHECKPOINT_DIR"
env | grep -E '^(SWATH_|GIVEN)' | grep -v '^SWATH_RUN=' | sort
