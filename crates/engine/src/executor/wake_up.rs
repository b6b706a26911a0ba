//! The wake-up of a run that waits for signals, for requests from elsewhere, such as Ctrl-C.

use super::Signal;
use crossbeam_channel::Sender;

/// A signal for which a run waits or, as `None`, a call that only ends the wait.
pub(crate) type SignalOrCall = Option<Signal>;

/// Ends the wait of an executor for signals, from any thread.
#[derive(Debug, Clone)]
pub struct WakeUp(Sender<SignalOrCall>);

impl WakeUp {
    pub(crate) fn new(to: Sender<SignalOrCall>) -> Self {
        Self(to)
    }

    /// Ends the present wait; or the next one at once, if nothing waits now.
    pub fn call(&self) {
        // Where signals have filled the channel, nothing waits for them, and after the run neither.
        self.0.try_send(None).ok();
    }
}

#[cfg(test)]
mod tests {
    use crate::executor::{Closure, Executor as _, Pool, StudyContext};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    #[test]
    fn a_call_ends_the_wait_of_a_pool_whose_trials_are_silent() {
        let trainable = Arc::new(Closure(|_: &_, _: &mut _| Ok(())));
        let mut pool = Pool::new(trainable, 1, StudyContext::default()).unwrap();
        let wake_up = pool.wake_up().unwrap();
        let began = Instant::now();
        wake_up.call();
        wake_up.call();
        assert!(pool.wait(Duration::from_secs(60)).is_empty());
        let caller = std::thread::spawn(move || wake_up.call());
        assert!(pool.wait(Duration::from_secs(60)).is_empty());
        caller.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
        // Nothing is left of the calls.
        assert!(pool.wait(Duration::from_millis(1)).is_empty());
    }
}
