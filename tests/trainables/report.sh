#!/bin/sh
# Reports 0, 1 and 2 as `loss` and succeeds.
for loss in 0 1 2; do
    echo "{\"loss\": $loss}" >> "$SWATH_RECORDS"
done
