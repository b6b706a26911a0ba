//! Any batch system, called by the command lines in the sweep file: submit, list, cancel, and a
//! pattern for its job ids.

use super::pilot::engine::{
    CallError, Engine, Job, Phase, Seen, SubmitError, Submitted, call, one_line,
};
use super::pilot::{self, Fleet, Options};
use super::{Executor, ExecutorError, Share, Site, Work};
use crate::source::opt::joined;
use crate::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use crate::study::Kind;
use regex::Regex;
use std::time::Duration;

pub(super) const KIND: Kind<dyn Site> = Kind {
    name: "command",
    about: "trials run in jobs of any batch system, by command lines that submit, list and cancel them",
    paper: None,
    options: &OPTIONS,
    capabilities: &[],
    build: |mut section, _, diagnostics| {
        let before = diagnostics.list.len();
        let options = Options::take(&mut section, diagnostics);
        let lines = Lines::take(&mut section, diagnostics);
        let lines = lines.filter(|_| diagnostics.list.len() == before)?;
        Some(Box::new(ByCommand { options, lines }) as Box<dyn Site>)
    },
};

/// Default pattern for the job id in the output of `submit`.
const ID: &str = r"\d+(?:\.[\w.-]+)?";

const OPTIONS: [Opt; pilot::OPTIONS.len() + OWN.len()] = joined(pilot::OPTIONS, OWN);

/// The command lines, and the patterns that read their output.
const OWN: &[Opt] = &[
    Opt::new(
        "submit",
        Takes::List(&Takes::Text),
        Preset::Required,
        "submits a job: a program and its arguments, with placeholders",
    ),
    Opt::new(
        "list",
        Takes::List(&Takes::Text),
        Preset::Required,
        "prints the jobs that are not over, one a line",
    ),
    Opt::new(
        "cancel",
        Takes::List(&Takes::Text),
        Preset::Required,
        "cancels the job `{id}`",
    ),
    Opt::new(
        "id",
        Takes::Pattern,
        Preset::Text(ID),
        "finds the id in the output of `submit`: its first group, or all of it",
    ),
    Opt::new(
        "listed",
        Takes::Pattern,
        Preset::Derived("the id or name as a word of a line"),
        "finds a job in a line of `list`, in groups `id` and, if wanted, `name` and `state`",
    ),
    Opt::new(
        "waiting",
        Takes::List(&Takes::Text),
        Preset::Texts(&[]),
        "the values of `state` of jobs that wait",
    ),
    Opt::new(
        "over",
        Takes::List(&Takes::Text),
        Preset::Texts(&[]),
        "the values of `state` of jobs that are over",
    ),
    Opt::new(
        "later",
        Takes::Pattern,
        Preset::Absent,
        "finds in the output of a refused `submit` that a limit of the site is reached",
    ),
];

/// Environment variables that hold a job's index in an array, for the batch systems with arrays.
const INDEX: &[&str] = &[
    "SLURM_ARRAY_TASK_ID",
    "PBS_ARRAY_INDEX",
    "PBS_ARRAYID",
    "LSB_JOBINDEX",
    "HQ_TASK_ID",
];

/// Placeholders that are allowed in command lines.
const PLACES: &[&str] = &[
    "script",
    "name",
    "log",
    "id",
    "cpus",
    "gpus",
    "memory_mib",
    "walltime",
    "walltime_seconds",
    "walltime_minutes",
];

/// The command lines and the patterns that read their output.
#[derive(Debug, Clone)]
struct Lines {
    submit: Vec<String>,
    list: Vec<String>,
    cancel: Vec<String>,
    /// Pattern for the id in the output of `submit`; its first group, if it has one.
    id: Regex,
    /// Pattern for a line of `list`, with the group `id` and optionally the groups `name` and
    /// `state`.
    listed: Option<Regex>,
    waiting: Vec<String>,
    over: Vec<String>,
    /// Pattern for the output of a refused `submit` if a limit of the site is reached.
    later: Option<Regex>,
    /// Whether `submit` gets the script on its standard input.
    stdin: bool,
}

