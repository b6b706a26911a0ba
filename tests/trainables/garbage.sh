#!/bin/sh
# Writes lines that are no records, and one that is; the last has no line break.
printf 'not json\n\377\376\n[1, 2\n{"loss": 0}\n\0\n{"loss": 1}' >> "$SWATH_RECORDS"
