#!/bin/sh
# Reports every 0.06 seconds.
for loss in 0 1 2 3 4; do
    sleep 0.06
    echo "{\"loss\": $loss}" >> "$SWATH_RECORDS"
done
