//! Requests of persons: notes and tags, on which nothing in a run depends, trials to stop or to run
//! again, and more trials.

use super::event::ASKED_FOR;
use super::{Event, IllegalEvent, Study, Trial, TrialId, TrialState, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The note and the tags of a trial.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarks {
    /// The last note; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The names of the tags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
}

/// The character between the tags of a trial in a table.
pub const TAG_SEPARATOR: &str = ";";

/// Maximum length of the name of a tag, in characters.
const LONGEST_TAG: usize = 64;

/// Checks the name of a tag: one line without blanks at its ends, of 1 to 64 characters, without
/// the separator of tags in tables.
///
/// # Errors
/// The broken rule, as a fragment of a sentence after the name.
pub fn check_tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() || tag.trim() != tag {
        Err("has no name, or blanks around it".to_owned())
    } else if tag.contains(TAG_SEPARATOR) || tag.contains(char::is_control) {
        Err(format!("contains `{TAG_SEPARATOR}` or a control character"))
    } else if tag.chars().count() > LONGEST_TAG {
        Err(format!("is longer than {LONGEST_TAG} characters"))
    } else {
        Ok(())
    }
}

impl Study {
    /// Returns the note and the tags of a trial; `None` if it has neither.
    #[must_use]
    pub fn remarks(&self, trial: TrialId) -> Option<&Remarks> {
        self.remarks.get(&trial)
    }

    /// Returns the names of the tags of a trial, in alphabetical order.
    pub fn tags(&self, trial: TrialId) -> impl Iterator<Item = &str> {
        let remarks = self.remarks(trial).into_iter();
        remarks.flat_map(|remarks| remarks.tags.iter().map(String::as_str))
    }

    /// Returns the note on a trial; `None` if there is none.
    #[must_use]
    pub fn note(&self, trial: TrialId) -> Option<&str> {
        let note = self.remarks(trial)?.note.as_str();
        Some(note).filter(|note| !note.is_empty())
    }

    /// Returns whether an event that a person requests would change the study: all its trials
    /// exist, a note or tag does not only repeat what they have, a trial may stop or run again, and
    /// the number of trials grows. `false` for any other event.
    #[must_use]
    pub fn accepts_request(&self, event: &Event) -> bool {
        match event {
            Event::Noted { trial, note } => {
                self.trial(*trial).is_some() && self.note(*trial).unwrap_or_default() != note
            }
            Event::Tagged {
                trials,
                tag,
                removed,
            } => {
                trials.iter().all(|id| self.trial(*id).is_some())
                    && check_tag(tag).is_ok()
                    && trials.iter().any(|id| self.has_tag(*id, tag) == *removed)
            }
            Event::Requeued { trial, .. } => self.trial(*trial).is_some_and(|trial| {
                let is_open = matches!(trial.state, TrialState::Waiting | TrialState::Running);
                !is_open && !trial.outside
            }),
            Event::Judged {
                trial,
                verdict: Verdict::Stop,
                ..
            } => self.trial(*trial).is_some_and(Trial::can_stop),
            Event::Raised { trials } => self.header.trials.is_some_and(|total| *trials > total),
            _ => false,
        }
    }

    /// Returns whether a trial has a tag.
    #[must_use]
    pub fn has_tag(&self, trial: TrialId, tag: &str) -> bool {
        self.tags(trial).any(|name| name == tag)
    }

    /// Raises the number of trials. The first number that is replaced is that of the sweep file.
    pub(super) fn raise_trials(&mut self, trials: u64) {
        let header = &mut self.header;
        header.raised_from = header.raised_from.or(header.trials);
        header.trials = Some(trials);
    }

    pub(super) fn set_note(&mut self, trial: TrialId, note: &str) -> Result<(), IllegalEvent> {
        self.trial_mut(trial)?;
        note.clone_into(&mut self.remarks.entry(trial).or_default().note);
        self.forget_empty_remarks(trial);
        Ok(())
    }

    pub(super) fn set_tag(
        &mut self,
        trials: &[TrialId],
        tag: &str,
        is_set: bool,
    ) -> Result<(), IllegalEvent> {
        // All trials are checked before the first one changes, so that an illegal event leaves the
        // study as it was.
        for trial in trials {
            self.trial_mut(*trial)?;
        }
        for trial in trials {
            let tags = &mut self.remarks.entry(*trial).or_default().tags;
            if is_set {
                tags.insert(tag.to_owned());
            } else {
                tags.remove(tag);
            }
            self.forget_empty_remarks(*trial);
        }
        Ok(())
    }

    fn forget_empty_remarks(&mut self, trial: TrialId) {
        if self.remarks(trial) == Some(&Remarks::default()) {
            self.remarks.remove(&trial);
        }
    }
}

impl Trial {
    /// Returns whether a person can stop the trial: it waits or is paused, or it runs and was not
    /// told to end for good.
    #[must_use]
    pub fn can_stop(&self) -> bool {
        let is_ending = matches!(self.verdict, Some(Verdict::Stop | Verdict::Complete));
        let is_open = match self.state {
            TrialState::Waiting | TrialState::Paused => true,
            TrialState::Running => !is_ending,
            _ => false,
        };
        is_open && !self.removed
    }

    /// Returns whether a person stopped the trial, and not a scheduler or its own program.
    #[must_use]
    pub fn is_stopped_by_person(&self) -> bool {
        let why = self.why.as_deref().unwrap_or_default();
        self.verdict == Some(Verdict::Stop) && why.starts_with(ASKED_FOR)
    }
}

