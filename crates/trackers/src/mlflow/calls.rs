//! Gathers operations on runs into as few REST calls as the server's limits allow.

use super::runs::{Change, ModelToRegister, Op, Status};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Maximum number of metrics in one `log-batch`.
const METRICS: usize = 800;
/// Maximum number of parameters, and of tags, in one `log-batch`.
const TEXTS: usize = 100;
/// Number of bytes of names and texts from which on a `log-batch` is complete; the server's limit
/// is 1 MB.
const BYTES: usize = 400_000;

/// One REST call: `runs/create` (unless the run exists), `runs/log-batch`, `runs/update`,
/// `runs/log-inputs`, or an upload through the server's artifact proxy. The registration of a model
/// takes several.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    Create {
        run: u32,
        name: String,
        at: i64,
        tags: Vec<(String, String)>,
    },
    Log {
        run: u32,
        log: Log,
    },
    Update {
        run: u32,
        status: Status,
        end: Option<i64>,
    },
    Dataset {
        run: u32,
        name: String,
        digest: String,
        source: String,
        context: String,
    },
    File {
        run: u32,
        trial: u32,
        path: String,
    },
    Register {
        run: u32,
        model: ModelToRegister,
    },
}

/// The content of one `log-batch`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Log {
    pub(super) metrics: Vec<Value>,
    pub(super) params: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    bytes: usize,
}

impl Log {
    /// Returns whether the batch has reached one of the limits.
    fn is_full(&self) -> bool {
        self.metrics.len() >= METRICS
            || self.params.len() >= TEXTS
            || self.tags.len() >= TEXTS
            || self.bytes >= BYTES
    }

    fn is_empty(&self) -> bool {
        self.metrics.is_empty() && self.params.is_empty() && self.tags.is_empty()
    }

    /// Returns the JSON body of the call for the run `run_id`.
    pub(super) fn body(&self, run_id: &str) -> Value {
        let (params, tags) = (key_values(&self.params), key_values(&self.tags));
        json!({ "run_id": run_id, "metrics": self.metrics, "params": params, "tags": tags })
    }

    /// Splits the batch in two, so that the item that the server refuses can be isolated. Returns
    /// `None` if it has a single item.
    pub(super) fn split(mut self) -> Option<(Self, Self)> {
        if self.metrics.len() + self.params.len() + self.tags.len() < 2 {
            return None;
        }
        // Separate the kinds of item first; within one kind, an odd item goes to the first half.
        // Neither half is ever empty.
        let kinds = [self.metrics.len(), self.params.len(), self.tags.len()];
        let second = if kinds.iter().filter(|count| **count > 0).count() > 1 {
            let metrics = std::mem::take(&mut self.metrics);
            match metrics.is_empty() {
                false => Self {
                    metrics,
                    ..Self::default()
                },
                true => Self {
                    params: std::mem::take(&mut self.params),
                    ..Self::default()
                },
            }
        } else {
            let metrics = self.metrics.split_off(self.metrics.len().div_ceil(2));
            Self {
                metrics,
                params: second_half(&mut self.params),
                tags: second_half(&mut self.tags),
                bytes: 0,
            }
        };
        Some((self, second))
    }
}

/// Returns texts as MLflow's list of objects with `key` and `value`.
fn key_values(texts: &BTreeMap<String, String>) -> Vec<Value> {
    texts
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}

/// Removes and returns the second half of the texts. The first half gets an odd one.
fn second_half(texts: &mut BTreeMap<String, String>) -> BTreeMap<String, String> {
    match texts.keys().nth(texts.len().div_ceil(2)).cloned() {
        Some(key) => texts.split_off(&key),
        None => BTreeMap::new(),
    }
}

