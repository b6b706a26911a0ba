//! The actions of `swath ui --allow-actions`. Each one runs the command of the same name, so that
//! the page can do what the command line does, with the same checks and messages.

use crate::cli::exit::{Code, Failure};
use crate::cli::output::Output;
use crate::cli::studies::SelectionArgs;
use crate::cli::{Context, add, remarks, retry, stop};
use crate::report::view::View;
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use swath_http::{Response, is_same_token};

/// Number of pages whose secrets are valid: those that were opened last.
const MOST_PAGES: usize = 64;

/// A request to act on a study.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// The index of the study on the page.
    study: usize,
    action: Action,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    /// Requeue a trial.
    Retry { trial: u32 },
    /// Add a configuration with these values.
    Add { values: BTreeMap<String, String> },
    /// Stop a trial; the run goes on.
    StopTrial { trial: u32 },
    /// Raise the total number of trials to this one.
    Trials { trials: u64 },
    /// Replace the note of a trial; an empty one removes it.
    Note { trial: u32, text: String },
    /// Give a trial a tag, or remove it.
    Tag {
        trial: u32,
        tag: String,
        remove: bool,
    },
    /// Start no more trials.
    Drain {},
    /// Stop the trials and end the run.
    Stop {},
    /// Run another number of trials at a time.
    Jobs { jobs: NonZeroUsize },
}

/// The secrets of the pages that may act. A page of another site that makes a browser send a
/// request knows none of them.
#[derive(Debug, Default)]
pub(super) struct Secrets(VecDeque<String>);

impl Secrets {
    /// Returns the secret of a new page.
    pub(super) fn issue(&mut self) -> String {
        let secret = format!("{:032x}", rand::random::<u128>());
        self.0.push_back(secret.clone());
        if self.0.len() > MOST_PAGES {
            self.0.pop_front();
        }
        secret
    }

    /// Returns whether a secret is one of those that were issued.
    pub(super) fn contains(&self, secret: &str) -> bool {
        let same = self.0.iter().map(|issued| is_same_token(secret, issued));
        same.fold(false, |found, is_same| found | is_same)
    }
}

/// Performs the action that the body of a request describes. The response is an object with `ok`
/// and the messages of the command as `text`.
pub(super) fn perform(views: &[View], body: &[u8]) -> Response {
    let order: Order = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(error) => return Response::text(400, &format!("this is no action: {error}")),
    };
    let Some(view) = views.get(order.study) else {
        return Response::text(404, "there is no such study");
    };
    let root = view.dir.root();
    let (Some(logs), Some(name)) = (root.parent(), root.file_name()) else {
        return Response::text(404, "the study has no folder");
    };
    let (out, _, messages) = Output::in_memory();
    let mut context = Context {
        logs: logs.to_owned(),
        out,
    };
    let result = run(order.action, &name.to_string_lossy(), &mut context);
    if let Err(failure) = &result {
        context.out.fail(failure);
    }
    let reply = json!({ "ok": result.is_ok(), "text": messages.text() });
    Response::new(200, "application/json", reply.to_string().into_bytes())
}

fn run(action: Action, study: &str, context: &mut Context) -> Result<Code, Failure> {
    match action {
        Action::Retry { trial } => {
            let args = retry::Args {
                selection: selection(study, Some(trial)),
                into: None,
            };
            retry::run(&args, context)
        }
        Action::StopTrial { trial } => {
            stop::run(&stop_args(study, Some(trial), false, None), context)
        }
        Action::Trials { trials } => {
            let args = add::Args {
                words: vec![study.to_owned()],
                toml: None,
                again: false,
                trials: Some(add::Total::Of(trials)),
            };
            add::run(&args, context)
        }
        Action::Add { values } => {
            let pairs = values.iter().map(|(name, value)| format!("{name}={value}"));
            let words = std::iter::once(study.to_owned()).chain(pairs);
            let args = add::Args {
                words: words.collect(),
                toml: None,
                again: false,
                trials: None,
            };
            add::run(&args, context)
        }
        Action::Note { trial, text } => {
            let remove = text.trim().is_empty();
            let mut words = vec![study.to_owned(), trial.to_string()];
            words.extend((!remove).then_some(text));
            remarks::note(&remarks::NoteArgs { words, remove }, context)
        }
        Action::Tag { trial, tag, remove } => {
            let args = remarks::TagArgs {
                words: vec![study.to_owned(), trial.to_string(), tag],
                condition: None,
                remove,
            };
            remarks::tag(&args, context)
        }
        Action::Drain {} => stop::run(&stop_args(study, None, true, None), context),
        Action::Stop {} => stop::run(&stop_args(study, None, false, None), context),
        Action::Jobs { jobs } => stop::run(&stop_args(study, None, false, Some(jobs)), context),
    }
}

