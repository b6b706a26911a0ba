#!/bin/sh
# Prints two megabytes over 0.4 seconds, so that a test can observe the log while it grows.
i=0
while [ $i -lt 20 ]; do
    head -c 100000 /dev/zero | tr '\0' 'x'
    echo " $i"
    i=$((i + 1))
    sleep 0.02
done
