#!/bin/sh
# Prints what it was given.
echo "$# $*"
pwd
env | grep -E '^(SWATH_|GIVEN)' | grep -v '^SWATH_RUN=' | sort
