#!/bin/sh
# Reports what is no number.
echo '{"loss": NaN}' >> "$SWATH_RECORDS"
