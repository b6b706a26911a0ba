//! The messages of a pilot about its attempts, in the form in which the journal of a study records
//! them. The orchestrator and readers without one translate them here, so that both see the same.

use super::wire::MessageKind;
use swath_model::study::{Attempt, Exit, LogRecord, Place, Timestamp, TrialId, Usage};

/// A message about an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AttemptMessage {
    pub(super) trial: TrialId,
    pub(super) attempt: Attempt,
    pub(super) event: AttemptEvent,
}

/// An event in the life of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AttemptEvent {
    /// The attempt has started at this place.
    Placed(Place),
    /// The attempt has written a record, with the offset behind its line.
    Logged(LogRecord, Option<u64>),
    /// The attempt asks whether it may continue.
    Asked(String),
    /// The attempt has ended, after `seconds` seconds on its machine.
    Ended {
        exit: Exit,
        usage: Usage,
        seconds: f64,
    },
    /// The attempt was never started.
    Returned,
}

impl AttemptMessage {
    /// Translates a message that a pilot wrote at `at` by its own clock.
    ///
    /// # Errors
    /// If the message is about the pilot itself: then it is returned.
    pub(super) fn of(at: Timestamp, kind: MessageKind) -> Result<Self, Box<MessageKind>> {
        let (trial, attempt, event) = match kind {
            MessageKind::Placed {
                trial,
                attempt,
                place,
            } => {
                let place = Place {
                    since: Some(at),
                    ..place
                };
                (trial, attempt, AttemptEvent::Placed(place))
            }
            MessageKind::Logged {
                trial,
                attempt,
                record,
                line_end,
            } => (trial, attempt, AttemptEvent::Logged(record, line_end)),
            MessageKind::Asked { trial, attempt, id } => (trial, attempt, AttemptEvent::Asked(id)),
            MessageKind::Ended {
                trial,
                attempt,
                exit,
                usage,
                seconds,
            } => {
                let usage = Usage {
                    seconds: Some(seconds),
                    ..usage
                };
                let event = AttemptEvent::Ended {
                    exit,
                    usage,
                    seconds,
                };
                (trial, attempt, event)
            }
            MessageKind::Returned { trial, attempt } => (trial, attempt, AttemptEvent::Returned),
            MessageKind::Hello(_)
            | MessageKind::Beat { .. }
            | MessageKind::Full { .. }
            | MessageKind::Note { .. }
            | MessageKind::Bye { .. } => return Err(Box::new(kind)),
        };
        Ok(Self {
            trial,
            attempt,
            event,
        })
    }
}

/// Returns the place of an attempt that ended before its pilot named one: the pool reports no
/// process of a short trial, but its machine and start matter. `None` if it was never started.
pub(super) fn place_of_short_attempt(
    pilot: &Place,
    ended: Timestamp,
    seconds: f64,
) -> Option<Place> {
    (seconds > 0.0).then(|| Place {
        pid: None,
        start_ticks: None,
        since: Some(ended.before(seconds)),
        ..pilot.clone()
    })
}

/// Returns whether the journal of the study has a record already, of which `to_skip` are there, and
/// counts it. Warnings that are not about a line are not counted, because some of those in the
/// journal are the driver's own.
pub(super) fn is_recorded(to_skip: &mut u64, record: &LogRecord, line_end: Option<u64>) -> bool {
    if *to_skip == 0 {
        return false;
    }
    let is_counted = line_end.is_some() || !matches!(record, LogRecord::Warning { .. });
    *to_skip -= u64::from(is_counted);
    true
}
