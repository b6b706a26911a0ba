//! First in, first out: every trial runs until it exits by itself or reaches `max`.

use super::{MAX, Next, TrialScheduler};
use swath_model::source::{Diagnostic, Diagnostics, Section};
use swath_model::study::{Kind, Resource, Setting, Study, TrialId};

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "fifo",
    about: "every trial runs to its own end",
    paper: None,
    options: &[MAX],
    capabilities: &[],
    build: |mut section, setting, diagnostics| {
        let max = take_max(&mut section, setting, diagnostics)?;
        Some(Box::new(Fifo { max }))
    },
};

/// Takes the optional `max` of a scheduler without rungs. It requires a `resource`; returns `None`
/// after reporting that there is none.
pub(super) fn take_max(
    section: &mut Section,
    setting: &Setting,
    diagnostics: &mut Diagnostics,
) -> Option<Option<Resource>> {
    let max = section.take_count("max", 1, diagnostics);
    if let (Some((_, span)), None) = (&max, &setting.resource) {
        let message = "it is not known which reported key counts up to `max`";
        diagnostics.push(
            Diagnostic::error("no-resource", message)
                .at(span.clone(), "no `resource` beside it")
                .hint("name the key of the reports that counts: resource = \"epoch\""),
        );
        return None;
    }
    Some(max.map(|(max, _)| Resource(max)))
}

/// The scheduler; it has no state.
struct Fifo {
    /// The maximum resource of a trial; `None` if trials end by themselves.
    max: Option<Resource>,
}

impl TrialScheduler for Fifo {
    fn next(&self, study: &Study, room: bool) -> Next {
        super::fresh_while(room, study)
    }

    fn until(&self, _: &Study, _: TrialId) -> Option<Resource> {
        self.max
    }

    fn max(&self) -> Option<Resource> {
        self.max
    }
}
