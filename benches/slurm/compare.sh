#!/usr/bin/env bash
# Compares the throughput of pilots with the local pool and with `sbatch --array`, for the same
# program, in trials per second.
#
#     benches/slurm/compare.sh [TRIALS] [JOBS]
#
# It needs root. SWATH names the binary (default: target/release/swath).
set -euo pipefail
trials=${1:-2000} jobs=${2:-300}
root=$(cd "$(dirname "$0")/../.." && pwd)
swath=${SWATH:-$root/target/release/swath}
work=$(mktemp -d) && chmod 755 "$work"
trap 'bash "$root/tests/slurm/stop-slurm.sh" --dir "$work/c" --rm; rm -rf "$work"' EXIT
bash "$root/tests/slurm/start-slurm.sh" --dir "$work/c" --nodes 2 --cpus 8 --mem-mb 4000 \
    --set MaxArraySize=10001 >/dev/null
. "$work/c/env.sh"
cd "$work"
cat >trial.sh <<'END'
#!/bin/sh
echo '{"loss": 0.5}' >> "${SWATH_RECORDS:-/dev/null}"
END
chmod 755 trial.sh

write_sweep() { # name: the executor's section is read from standard input
    cat >"$1.toml" <<END
name = "$1"
[run]
command = ["./trial.sh"]
[objective]
metric = "loss"
goal = "min"
[search]
sampler = "random"
trials = $trials
[resources]
jobs = 16
[space]
x = { min = 0.0, max = 1.0 }
$(cat)
END
}
write_sweep pool </dev/null
write_sweep pilots <<'END'
[executor]
name = "slurm"
pilots = 2
slots = 8
END

# run_seconds STUDY: prints the time from the first start to the last end in the journal.
run_seconds() {
    sed -n 's/.*"at":"\([^"]*\)".*"\(started\|ended\)".*/\1/p' "logs/$1/journal.jsonl" |
        sed -n '1p;$p' | while read -r time; do date -d "$time" +%s.%N; done |
        paste -sd' ' | awk '{print $2 - $1}'
}

# print_row NAME COUNT SECONDS
print_row() {
    awk -v name="$1" -v count="$2" -v seconds="$3" 'BEGIN {
        printf "%-14s %6d in %7.2f s  %8.1f a second\n", name, count, seconds, count / seconds
    }'
}

for round in 1 2 3; do
    echo "round $round, load $(cut -d' ' -f1 /proc/loadavg)"
    rm -rf logs
    "$swath" run -q pool.toml >/dev/null 2>&1
    "$swath" run -q pilots.toml >/dev/null 2>&1
    begin=$(date +%s.%N)
    id=$(sbatch --parsable --mem=10 -o /dev/null --array=0-$((jobs - 1)) trial.sh)
    while [ -n "$(squeue -h -r -j "$id" 2>/dev/null)" ]; do sleep 0.1; done
    end=$(date +%s.%N)
    print_row "local pool" "$trials" "$(run_seconds pool)"
    print_row "pilots 2 x 8" "$trials" "$(run_seconds pilots)"
    print_row "sbatch --array" "$jobs" "$(echo "$end $begin" | awk '{print $1 - $2}')"
done
