#!/bin/sh
# Prints an error message and fails.
echo "the learning rate makes no sense" >&2
exit 3
