//! The thread that calls the batch system, one call after another, so that the orchestrator never
//! blocks on a call.

use super::engine::{Engine, Job, Seen, SubmitError, Submitted};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Requests to the thread.
pub(super) enum Ask {
    Submit(Box<Job>),
    List(Vec<Submitted>),
    Cancel(Vec<String>),
}

/// Results of these requests.
pub(super) enum Answer {
    Submitted {
        batch: String,
        result: Result<String, SubmitError>,
    },
    Listed(Result<Vec<Seen>, String>),
    Cancelled(Result<(), String>),
}

/// Handle of the thread that owns the engine.
pub(super) struct Works {
    asks: Option<Sender<Ask>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    pub(super) most_at_once: Receiver<u32>,
}

impl Works {
    pub(super) fn start(mut engine: Box<dyn Engine>) -> std::io::Result<Self> {
        let (asks, asked) = unbounded();
        let (answer, answers) = unbounded();
        let (give, most_at_once) = unbounded();
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                give.send(engine.most_at_once()).ok();
                for ask in asked {
                    let told = match ask {
                        Ask::Submit(job) => Answer::Submitted {
                            result: engine.submit(&job),
                            batch: job.name,
                        },
                        Ask::List(batches) => Answer::Listed(engine.list(&batches)),
                        Ask::Cancel(ids) => Answer::Cancelled(engine.cancel(&ids)),
                    };
                    if answer.send(told).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            asks: Some(asks),
            answers,
            thread: Some(thread),
            most_at_once,
        })
    }

    pub(super) fn ask(&self, ask: Ask) {
        if let Some(asks) = &self.asks {
            asks.send(ask).ok();
        }
    }

    pub(super) fn answers(&self) -> Vec<Answer> {
        self.answers.try_iter().collect()
    }

    /// Closes the request channel and waits, at most `at_most`, until the thread has carried out
    /// the remaining requests.
    pub(super) fn close(&mut self, at_most: Duration) {
        self.asks = None;
        let begun = Instant::now();
        while self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
            && begun.elapsed() < at_most
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.thread = None;
    }
}
