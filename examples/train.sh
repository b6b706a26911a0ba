#!/bin/sh
# Nearest neighbours in awk: a program for machines with nothing but a shell.
#
#     sh examples/train.sh 5 2 2        neighbours, power (1 or 2), threshold
#
# Classifies each of the last 60 images by its nearest neighbours among the first 300. Reports the
# error so far after every 20 images.
set -eu

awk -F, -v neighbours="$1" -v power="$2" -v threshold="$3" '
    function distance(image, other,    p, d, sum) {
        for (p = 1; p <= 64; p++) {
            d = ink[image, p] - ink[other, p]
            sum += power == 1 ? (d < 0 ? -d : d) : d * d
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
    NR > 1 {
        for (p = 1; p <= 64; p++) ink[NR - 1, p] = $p < threshold ? 0 : $p
        label[NR - 1] = $65
    }
    END {
        for (image = NR - 60; image < NR; image++) {
            wrong += classify(image) != label[image]
            if (++seen % 20 == 0) print seen, wrong / seen
        }
    }
' "${SWATH_DATA_DIR:-data/digits}/digits.csv" | while read -r images error; do
    echo "after $images images: error $error"
    if [ -n "${SWATH_RECORDS:-}" ]; then
        swath report images="$images" error="$error"
    fi
done