impl Lines {
    fn take(section: &mut Section, diagnostics: &mut Diagnostics) -> Option<Self> {
        let span = section.span.clone();
        let submit = command(section, "submit", true, diagnostics);
        let list = command(section, "list", true, diagnostics);
        let cancel = command(section, "cancel", true, diagnostics);
        let id = pattern(section, "id", diagnostics);
        let listed = pattern(section, "listed", diagnostics);
        let later = pattern(section, "later", diagnostics);
        let texts = |section: &mut Section, key, diagnostics: &mut Diagnostics| {
            section
                .take_texts(key, diagnostics)
                .map(|(words, _)| words)
                .unwrap_or_default()
        };
        let waiting = texts(section, "waiting", diagnostics);
        let over = texts(section, "over", diagnostics);
        let has_id = |regex: &Regex| regex.capture_names().flatten().any(|name| name == "id");
        if listed.as_ref().is_some_and(|regex| !has_id(regex)) {
            let error = Diagnostic::error("bad-pattern", "`listed` has no group named `id`");
            diagnostics.push(
                error
                    .at(span, "")
                    .hint(r"such as listed = '^\s*(?<id>\d+)\s+(?<name>\S+)\s+(?<state>\S+)'"),
            );
            return None;
        }
        let submit = submit?;
        let stdin = !submit.iter().any(|word| word.contains("{script}"));
        Some(Self {
            submit,
            list: list?,
            cancel: cancel?,
            id: id?,
            listed,
            waiting,
            over,
            later,
            stdin,
        })
    }
}

