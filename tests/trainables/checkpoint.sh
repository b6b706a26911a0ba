#!/bin/sh
# Handles SIGTERM: writes a checkpoint, reports once more and exits with 0.
save_and_exit() {
    echo saved > "$SWATH_CHECKPOINT_DIR/model"
    echo '{"loss": 9}' >> "$SWATH_RECORDS"
    exit 0
}
trap save_and_exit TERM
echo '{"loss": 0}' >> "$SWATH_RECORDS"
while :; do sleep 0.05; done
