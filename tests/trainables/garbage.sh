#!/bin/sh
# Writes malformed lines and two valid records; the last one has no line break.
printf 'not json\n\377\376\n[1, 2\n{"loss": 0}\n\0\n{"loss": 1}' >> "$SWATH_RECORDS"
