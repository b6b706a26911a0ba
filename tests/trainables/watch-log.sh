#!/bin/sh
# Reports, writes far more than a log may hold, and waits until its log was cut while it runs.
echo '{"epoch": 1, "loss": 0.5}' >>"$SWATH_RECORDS"
sleep 0.2
head -c 600000 /dev/zero | tr '\0' x
for _ in $(seq 150); do
    [ "$(wc -c <"$SWATH_TRIAL_DIR/stdout.log")" -lt 600000 ] && exit 0
    sleep 0.1
done
exit 1