/// Takes a command line and reports an error if it is missing, empty or has unknown placeholders.
fn command(
    section: &mut Section,
    key: &'static str,
    needed: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<String>> {
    let span = section.span.clone();
    let before = diagnostics.list.len();
    let Some((words, span)) = section.take_texts(key, diagnostics) else {
        if needed && diagnostics.list.len() == before {
            let error = Diagnostic::error(
                "missing-key",
                format!("the executor `command` needs `{key}`"),
            );
            diagnostics.push(error.at(span, "").hint(
                "docs/clusters.md has templates for PBS, LSF, Grid Engine, OAR, HTCondor and HyperQueue",
            ));
        }
        return None;
    };
    if words.first().is_none_or(String::is_empty) {
        diagnostics
            .push(Diagnostic::error("missing-command", format!("`{key}` is empty")).at(span, ""));
        return None;
    }
    for word in &words {
        for place in places(word) {
            if !PLACES.contains(&place) {
                let message = format!("`{{{place}}}` is nothing that `{key}` is told");
                let error = Diagnostic::error("bad-placeholder", message).at(span.clone(), "");
                diagnostics.push(error.did_you_mean(place, PLACES.iter().copied()));
                return None;
            }
        }
    }
    Some(words)
}

/// Takes a regular expression; `id` has a default.
fn pattern(
    section: &mut Section,
    key: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<Regex> {
    let (text, span) = match section.take_text(key, diagnostics) {
        Some(found) => found,
        None if key == "id" => (ID.to_owned(), section.span.clone()),
        None => return None,
    };
    match Regex::new(&text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let message = format!("`{key}` is no regular expression");
            diagnostics.push(Diagnostic::error("bad-pattern", message).at(span, error.to_string()));
            None
        }
    }
}

/// Returns the placeholders in a word. Only lower-case letters and `_` form one, so that braces of
/// a shell or a pattern do not.
fn places(word: &str) -> impl Iterator<Item = &str> {
    let name = |part: &'_ str| part.split_once('}').map(|(name, _)| name.len());
    word.split('{')
        .skip(1)
        .filter_map(move |part| part.get(..name(part)?))
        .filter(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
}

struct ByCommand {
    options: Options,
    lines: Lines,
}

impl Site for ByCommand {
    fn slots(&self, share: &Share) -> usize {
        self.options.jobs(share)
    }

    fn outlives(&self) -> bool {
        true
    }

    fn open(&self, work: Work) -> Result<Box<dyn Executor>, ExecutorError> {
        let engine = Box::new(Template {
            lines: self.lines.clone(),
        });
        // One submission is one job: templates do not use arrays.
        Ok(Box::new(Fleet::open(engine, &self.options, INDEX, work)?))
    }
}

/// The engine that runs the command lines.
struct Template {
    lines: Lines,
}

/// Replaces the placeholders in a command line by their values.
fn filled(words: &[String], values: &[(&str, String)]) -> Vec<String> {
    let fill = |word: &String| {
        values.iter().fold(word.clone(), |word, (name, value)| {
            word.replace(&format!("{{{name}}}"), value)
        })
    };
    words.iter().map(fill).collect()
}

fn values(job: &Job) -> Vec<(&'static str, String)> {
    let walltime = job.walltime.unwrap_or(Duration::from_secs(24 * 3600));
    let seconds = walltime.as_secs();
    vec![
        ("script", job.path.display().to_string()),
        ("name", job.name.clone()),
        ("log", job.log.replace("{index}", "0")),
        ("cpus", job.cpus.to_string()),
        ("gpus", job.gpus.to_string()),
        (
            "memory_mib",
            job.memory
                .map_or(0, |bytes| bytes.div_ceil(1 << 20))
                .to_string(),
        ),
        (
            "walltime",
            format!(
                "{:02}:{:02}:{:02}",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60
            ),
        ),
        ("walltime_seconds", seconds.to_string()),
        ("walltime_minutes", seconds.div_ceil(60).to_string()),
    ]
}

impl Template {
    /// Parses a line of `list`; `None` if it contains no job of these submissions.
    fn seen(&self, line: &str, batches: &[Submitted]) -> Option<Seen> {
        let by_name = |name: &str| batches.iter().find(|batch| batch.name == name);
        let (batch, id, state) = match &self.lines.listed {
            Some(regex) => {
                let groups = regex.captures(line)?;
                let group = |name| groups.name(name).map(|found| found.as_str());
                let id = group("id")?;
                let batch = group("name")
                    .and_then(by_name)
                    .or_else(|| batches.iter().find(|batch| batch.id.as_deref() == Some(id)))?;
                (
                    batch,
                    id.to_owned(),
                    group("state").unwrap_or_default().to_owned(),
                )
            }
            None => {
                let words = || line.split(|c: char| c.is_whitespace() || c == '|' || c == ',');
                let named = words().find_map(by_name);
                let batch = named.or_else(|| {
                    let has =
                        |batch: &&Submitted| words().any(|word| Some(word) == batch.id.as_deref());
                    batches.iter().find(has)
                })?;
                let id = batch.id.clone().or_else(|| first(&self.lines.id, line))?;
                (batch, id, String::new())
            }
        };
        let phase = if self.lines.over.contains(&state) {
            Phase::Over(format!("the batch system says {state}"))
        } else if self.lines.waiting.contains(&state) {
            Phase::Waiting(state)
        } else {
            Phase::Running
        };
        Some(Seen {
            batch: batch.name.clone(),
            index: 0,
            id,
            phase,
        })
    }
}

/// Returns the first group of a match, or the whole match.
fn first(regex: &Regex, text: &str) -> Option<String> {
    let groups = regex.captures(text)?;
    groups
        .get(1)
        .or_else(|| groups.get(0))
        .map(|found| found.as_str().to_owned())
}

impl Engine for Template {
    fn most_at_once(&mut self) -> u32 {
        1
    }

    fn submit(&mut self, job: &Job) -> Result<String, SubmitError> {
        let words = filled(&self.lines.submit, &values(job));
        match call(&words, if self.lines.stdin { &job.script } else { "" }) {
            Err(CallError::NoProgram(words)) => Err(SubmitError::Refused(words)),
            // The program was killed after its time limit: the job may exist.
            Err(CallError::TooLong(words)) => Err(SubmitError::Maybe(words)),
            Ok(answer) if answer.success => first(&self.lines.id, &answer.out).ok_or_else(|| {
                SubmitError::Maybe(format!(
                    "no id was found in what `submit` printed: {}",
                    one_line(&answer.out)
                ))
            }),
            Ok(answer) => {
                let said = one_line(&format!("{}\n{}", answer.err, answer.out));
                let later = self
                    .lines
                    .later
                    .as_ref()
                    .is_some_and(|regex| regex.is_match(&said));
                Err(if later {
                    SubmitError::Later(said)
                } else {
                    SubmitError::Refused(said)
                })
            }
        }
    }

    fn list(&mut self, batches: &[Submitted]) -> Result<Vec<Seen>, String> {
        let answer = call(&self.lines.list, "").map_err(CallError::words)?;
        if !answer.success {
            return Err(one_line(&answer.err));
        }
        Ok(answer
            .out
            .lines()
            .filter_map(|line| self.seen(line, batches))
            .collect())
    }

    fn cancel(&mut self, ids: &[String]) -> Result<(), String> {
        for id in ids {
            let answer = call(&filled(&self.lines.cancel, &[("id", id.clone())]), "")
                .map_err(CallError::words)?;
            if !answer.success {
                return Err(one_line(&answer.err));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Table;

    fn lines(text: &str) -> (Option<Lines>, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let table = Table::parse(text, &mut diagnostics);
        let mut section = Section::new("executor", 0..0, table);
        let lines = Lines::take(&mut section, &mut diagnostics);
        section.finish(&mut diagnostics);
        (
            lines,
            diagnostics
                .list
                .into_iter()
                .map(|found| found.message)
                .collect(),
        )
    }

    #[test]
    fn jobs_are_found_by_name_where_that_is_listed_and_by_id_where_it_is_not() {
        let text = "submit = ['qsub', '{script}']\nlist = ['qstat']\ncancel = ['qdel', '{id}']\n";
        let batches = [Submitted {
            name: "swath-a-1".into(),
            id: Some("7.host".into()),
            count: 1,
        }];
        let engine = Template {
            lines: lines(text).0.unwrap(),
        };
        let seen = engine
            .seen("7.host  me  batch  swath-a-1  R 00:01", &batches)
            .unwrap();
        assert_eq!((seen.id.as_str(), seen.phase), ("7.host", Phase::Running));
        assert!(engine.seen("7.host  me  R", &batches).is_some());
        assert!(engine.seen("77.host  me  R", &batches).is_none());
        let text = format!(
            "{text}listed = '^(?<id>\\S+)\\s+\\S+\\s+(?<state>\\w)'\nwaiting = ['Q']\nover = ['C']"
        );
        let engine = Template {
            lines: lines(&text).0.unwrap(),
        };
        let phase = |line| engine.seen(line, &batches).map(|seen| seen.phase);
        assert_eq!(phase("7.host me Q"), Some(Phase::Waiting("Q".into())));
        assert_eq!(
            phase("7.host me C"),
            Some(Phase::Over("the batch system says C".into()))
        );
    }

    #[test]
    fn what_is_missing_or_wrong_in_a_template_is_named() {
        let (none, said) = lines("submit = ['qsub', '{scirpt}']\nlist = []\nid = '('");
        assert!(none.is_none());
        let wanted = [
            "`{scirpt}` is nothing that `submit` is told",
            "`list` is empty",
            "the executor `command` needs `cancel`",
            "`id` is no regular expression",
        ];
        assert_eq!(said, wanted);
    }

    /// Templates of the manual: the heading, the output of the batch system after a submission, and
    /// its lists of a waiting and of a running job.
    const PRINTED: [(&str, &str, &str, &str); 7] = [
        (
            "<!-- template: slurm -->",
            "77\n",
            "  77 swath-a-1 PENDING",
            "  77 swath-a-1 RUNNING",
        ),
        (
            "PBS:",
            "77.pbs.site.org\n",
            "77.pbs            swath-a-*        me                       0 Q workq",
            "77.pbs            swath-a-*        me                00:00:01 R workq",
        ),
        (
            "LSF:",
            "Job <77> is submitted to default queue <normal>.\n",
            "77      me      PEND  normal     login       -           swath-a-1  Nov 21 14:23",
            "77      me      RUN   normal     login       node1       swath-a-1  Nov 21 14:23",
        ),
        (
            "Grid Engine:",
            "Your job 77 (\"swath-a-1\") has been submitted\n",
            "     77 0.00000 swath-a-1  me           qw    11/21/2026 11:53:52                                    1",
            "     77 0.55500 swath-a-1  me           r     11/21/2026 11:53:59 all.q@node1                        1",
        ),
        (
            "OAR:",
            "[ADMISSION RULE] Modify resource description\nOAR_JOB_ID=77\n",
            "77         swath-a-1      me             2026-11-21 12:40:12 W default",
            "77         swath-a-1      me             2026-11-21 12:40:12 R default",
        ),
        (
            "HTCondor (",
            "77.0 - 77.0\n",
            "77 swath-a-1 1",
            "77 swath-a-1 2",
        ),
        (
            "HyperQueue:",
            "77\n",
            "|  77 | swath-a-1 | WAITING | 1     |",
            "|  77 | swath-a-1 | RUNNING | 1     |",
        ),
    ];

    #[test]
    fn the_templates_of_the_manual_understand_what_their_batch_systems_print() {
        let page = include_str!("../../../../docs/clusters.md");
        for (heading, submitted, waiting, running) in PRINTED {
            let template = page
                .split(heading)
                .nth(1)
                .and_then(|rest| rest.split("```").nth(1))
                .unwrap();
            let keys = |line: &&str| !line.starts_with('[') && !line.starts_with("name =");
            let text: String = template
                .lines()
                .skip(1)
                .filter(keys)
                .map(|line| format!("{line}\n"))
                .collect();
            let (lines, said) = lines(&text);
            assert_eq!(said, [] as [&str; 0], "{heading}");
            let engine = Template {
                lines: lines.unwrap(),
            };
            let id = first(&engine.lines.id, submitted);
            assert_eq!(id.as_deref(), Some("77"), "{heading}");
            let batches = [Submitted {
                name: "swath-a-1".into(),
                id,
                count: 1,
            }];
            let seen = |line| {
                engine
                    .seen(line, &batches)
                    .map(|seen| (seen.id, seen.phase))
            };
            assert!(seen(waiting).is_some(), "{heading}");
            // Two templates do not name the column of the state, so no job is known to wait.
            if engine.lines.listed.is_some() {
                assert!(
                    matches!(seen(waiting), Some((_, Phase::Waiting(_)))),
                    "{heading}"
                );
            }
            assert_eq!(
                seen(running),
                Some(("77".to_owned(), Phase::Running)),
                "{heading}"
            );
            assert_eq!(
                seen(&running.replace("77", "78").replace("swath-a-1", "another")),
                None,
                "{heading}"
            );
        }
    }
}
