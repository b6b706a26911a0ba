//! First in, first out: every trial runs to its own end.

use super::{Next, TrialScheduler};
use crate::study::{Kind, Study};

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "fifo",
    about: "every trial runs to its own end",
    paper: None,
    options: &[],
    capabilities: &[],
    build: |_, _, _| Some(Box::new(Fifo)),
};

struct Fifo;

impl TrialScheduler for Fifo {
    fn next(&self, study: &Study, room: bool) -> Next {
        super::fresh_while(room, study)
    }
}
