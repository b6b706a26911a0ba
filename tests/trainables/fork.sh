#!/bin/sh
# Exits while its children run: a child in the process group, a daemon in another session that
# ignores SIGTERM, and a daemon without the environment of the trial. Each sleeps for "$1" seconds,
# and tests identify them by this number.
sleep "$1" &
setsid sh -c 'trap "" TERM; sleep "$0" & sleep "$0"' "$1" >/dev/null 2>&1 &
setsid env -i /bin/sh -c 'sleep "$0"; :' "$1" >/dev/null 2>&1 &
sleep 0.1
echo '{"loss": 0}' >> "$SWATH_RECORDS"
