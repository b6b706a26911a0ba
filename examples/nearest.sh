#!/bin/sh
# Nearest neighbours in awk, on features that another program has made.
#
#     sh examples/nearest.sh folder 5        folder with features.csv, neighbours
#
# Classifies each of the last 60 images by its nearest neighbours among the first 300, and reports
# the error.
set -eu

error=$(awk -F, -v neighbours="$2" '
    function distance(image, other,    f, d, sum) {
        for (f = 1; f < NF; f++) {
            d = feature[image, f] - feature[other, f]
            sum += d * d
        }
        return sum
    }
    function classify(image,    other, k, far, near, labels, votes, digit, best) {
        for (k = 1; k <= neighbours; k++) near[k] = 1e9
        for (other = 1; other <= 300; other++) {
            far = distance(image, other)
            # Inserts the image into the sorted list of neighbours.
            for (k = neighbours; k >= 1 && far < near[k]; k--) {
                near[k + 1] = near[k]; labels[k + 1] = labels[k]
                near[k] = far; labels[k] = label[other]
            }
        }
        for (k = 1; k <= neighbours; k++) votes[labels[k]]++
        best = 0
        for (digit = 1; digit < 10; digit++) if (votes[digit] > votes[best]) best = digit
        return best
    }
    {
        for (f = 1; f < NF; f++) feature[NR, f] = $f
        label[NR] = $NF
    }
    END {
        for (image = NR - 59; image <= NR; image++) wrong += classify(image) != label[image]
        print wrong / 60
    }' "$1/features.csv")
printf '{"error": %s}\n' "$error" >>"$SWATH_RECORDS"
