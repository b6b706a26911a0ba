#!/bin/sh
# Features of the digits in awk, for several trials: the mean ink of each square of pixels.
#
#     sh examples/features.sh 2 folder        side of a square (1, 2 or 4), output folder
#
# Writes `features.csv`: one image a line, its label last.
set -eu

awk -F, -v side="$1" '
    NR > 1 {
        line = ""
        for (row = 0; row < 8; row += side)
            for (column = 0; column < 8; column += side) {
                sum = 0
                for (y = row; y < row + side; y++)
                    for (x = column; x < column + side; x++) sum += $(8 * y + x + 1)
                line = line sum / (side * side) ","
            }
        print line $65
    }' data/digits/digits.csv >"$2/features.csv"
