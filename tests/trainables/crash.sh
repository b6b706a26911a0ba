#!/bin/sh
# Says why, and fails.
echo "the learning rate makes no sense" >&2
exit 3
