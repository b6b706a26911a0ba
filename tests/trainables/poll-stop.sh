#!/bin/sh
# Ignores SIGTERM but polls for the file `stop`.
trap '' TERM
echo '{"loss": 0}' >> "$SWATH_RECORDS"
while [ ! -e "$SWATH_TRIAL_DIR/stop" ]; do sleep 0.02; done
echo '{"loss": 1}' >> "$SWATH_RECORDS"