/// Returns the selection of a study and of one of its trials.
fn selection(study: &str, trial: Option<u32>) -> SelectionArgs {
    let trial = trial.map(|trial| trial.to_string());
    SelectionArgs {
        words: std::iter::once(study.to_owned()).chain(trial).collect(),
        condition: None,
    }
}

fn stop_args(
    study: &str,
    trial: Option<u32>,
    drain: bool,
    jobs: Option<NonZeroUsize>,
) -> stop::Args {
    stop::Args {
        selection: selection(study, trial),
        drain,
        now: false,
        jobs,
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_PAGES, Secrets, perform};
    use crate::cli::studies::demo;
    use crate::report::view::View;
    use crate::space::Value;
    use crate::study::{Exit, Failure, TrialState};
    use swath_model::demo::Demo;

    #[test]
    fn only_the_secrets_of_the_last_pages_are_valid() {
        let mut secrets = Secrets::default();
        let first = secrets.issue();
        assert!(secrets.contains(&first) && !secrets.contains(""));
        for _ in 0..MOST_PAGES {
            secrets.issue();
        }
        assert!(!secrets.contains(&first));
    }

    #[test]
    fn a_failed_trial_is_requeued_and_a_study_that_does_not_run_cannot_be_stopped() {
        let mut world = Demo::new(&["lr"]);
        let failed = world.start(&[("lr", Value::Float(0.2))]);
        world.end(failed, Exit::Failed(Failure::Code(3)));
        let logs = tempfile::tempdir().unwrap();
        let mut views = [View::open(demo::write(logs.path(), "digits", &world), None).unwrap()];
        let mut act = |body: &str| {
            let response = perform(&views, body.as_bytes());
            views[0].follow().unwrap();
            let text = String::from_utf8_lossy(response.body()).into_owned();
            (
                response.status(),
                text,
                views[0].study.trials()[0].state.clone(),
            )
        };
        let (status, text, state) = act(r#"{"study": 0, "action": {"drain": {}}}"#);
        assert_eq!((status, state), (200, TrialState::Failed));
        assert!(
            text.contains("\"ok\":false") && text.contains("no process is running"),
            "{text}"
        );
        let (status, text, state) = act(r#"{"study": 0, "action": {"retry": {"trial": 1}}}"#);
        assert_eq!((status, state), (200, TrialState::Waiting));
        assert!(
            text.contains("\"ok\":true") && text.contains("will run again"),
            "{text}"
        );
        let (status, text, state) = act(r#"{"study": 0, "action": {"stop_trial": {"trial": 1}}}"#);
        assert_eq!((status, state), (200, TrialState::Stopped));
        assert!(
            text.contains("\"ok\":true") && text.contains("stopped trial 1"),
            "{text}"
        );
        let (_, text, _) = act(r#"{"study": 0, "action": {"trials": {"trials": 500}}}"#);
        assert!(
            text.contains("\"ok\":true") && text.contains("→ 500 trials"),
            "{text}"
        );
        for body in [
            "",
            "null",
            r#"{"study": 0}"#,
            r#"{"study": 0, "action": "remove"}"#,
            r#"{"study": 0, "action": {"retry": {"trial": 1, "shell": "x"}}}"#,
        ] {
            assert_eq!(act(body).0, 400, "{body}");
        }
        assert_eq!(act(r#"{"study": 7, "action": {"drain": {}}}"#).0, 404);
    }
}
