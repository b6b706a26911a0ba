//! The command lines of Slurm's programs, and the interpretation of their output.

use super::SlurmOptions;
use crate::pilot::engine::{
    CallError, Engine, Job, ListedJob, Phase, SubmitError, Submitted, call, one_line,
};
use std::time::Duration;

/// Largest array size if the site does not state one.
const ARRAY: u32 = 1000;

/// Fields of a listed job. The name comes last, because names of other users' jobs may contain the
/// separator.
const FORMAT: &str = "%A|%F|%K|%T|%r|%N|%j";

/// States of jobs that are not over: running ones (`ALIVE`) and waiting ones (`WAITING`).
const ALIVE: &[&str] = &[
    "RUNNING",
    "COMPLETING",
    "CONFIGURING",
    "SUSPENDED",
    "STOPPED",
    "SIGNALING",
    "STAGE_OUT",
    "RESIZING",
];
const WAITING: &[&str] = &[
    "PENDING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
];

/// Reasons for waiting that time does not resolve: the job requests more than its partition has or
/// allows.
const NEVER: &[&str] = &[
    "PartitionConfig",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "BadConstraints",
];

/// Parts of error messages for refusals that may be temporary: limits of jobs, users, accounts and
/// controllers.
const LIMITS: &[&str] = &[
    "limit reached",
    "job submit limit",
    "maxsubmit",
    "maxjobcount",
    "maximum job count",
    "temporarily unable to accept job",
    "resource temporarily unavailable",
    "accounting/qos policy",
    "array index too large",
    "invalid job array specification",
    "submission disabled",
    "draining",
];

/// Parts of error messages for a controller that was not reached, so that nothing was submitted.
const UNREACHABLE: &[&str] = &[
    "unable to contact slurm controller",
    "connection refused",
    "unable to contact",
];

/// Parts of error messages after which the outcome is unknown.
const UNKNOWN: &[&str] = &[
    "timed out",
    "zero bytes were transmitted",
    "unexpected message",
    "connection reset",
];

pub(super) struct Slurm {
    options: SlurmOptions,
}

impl Slurm {
    pub(super) fn new(options: SlurmOptions) -> Self {
        Self { options }
    }

    /// Returns the command line of a submission.
    fn sbatch(&self, job: &Job) -> Vec<String> {
        let mut words = vec!["sbatch".to_owned(), "--parsable".to_owned()];
        words.push(format!("--job-name={}", job.name));
        let index = if job.count > 1 { "%a" } else { "0" };
        words.push(format!(
            "--output={}",
            escaped(&job.log).replace("{index}", index)
        ));
        // Without `--nodes`, one task is on one node, and Slurm refuses at once a request that no
        // node can meet.
        if let Some(nodes) = self.options.nodes {
            words.push(format!("--nodes={nodes}"));
        }
        // A job of several nodes has one pilot; its trials use the other nodes through `srun`.
        words.push(format!("--ntasks={}", self.options.nodes.unwrap_or(1)));
        words.push(format!("--cpus-per-task={}", job.cpus));
        if let Some(memory) = job.memory {
            words.push(format!("--mem={}M", memory.div_ceil(1 << 20).max(1)));
        }
        if job.gpus > 0 {
            words.push(format!("--gpus={}", job.gpus));
        }
        if let Some(walltime) = job.walltime {
            words.push(format!("--time={}", time(walltime)));
            words.push(format!(
                "--signal=B:USR1@{}",
                job.warning.as_secs().min(walltime.as_secs() / 2)
            ));
        }
        words.push(
            if self.options.requeue {
                "--requeue"
            } else {
                "--no-requeue"
            }
            .to_owned(),
        );
        if job.count > 1 {
            words.push(format!("--array=0-{}", job.count - 1));
        }
        for (name, value) in [
            ("partition", &self.options.partition),
            ("account", &self.options.account),
            ("qos", &self.options.qos),
        ] {
            if let Some(value) = value {
                words.push(format!("--{name}={value}"));
            }
        }
        if !job.avoid.is_empty() {
            words.push(format!("--exclude={}", job.avoid.join(",")));
        }
        words.extend(self.options.extra.iter().cloned());
        words
    }
}

impl Engine for Slurm {
    fn max_array_size(&mut self) -> u32 {
        let words = ["scontrol", "show", "config"].map(str::to_owned);
        let size = call(&words, "")
            .ok()
            .filter(|output| output.success)
            .and_then(|output| config(&output.out, "MaxArraySize")?.parse::<u32>().ok());
        // `MaxArraySize` is one more than the highest index, and 0 if arrays are disabled.
        size.map_or(ARRAY, |size| size.clamp(1, ARRAY))
    }

    fn restarts_jobs(&self) -> bool {
        self.options.requeue
    }

    fn submit(&mut self, job: &Job) -> Result<String, SubmitError> {
        match call(&self.sbatch(job), &job.script) {
            Err(CallError::NoProgram(words)) => Err(SubmitError::Refused(words)),
            Err(CallError::TooLong(words)) => Err(SubmitError::Unknown(words)),
            Ok(answer) if answer.success => {
                let id = answer.out.trim().lines().last().unwrap_or_default();
                let id = id.split(';').next().unwrap_or_default().trim();
                if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(SubmitError::Unknown(format!(
                        "sbatch printed no job id: {}",
                        one_line(&answer.out)
                    )));
                }
                Ok(id.to_owned())
            }
            Ok(answer) => Err(refusal(&answer.err)),
        }
    }

    fn list(&mut self, batches: &[Submitted]) -> Result<Vec<ListedJob>, String> {
        let words = [
            "squeue",
            "--noheader",
            "--all",
            "--array",
            "--states=all",
            "--me",
            &format!("--format={FORMAT}"),
        ]
        .map(str::to_owned);
        let answer = call(&words, "").map_err(CallError::message)?;
        if !answer.success {
            return Err(one_line(&answer.err));
        }
        Ok(answer
            .out
            .lines()
            .filter_map(|line| parse_line(line, batches))
            .collect())
    }

    fn cancel(&mut self, ids: &[String]) -> Result<(), String> {
        for chunk in ids.chunks(100) {
            let words: Vec<String> = std::iter::once("scancel".to_owned())
                .chain(chunk.iter().cloned())
                .collect();
            let answer = call(&words, "").map_err(CallError::message)?;
            if !answer.success {
                return Err(one_line(&answer.err));
            }
        }
        Ok(())
    }
}