/// Gathers operations into calls. The operations of one run keep their order.
pub(super) fn gather(ops: impl IntoIterator<Item = Op>) -> VecDeque<Call> {
    let (mut calls, mut batches) = (VecDeque::new(), BTreeMap::<u32, Log>::new());
    for Op { run, change } in ops {
        let log = batches.entry(run).or_default();
        match change {
            Change::Metric {
                key,
                value,
                at,
                step,
            } => {
                log.bytes += key.len();
                log.metrics.push(
                    json!({ "key": key, "value": number(value.0), "timestamp": at, "step": step }),
                );
            }
            Change::Param { key, value } => {
                log.bytes += key.len() + value.len();
                log.params.insert(key, value);
            }
            // A server cannot change points that it already has.
            Change::Rescale { .. } => {}
            Change::Tag { key, value } => {
                log.bytes += key.len() + value.len();
                log.tags.insert(key, value);
            }
            // Every other change is a call of its own. The batch so far goes before it to keep the
            // order.
            other => {
                push_batch(&mut calls, run, log);
                calls.push_back(match other {
                    Change::Create { name, at, tags } => Call::Create {
                        run,
                        name,
                        at,
                        tags,
                    },
                    Change::Dataset {
                        name,
                        digest,
                        source,
                        context,
                    } => Call::Dataset {
                        run,
                        name,
                        digest,
                        source,
                        context,
                    },
                    Change::File { trial, path } => Call::File { run, trial, path },
                    Change::Register(model) => Call::Register { run, model },
                    Change::Status { status, end } => Call::Update { run, status, end },
                    Change::Metric { .. }
                    | Change::Param { .. }
                    | Change::Rescale { .. }
                    | Change::Tag { .. } => continue,
                });
            }
        }
        if log.is_full() {
            push_batch(&mut calls, run, log);
        }
    }
    for (run, mut log) in batches {
        push_batch(&mut calls, run, &mut log);
    }
    calls
}

/// Moves the batch of a run to the end of the calls, unless it is empty.
fn push_batch(calls: &mut VecDeque<Call>, run: u32, log: &mut Log) {
    if !log.is_empty() {
        calls.push_back(Call::Log {
            run,
            log: std::mem::take(log),
        });
    }
}

/// Returns a number as the REST interface accepts it: NaN and the infinities are texts.
fn number(value: f64) -> Value {
    match value {
        value if value.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        value => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swath_model::study::Metric;

    fn metric(run: u32, value: f64) -> Op {
        Op {
            run,
            change: Change::Metric {
                key: "m".into(),
                value: Metric(value),
                at: 1,
                step: 2,
            },
        }
    }

    fn tag(run: u32, key: &str, value: &str) -> Op {
        Op {
            run,
            change: Change::Tag {
                key: key.into(),
                value: value.into(),
            },
        }
    }

    #[test]
    fn the_records_of_a_run_are_batched_and_precede_its_end() {
        let end = Op {
            run: 1,
            change: Change::Status {
                status: Status::Failed,
                end: Some(9),
            },
        };
        let ops = [
            metric(1, f64::NAN),
            metric(2, 0.5),
            tag(1, "a", "old"),
            tag(1, "a", "new"),
            end,
        ];
        let mut calls = gather(ops);
        let [
            Call::Log { run: 1, log },
            Call::Update { run: 1, .. },
            Call::Log { run: 2, .. },
        ] = calls.make_contiguous()
        else {
            panic!("other calls")
        };
        let expected = json!({
            "run_id": "x", "metrics": [{"key": "m", "value": "NaN", "timestamp": 1, "step": 2}],
            "params": [], "tags": [{"key": "a", "value": "new"}],
        });
        assert_eq!(log.body("x"), expected);
    }

    #[test]
    fn no_call_exceeds_the_limits_of_the_server() {
        let calls = gather((0..2000).map(|_| metric(1, f64::INFINITY)));
        assert_eq!(calls.len(), 3);
        let long = "x".repeat(5000);
        let calls = gather((0..250).map(|at| tag(1, &at.to_string(), &long)));
        let size = |call: &Call| {
            if let Call::Log { log, .. } = call {
                log.body("x").to_string().len()
            } else {
                0
            }
        };
        assert!(calls.iter().all(|call| size(call) < 1_000_000));
    }

    #[test]
    fn splitting_ends_at_single_items_and_loses_none() {
        let ops = (0..5)
            .map(|at| tag(1, &at.to_string(), "x"))
            .chain((0..3).map(|_| metric(1, 1.0)));
        let mut calls = gather(ops);
        let Some(Call::Log { log, .. }) = calls.pop_front() else {
            panic!("{calls:?}")
        };
        let (mut logs, mut single) = (vec![log], 0);
        while let Some(log) = logs.pop() {
            match log.clone().split() {
                Some((first, second)) => {
                    assert!(!first.is_empty() && !second.is_empty());
                    logs.extend([first, second]);
                }
                None => single += 1,
            }
        }
        assert_eq!(single, 8);
    }
}
