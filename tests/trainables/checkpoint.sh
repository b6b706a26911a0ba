#!/bin/sh
# Heeds SIGTERM: writes a checkpoint, says so and exits 0.
trap 'echo saved > "$SWATH_CHECKPOINT_DIR/model"; echo "{\"loss\": 9}" >> "$SWATH_RECORDS"; exit 0' TERM
echo '{"loss": 0}' >> "$SWATH_RECORDS"
while :; do sleep 0.05; done
