#!/bin/sh
# Leaves behind: a child in its group, a daemon in a session of its own that ignores SIGTERM, and a daemon without our environment.
# Each sleeps for "$1" seconds, by which a test knows it.
sleep "$1" &
setsid sh -c 'trap "" TERM; sleep "$0" & sleep "$0"' "$1" >/dev/null 2>&1 &
setsid env -i /bin/sh -c 'sleep "$0"; :' "$1" >/dev/null 2>&1 &
sleep 0.1
echo '{"loss": 0}' >> "$SWATH_RECORDS"
