//! A program of the user that judges the trials, by JSON lines.
//!
//! The program must be deterministic, as that of the sampler: its answer depends on the lines
//! before it only.

use super::{Judgement, MAX, Next, TrialScheduler, fresh_while, wait_or_done};
use crate::dialogue::{self, Dialogue, paused_trial};
use serde_json::{Value, json};
use swath_model::source::Opt;
use swath_model::source::opt::joined;
use swath_model::study::{Event, Kind, Resource, SearchError, Study, TrialId, Verdict};

pub(super) const KIND: Kind<dyn TrialScheduler> = Kind {
    name: "program",
    about: "a program of your own, asked about each report by JSON lines",
    paper: None,
    options: OPTIONS,
    capabilities: &[],
    build: |mut section, setting, diagnostics| {
        let max = super::fifo::take_max(&mut section, setting, diagnostics)?;
        let table = "[scheduler]";
        let dialogue = Dialogue::take("scheduler", table, &mut section, setting, diagnostics)?;
        Some(Box::new(Program { dialogue, max }))
    },
};

const OPTIONS: &[Opt] = &joined::<3>(&dialogue::OPTIONS, &[MAX]);

struct Program {
    dialogue: Dialogue,
    /// The maximum resource of a trial; `None` if trials end by themselves.
    max: Option<Resource>,
}

impl TrialScheduler for Program {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.dialogue.tell(study, event);
    }

    fn next(&self, study: &Study, room: bool) -> Next {
        match self.dialogue.wants("next") {
            Some(true) => self
                .dialogue
                .ask(&json!({ "next": { "room": room } }), |answer| {
                    next(study, room, answer)
                })
                .unwrap_or(Next::Wait),
            Some(false) => fresh_while(room, study),
            // The program has failed: nothing may start.
            None => Next::Wait,
        }
    }

    fn verdict(&self, study: &Study, trial: TrialId) -> Judgement {
        let unchanged = Judgement {
            verdict: Verdict::Continue,
            why: String::new(),
        };
        let (Some(resumes), Some(trial)) = (self.dialogue.wants("next"), study.trial(trial)) else {
            return unchanged;
        };
        let request = json!({ "judge": self.dialogue.trial(trial) });
        self.dialogue
            .ask(&request, |answer| judgement(answer, resumes))
            .unwrap_or(unchanged)
    }

    fn until(&self, _: &Study, _: TrialId) -> Option<Resource> {
        self.max
    }

    fn max(&self) -> Option<Resource> {
        self.max
    }

    fn failure(&self) -> Option<SearchError> {
        self.dialogue.failure()
    }
}

/// Reads an answer to `next`.
fn next(study: &Study, room: bool, answer: &Value) -> Result<Next, String> {
    if !answer["resume"].is_null() {
        return Ok(Next::Resume {
            trial: paused_trial(study, answer, "resume")?,
            why: reason(answer)?,
        });
    }
    match answer["next"].as_str() {
        Some("new") if room => Ok(Next::Fresh),
        Some("new") => Err("there is no room for a new trial (`room` is false)".to_owned()),
        Some("wait") => Ok(wait_or_done(study)),
        _ => {
            let forms =
                "`{\"next\": \"new\"}`, `{\"next\": \"wait\"}` and `{\"resume\": ID, \"why\": …}`";
            Err(format!("the answers to `next` are {forms}"))
        }
    }
}

/// Reads an answer to `judge`. `resumes`: the program answers `next`, so that it can resume a trial
/// that it pauses.
fn judgement(answer: &Value, resumes: bool) -> Result<Judgement, String> {
    let verdict = match answer["verdict"].as_str() {
        Some("continue") => {
            return Ok(Judgement {
                verdict: Verdict::Continue,
                why: answer["why"].as_str().unwrap_or_default().to_owned(),
            });
        }
        Some("pause") if resumes => Verdict::Pause,
        Some("pause") => {
            let answers = "a program that pauses trials answers `next` too";
            return Err(format!(
                "{answers}, and says so: {{\"protocol\": 1, \"next\": true}}"
            ));
        }
        Some("stop") => Verdict::Stop,
        Some("complete") => Verdict::Complete,
        _ => return Err("`verdict` is one of continue, pause, stop and complete".to_owned()),
    };
    Ok(Judgement {
        verdict,
        why: reason(answer)?,
    })
}

/// Returns the reason of an answer, which must not be empty: it is recorded with the decision.
fn reason(answer: &Value) -> Result<String, String> {
    answer["why"]
        .as_str()
        .filter(|why| !why.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| "the decision needs a reason: `why`, a text".to_owned())
}