/// Classifies a refusal of `sbatch` by its error message.
fn refusal(err: &str) -> SubmitError {
    let message = one_line(err);
    let lower = message.to_lowercase();
    if contains_any(&lower, LIMITS) {
        SubmitError::Later(message)
    } else if contains_any(&lower, UNREACHABLE) {
        SubmitError::Unreachable(message)
    } else if contains_any(&lower, UNKNOWN) {
        SubmitError::Unknown(message)
    } else {
        SubmitError::Refused(if message.is_empty() {
            "sbatch failed without a message".to_owned()
        } else {
            message
        })
    }
}

fn contains_any(message: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| message.contains(part))
}

/// Parses a line of `squeue`; `None` if it concerns none of these submissions.
fn parse_line(line: &str, batches: &[Submitted]) -> Option<ListedJob> {
    let fields: Vec<&str> = line.splitn(7, '|').map(str::trim).collect();
    let [job, array, index, state, reason, node, name] = fields[..] else {
        return None;
    };
    // Jobs are recognised by name, so that those of a submission with an unknown outcome are found
    // too.
    let batch = batches.iter().find(|batch| batch.name == name)?;
    let (id, index) = match index.parse::<u32>() {
        Ok(index) => (format!("{array}_{index}"), index),
        Err(_) => (job.to_owned(), 0),
    };
    let phase = if WAITING.contains(&state) {
        if NEVER.contains(&reason) {
            Phase::Blocked(format!("{reason}: the job as submitted will never start"))
        } else {
            Phase::Waiting(reason.to_owned())
        }
    } else if ALIVE.contains(&state) {
        Phase::Running
    } else {
        let on = if node.is_empty() {
            String::new()
        } else {
            format!(" on {node}")
        };
        let why = if ["", "None"].contains(&reason) {
            String::new()
        } else {
            format!(" ({reason})")
        };
        Phase::Over(format!("Slurm says {state}{on}{why}"))
    };
    Some(ListedJob {
        batch: batch.name.clone(),
        index,
        id,
        phase,
    })
}

/// Returns a value of `scontrol show config`.
fn config<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Formats a duration for Slurm, rounded up to whole minutes.
fn time(walltime: Duration) -> String {
    let minutes = walltime.as_secs().div_ceil(60).max(1);
    format!(
        "{}-{:02}:{:02}:00",
        minutes / 1440,
        minutes / 60 % 24,
        minutes % 60
    )
}

/// Doubles the percent signs of a path, which `sbatch` would replace otherwise.
fn escaped(path: &str) -> String {
    path.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches() -> Vec<Submitted> {
        [("swath-a-1", 3), ("swath-a-2", 1)]
            .map(|(name, count)| Submitted {
                name: name.into(),
                id: None,
                count,
            })
            .into()
    }

    fn parsed(line: &str) -> Option<(String, u32, Phase)> {
        let job = parse_line(line, &batches())?;
        Some((job.id, job.index, job.phase))
    }

    #[test]
    fn a_job_is_recognised_by_its_name_and_index_and_never_by_its_id() {
        let waiting = Phase::Waiting("Resources".into());
        assert_eq!(
            parsed("14|12|2|PENDING|Resources||swath-a-1"),
            Some(("12_2".into(), 2, waiting))
        );
        assert_eq!(
            parsed("15|15|N/A|RUNNING|None|n1|swath-a-2"),
            Some(("15".into(), 0, Phase::Running))
        );
        assert_eq!(parsed("15|15|N/A|RUNNING|None|n1|another | job"), None);
        let over = Phase::Over("Slurm says NODE_FAIL on n1 (NodeDown)".into());
        assert_eq!(
            parsed("15|15|N/A|NODE_FAIL|NodeDown|n1|swath-a-2"),
            Some(("15".into(), 0, over))
        );
        assert_eq!(parsed("slurm_load_jobs error"), None);
    }

    #[test]
    fn a_refusal_is_final_unless_it_names_a_limit_or_an_unreachable_controller() {
        let bad = "sbatch: error: Batch job submission failed: Requested node configuration is not available\n";
        let words = one_line(bad);
        assert_eq!(refusal(bad), SubmitError::Refused(words));
        let limit = "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)";
        assert!(matches!(refusal(limit), SubmitError::Later(_)));
        let away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)";
        assert!(matches!(refusal(away), SubmitError::Unreachable(_)));
        let late =
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation";
        assert!(matches!(refusal(late), SubmitError::Unknown(_)));
    }

    #[test]
    fn times_are_whole_minutes_and_percent_signs_are_doubled() {
        assert_eq!(time(Duration::from_secs(61)), "0-00:02:00");
        assert_eq!(time(Duration::from_secs(90_000)), "1-01:00:00");
        assert_eq!(escaped("/a%b"), "/a%%b");
        assert_eq!(
            config("MaxArraySize            = 1001\n", "MaxArraySize"),
            Some("1001")
        );
    }
}
