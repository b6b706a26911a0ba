#!/bin/sh
# Leaves behind: a child in its group, a daemon in a session of its own that ignores SIGTERM, and a daemon without our environment.
sleep 61 &
setsid sh -c 'trap "" TERM; sleep 62 & sleep 63' >/dev/null 2>&1 &
setsid env -i /bin/sh -c 'sleep 64' >/dev/null 2>&1 &
sleep 0.1
echo '{"loss": 0}' >> "$SWATH_RECORDS"
