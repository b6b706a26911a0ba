//! The thread that calls the batch system, one call after another, so that the orchestrator never
//! blocks on a call.

use super::engine::{Engine, Job, ListedJob, SubmitError, Submitted};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time for which an error waits for the remaining requests.
const DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests to the thread.
pub(super) enum Request {
    Submit(Box<Job>),
    List(Vec<Submitted>),
    Cancel(Vec<String>),
}

/// Results of these requests.
pub(super) enum Response {
    Submitted {
        batch: String,
        result: Result<String, SubmitError>,
    },
    Listed(Result<Vec<ListedJob>, String>),
    Cancelled(Result<(), String>),
}

/// Handle of the thread that owns the engine.
pub(super) struct EngineThread {
    requests: Option<Sender<Request>>,
    responses: Receiver<Response>,
    thread: Option<JoinHandle<()>>,
    pub(super) max_array_size: Receiver<u32>,
}

impl EngineThread {
    pub(super) fn start(mut engine: Box<dyn Engine>) -> std::io::Result<Self> {
        let (requests, received) = unbounded();
        let (sender, responses) = unbounded();
        let (size_sender, max_array_size) = unbounded();
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                size_sender.send(engine.max_array_size()).ok();
                for request in received {
                    let response = match request {
                        Request::Submit(job) => Response::Submitted {
                            result: engine.submit(&job),
                            batch: job.name,
                        },
                        Request::List(batches) => Response::Listed(engine.list(&batches)),
                        Request::Cancel(ids) => Response::Cancelled(engine.cancel(&ids)),
                    };
                    if sender.send(response).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            requests: Some(requests),
            responses,
            thread: Some(thread),
            max_array_size,
        })
    }

    pub(super) fn ask(&self, request: Request) {
        if let Some(requests) = &self.requests {
            requests.send(request).ok();
        }
    }

    pub(super) fn responses(&self) -> Vec<Response> {
        self.responses.try_iter().collect()
    }

    /// Closes the request channel and waits, at most `at_most`, until the thread has carried out
    /// the remaining requests.
    pub(super) fn close(&mut self, timeout: Duration) {
        self.requests = None;
        let begun = Instant::now();
        while self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
            && begun.elapsed() < timeout
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.thread = None;
    }
}

/// A run that ends with an error does not dismiss its pilots, but what it has asked for is carried
/// out: the end of the process would otherwise end the thread before it cancels the jobs.
impl Drop for EngineThread {
    fn drop(&mut self) {
        self.close(DROP_TIMEOUT);
    }
}
