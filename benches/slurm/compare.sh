#!/usr/bin/env bash
# Trials a second through pilots, beside the local pool and beside `sbatch --array` of the same program, in one run.
#
#     benches/slurm/compare.sh [TRIALS] [JOBS]       needs root; SWATH=… names the program (default: target/release/swath)
set -euo pipefail
trials=${1:-2000} jobs=${2:-300}
root=$(cd "$(dirname "$0")/../.." && pwd)
swath=${SWATH:-$root/target/release/swath}
work=$(mktemp -d) && chmod 755 "$work"
trap 'bash "$root/tests/slurm/stop-slurm.sh" --dir "$work/c" --rm; rm -rf "$work"' EXIT
bash "$root/tests/slurm/start-slurm.sh" --dir "$work/c" --nodes 2 --cpus 8 --mem-mb 4000 --set MaxArraySize=10001 >/dev/null
. "$work/c/env.sh"
cd "$work"
printf '#!/bin/sh\necho "{\\"loss\\": 0.5}" >> "${SWATH_RECORDS:-/dev/null}"\n' > trial.sh && chmod 755 trial.sh

sweep() { # name, executor section
    printf 'name = "%s"\n[run]\ncommand = ["./trial.sh"]\n[objective]\nmetric = "loss"\ngoal = "min"\n[search]\nsampler = "random"\ntrials = %s\n[resources]\njobs = 16\n[space]\nx = { min = 0.0, max = 1.0 }\n%b' "$1" "$trials" "$2" > "$1.toml"
}
sweep pool ''
sweep pilots '[executor]\nname = "slurm"\npilots = 2\nslots = 8\n'

seconds() { # from the first start to the last end, as the journal says
    sed -n 's/.*"at":"\([^"]*\)".*"\(started\|ended\)".*/\1/p' "logs/$1/journal.jsonl" | sed -n '1p;$p' | while read -r at; do date -d "$at" +%s.%N; done | paste -sd' ' | awk '{print $2 - $1}'
}
row() { awk -v name="$1" -v count="$2" -v took="$3" 'BEGIN { printf "%-14s %6d in %7.2f s  %8.1f a second\n", name, count, took, count / took }'; }

for round in 1 2 3; do
    echo "round $round, load $(cut -d' ' -f1 /proc/loadavg)"
    rm -rf logs
    "$swath" run -q pool.toml >/dev/null 2>&1
    "$swath" run -q pilots.toml >/dev/null 2>&1
    begin=$(date +%s.%N)
    id=$(sbatch --parsable --mem=10 -o /dev/null --array=0-$((jobs - 1)) trial.sh)
    while [ -n "$(squeue -h -r -j "$id" 2>/dev/null)" ]; do sleep 0.1; done
    end=$(date +%s.%N)
    row "local pool" "$trials" "$(seconds pool)"
    row "pilots 2 x 8" "$trials" "$(seconds pilots)"
    row "sbatch --array" "$jobs" "$(echo "$end $begin" | awk '{print $1 - $2}')"
done
