//! Any batch system, called by the command lines in the sweep file: submit, list, cancel, and a
//! pattern for its job ids.

use super::pilot::engine::{
    CallError, Engine, Job, ListedJob, Phase, SubmitError, Submitted, call, one_line,
};
use super::pilot::{self, Fleet, Options};
use super::{Executor, ExecutorError, Share, Site, Work};
use regex::Regex;
use std::time::Duration;
use swath_model::source::opt::joined;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::study::Kind;

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
const PLACEHOLDERS: &[&str] = &[
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
        let waiting = texts(section, "waiting", diagnostics);
        let over = texts(section, "over", diagnostics);
        let has_no_id = listed
            .as_ref()
            .is_some_and(|regex| regex.capture_names().flatten().all(|name| name != "id"));
        if has_no_id {
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

fn texts(section: &mut Section, key: &'static str, diagnostics: &mut Diagnostics) -> Vec<String> {
    section
        .take_texts(key, diagnostics)
        .map(|(words, _)| words)
        .unwrap_or_default()
}

/// Takes a command line and reports an error if it is missing, empty or has unknown placeholders.
fn command(
    section: &mut Section,
    key: &'static str,
    is_required: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<String>> {
    let span = section.span.clone();
    let before = diagnostics.list.len();
    let Some((words, span)) = section.take_texts(key, diagnostics) else {
        if is_required && diagnostics.list.len() == before && !section.has_misspelled(key) {
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
        for placeholder in placeholders(word) {
            if !PLACEHOLDERS.contains(&placeholder) {
                let message = format!("`{{{placeholder}}}` is not a placeholder of `{key}`");
                let error = Diagnostic::error("bad-placeholder", message).at(span.clone(), "");
                diagnostics.push(error.did_you_mean(placeholder, PLACEHOLDERS.iter().copied()));
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
        Some(pattern) => pattern,
        None if key == "id" => (ID.to_owned(), section.span.clone()),
        None => return None,
    };
    match Regex::new(&text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let message = format!("`{key}` is not a valid regular expression");
            diagnostics.push(Diagnostic::error("bad-pattern", message).at(span, error.to_string()));
            None
        }
    }
}

/// Returns the placeholders in a word. Only lower-case letters and `_` form one, so that braces of
/// a shell or a pattern do not.
fn placeholders(word: &str) -> impl Iterator<Item = &str> {
    word.split('{')
        .skip(1)
        .filter_map(|part| Some(part.split_once('}')?.0))
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
    words.iter().map(|word| fill(word, values)).collect()
}

fn fill(word: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(word.to_owned(), |word, (name, value)| {
        word.replace(&format!("{{{name}}}"), value)
    })
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
    fn parse_line(&self, line: &str, batches: &[Submitted]) -> Option<ListedJob> {
        let (batch, id, state) = match &self.lines.listed {
            Some(regex) => {
                let groups = regex.captures(line)?;
                let id = groups.name("id")?.as_str();
                let batch = groups
                    .name("name")
                    .and_then(|name| named(batches, name.as_str()))
                    .or_else(|| batches.iter().find(|batch| batch.id.as_deref() == Some(id)))?;
                let state = groups.name("state").map(|state| state.as_str());
                (batch, id.to_owned(), state.unwrap_or_default().to_owned())
            }
            None => {
                // Without a pattern, the name or the id of a submission is searched among the words
                // of the line. The name comes first, because it is never used twice.
                let words = line.split(|c: char| c.is_whitespace() || c == '|' || c == ',');
                let batch = words
                    .clone()
                    .find_map(|word| named(batches, word))
                    .or_else(|| {
                        batches.iter().find(|batch| {
                            words.clone().any(|word| Some(word) == batch.id.as_deref())
                        })
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
        Some(ListedJob {
            batch: batch.name.clone(),
            index: 0,
            id,
            phase,
        })
    }
}

fn named<'a>(batches: &'a [Submitted], name: &str) -> Option<&'a Submitted> {
    batches.iter().find(|batch| batch.name == name)
}

/// Returns the first group of a match, or the whole match.
fn first(regex: &Regex, text: &str) -> Option<String> {
    let groups = regex.captures(text)?;
    groups
        .get(1)
        .or_else(|| groups.get(0))
        .map(|group| group.as_str().to_owned())
}

impl Engine for Template {
    fn max_array_size(&mut self) -> u32 {
        1
    }

    fn submit(&mut self, job: &Job) -> Result<String, SubmitError> {
        let words = filled(&self.lines.submit, &values(job));
        match call(&words, if self.lines.stdin { &job.script } else { "" }) {
            Err(CallError::NoProgram(words)) => Err(SubmitError::Refused(words)),
            // The program was killed after its time limit: the job may exist.
            Err(CallError::TooLong(words)) => Err(SubmitError::Unknown(words)),
            Ok(answer) if answer.success => first(&self.lines.id, &answer.out).ok_or_else(|| {
                SubmitError::Unknown(format!(
                    "the output of `submit` contains no id: {}",
                    one_line(&answer.out)
                ))
            }),
            Ok(answer) => {
                let message = one_line(&format!("{}\n{}", answer.err, answer.out));
                let is_limit = self
                    .lines
                    .later
                    .as_ref()
                    .is_some_and(|regex| regex.is_match(&message));
                Err(if is_limit {
                    SubmitError::Later(message)
                } else {
                    SubmitError::Refused(message)
                })
            }
        }
    }

    fn list(&mut self, batches: &[Submitted]) -> Result<Vec<ListedJob>, String> {
        let answer = call(&self.lines.list, "").map_err(CallError::message)?;
        if !answer.success {
            return Err(one_line(&answer.err));
        }
        Ok(answer
            .out
            .lines()
            .filter_map(|line| self.parse_line(line, batches))
            .collect())
    }

    fn cancel(&mut self, ids: &[String]) -> Result<(), String> {
        for id in ids {
            let answer = call(&filled(&self.lines.cancel, &[("id", id.clone())]), "")
                .map_err(CallError::message)?;
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
    use swath_model::source::Table;

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
                .map(|diagnostic| diagnostic.message)
                .collect(),
        )
    }

    #[test]
    fn jobs_are_recognised_by_name_if_it_is_listed_and_by_id_otherwise() {
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
            .parse_line("7.host  me  batch  swath-a-1  R 00:01", &batches)
            .unwrap();
        assert_eq!((seen.id.as_str(), seen.phase), ("7.host", Phase::Running));
        assert!(engine.parse_line("7.host  me  R", &batches).is_some());
        assert!(engine.parse_line("77.host  me  R", &batches).is_none());
        let text = format!(
            "{text}listed = '^(?<id>\\S+)\\s+\\S+\\s+(?<state>\\w)'\nwaiting = ['Q']\nover = ['C']"
        );
        let engine = Template {
            lines: lines(&text).0.unwrap(),
        };
        for (line, phase) in [
            ("7.host me Q", Phase::Waiting("Q".into())),
            ("7.host me C", Phase::Over("the batch system says C".into())),
        ] {
            assert_eq!(engine.parse_line(line, &batches).unwrap().phase, phase);
        }
    }

    #[test]
    fn missing_and_wrong_keys_of_a_template_are_reported() {
        let (none, messages) = lines("submit = ['qsub', '{scirpt}']\nlist = []\nid = '('");
        assert!(none.is_none());
        let expected = [
            "`{scirpt}` is not a placeholder of `submit`",
            "`list` is empty",
            "the executor `command` needs `cancel`",
            "`id` is not a valid regular expression",
        ];
        assert_eq!(messages, expected);
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
    fn the_templates_of_the_manual_parse_the_output_of_their_batch_systems() {
        let page = include_str!("../../../../docs/clusters.md");
        for (heading, submitted, waiting, running) in PRINTED {
            let template = page
                .split(heading)
                .nth(1)
                .and_then(|rest| rest.split("```").nth(1))
                .unwrap();
            let text: String = template
                .lines()
                .skip(1)
                .filter(|line| !line.starts_with('[') && !line.starts_with("name ="))
                .map(|line| format!("{line}\n"))
                .collect();
            let (lines, messages) = lines(&text);
            assert_eq!(messages, [] as [&str; 0], "{heading}");
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
            let waiting = engine.parse_line(waiting, &batches);
            assert!(waiting.is_some(), "{heading}");
            // Two templates do not name the column of the state, so no job is known to wait.
            if engine.lines.listed.is_some() {
                assert!(
                    waiting.is_some_and(|job| matches!(job.phase, Phase::Waiting(_))),
                    "{heading}"
                );
            }
            let other = running.replace("77", "78").replace("swath-a-1", "another");
            let running = engine.parse_line(running, &batches).unwrap();
            assert_eq!(
                (running.id.as_str(), running.phase),
                ("77", Phase::Running),
                "{heading}"
            );
            assert_eq!(engine.parse_line(&other, &batches), None, "{heading}");
        }
    }
}