#[cfg(feature = "spaces")]
#[cfg(test)]
mod tests {
    use super::check_tag;
    use crate::demo::Demo;
    use crate::study::{Event, Exit, Failure, Study, TrialId, TrialState, Verdict};

    #[test]
    fn a_person_stops_a_running_a_waiting_and_a_paused_trial_but_none_that_has_ended() {
        let mut demo = Demo::new(&[]);
        let (running, waiting, paused) = (demo.start(&[]), demo.start(&[]), demo.start(&[]));
        let complete = demo.complete(&[], &[("val_loss", 0.5)]);
        demo.report(running, &[("val_loss", 0.25)]);
        demo.end(waiting, Exit::Failed(Failure::Code(1)));
        demo.event(Event::requeued(waiting, "retry 1 of 2"));
        demo.end(paused, Exit::Paused);
        let request = |trial| Event::stopped_by(trial, "anna", "box");
        for trial in [running, waiting, paused] {
            assert!(demo.study.accepts_request(&request(trial)));
            demo.event(request(trial));
        }
        assert_eq!(demo.study.trials()[0].state, TrialState::Running);
        for trial in [running, waiting, paused, complete, TrialId(9)] {
            assert!(!demo.study.accepts_request(&request(trial)), "{trial}");
        }
        demo.end(running, Exit::Done);
        for trial in &demo.study.trials()[..3] {
            assert_eq!(trial.state, TrialState::Stopped, "{}", trial.id);
            assert_eq!(trial.exit, Some(Exit::Stopped), "{}", trial.id);
            assert!(trial.is_stopped_by_person());
            let why = "asked for by anna on box with `swath stop`";
            assert_eq!(trial.why.as_deref(), Some(why));
        }
        let value = demo.study.trials()[0].objective(&demo.study.header().objectives[0]);
        assert_eq!(value, Some(0.25), "the values so far are kept");
        // A retry takes the decision back, and the trial can be stopped once more.
        demo.event(Event::requeued(waiting, "asked for by `swath retry`"));
        assert!(demo.study.accepts_request(&request(waiting)));
        // No one but a person stops a trial that waits.
        let verdict = Event::Judged {
            trial: waiting,
            verdict: Verdict::Pause,
            why: String::new(),
        };
        assert!(!demo.study.accepts_request(&verdict));
    }

    #[test]
    fn raising_the_trials_keeps_the_number_of_the_sweep_file_and_never_lowers_the_total() {
        let mut demo = Demo::new(&[]);
        let total = demo.study.header().trials.unwrap();
        for more in [total + 10, total + 30] {
            let raised = Event::Raised { trials: more };
            assert!(demo.study.accepts_request(&raised));
            demo.event(raised.clone());
            assert!(!demo.study.accepts_request(&raised));
        }
        let header = demo.study.header();
        assert_eq!(header.trials, Some(total + 30));
        assert_eq!(header.raised_from, Some(total));
    }

    fn tagged(trials: &[u32], tag: &str, removed: bool) -> Event {
        Event::Tagged {
            trials: trials.iter().copied().map(TrialId).collect(),
            tag: tag.to_owned(),
            removed,
        }
    }

    fn noted(note: &str) -> Event {
        Event::Noted {
            trial: TrialId(1),
            note: note.to_owned(),
        }
    }

    #[test]
    fn the_last_note_and_all_tags_of_a_trial_are_kept_in_a_snapshot() {
        let mut demo = Demo::new(&[]);
        demo.complete(&[], &[("val_loss", 0.5)]);
        demo.start(&[]);
        for event in [
            noted("first"),
            noted("second"),
            tagged(&[1, 2], "good", false),
            tagged(&[1], "baseline", false),
            tagged(&[2], "good", true),
        ] {
            assert!(demo.study.accepts_request(&event), "{event:?}");
            demo.event(event);
        }
        let stored = serde_json::to_string(&demo.study.without_trials()).unwrap();
        let study: Study = serde_json::from_str(&stored).unwrap();
        for study in [&demo.study, &study] {
            assert_eq!(study.note(TrialId(1)), Some("second"));
            let tags: Vec<_> = study.tags(TrialId(1)).collect();
            assert_eq!(tags, ["baseline", "good"]);
            assert_eq!(study.remarks(TrialId(2)), None);
        }
        demo.event(noted(""));
        assert_eq!(demo.study.note(TrialId(1)), None);
    }

    #[test]
    fn a_remark_that_repeats_another_or_names_no_trial_is_not_new() {
        let mut demo = Demo::new(&[]);
        demo.complete(&[], &[("val_loss", 0.5)]);
        demo.event(tagged(&[1], "good", false));
        for event in [
            noted(""),
            tagged(&[1], "good", false),
            tagged(&[1], "bad", true),
            tagged(&[1, 2], "bad", false),
            tagged(&[1], "", false),
        ] {
            assert!(!demo.study.accepts_request(&event), "{event:?}");
        }
    }

    #[test]
    fn a_tag_is_a_short_line_without_the_separator() {
        for tag in ["good", "to check", "größe-試験"] {
            assert_eq!(check_tag(tag), Ok(()));
        }
        for tag in ["", " good", "a;b", "a\nb", &"x".repeat(65)] {
            assert!(check_tag(tag).is_err(), "{tag}");
        }
    }
}
