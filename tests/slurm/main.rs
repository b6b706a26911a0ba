//! Trials in jobs of a real Slurm, which `.ci/run slurm` starts on this machine. Without it these
//! tests do nothing.
//!
//! The tests in `faults` run one at a time, because they break the cluster for a while.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad;
mod faults;
mod good;
mod world;

/// Options for tests: a short interval between two queries to the batch system, and a short lease
/// of the pilots.
const QUICK: &str = "poll = \"1s\"\nlease = \"4s\"\n";

/// A trial that reports once and ends.
const SHORT: &str = r#"echo "{\"loss\": 0.$n}" >> "$SWATH_RECORDS""#;

/// A trial that reports every tenth of a second and resumes from a checkpoint.
const STEPS: &str = r#"step=0
[ -f "$SWATH_CHECKPOINT_DIR/step" ] && read -r step < "$SWATH_CHECKPOINT_DIR/step"
while [ "$step" -lt 40 ]; do
    step=$((step + 1))
    echo "{\"step\": $step, \"loss\": 0.$((n * 7 % 50 + 50 - step))}" >> "$SWATH_RECORDS"
    echo "$step" > "$SWATH_CHECKPOINT_DIR/half" && mv "$SWATH_CHECKPOINT_DIR/half" "$SWATH_CHECKPOINT_DIR/step"
    sleep 0.1
done"#;

/// Returns an `[executor]` section for the cluster.
fn slurm(options: &str) -> String {
    format!("[executor]\nname = \"slurm\"\n{QUICK}{options}\n")
}
