//! Any batch system, called by the command lines in the sweep file: submit, list, cancel, and a
//! pattern for its job ids.

mod line;
mod templates;

use super::pilot::engine::{
    CallError, Engine, Job, ListedJob, Phase, SubmitError, Submitted, call, one_line,
};
use super::pilot::{self, Fleet, Options};
use super::{Executor, ExecutorError, Share, Site, Work};
use line::{CommandLine, Value};
use regex::Regex;
use swath_model::source::opt::joined;
use swath_model::source::units::{Bytes, HumanDuration};
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

/// The default of an option that must be set without a template.
const REQUIRED: Preset = Preset::Derived("required without a template");

/// The command lines, and the patterns that read their output.
const OWN: &[Opt] = &[
    Opt::new(
        "template",
        Takes::OneOf(templates::NAMES),
        Preset::Absent,
        "a batch system whose command lines are the defaults of the options below",
    ),
    Opt::new(
        "extra",
        Takes::List(&Takes::Text),
        Preset::Texts(&[]),
        "further words for `submit`, in place of its word `{extra}`",
    ),
    Opt::new(
        "submit",
        line::TAKES,
        REQUIRED,
        "submits a job: a program and its arguments, with placeholders; a list within the list falls away if the job has no value for one of its placeholders",
    ),
    Opt::new(
        "list",
        line::TAKES,
        REQUIRED,
        "prints the jobs that are not over, one a line",
    ),
    Opt::new("cancel", line::TAKES, REQUIRED, "cancels the job `{id}`"),
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
        "finds a job in a line of `list`, in groups `id` and, if wanted, `name`, `state` and `reason`",
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
        "never",
        Takes::Pattern,
        Preset::Absent,
        "finds in the `state` and `reason` of a job that waits that it can never start",
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

/// The command lines and the patterns that read their output.
#[derive(Debug, Clone)]
struct Lines {
    submit: CommandLine,
    list: CommandLine,
    cancel: CommandLine,
    /// Pattern for the id in the output of `submit`; its first group, if it has one.
    id: Regex,
    /// Pattern for a line of `list`, with the group `id` and optionally the groups `name`, `state`
    /// and `reason`.
    listed: Option<Regex>,
    waiting: Vec<String>,
    over: Vec<String>,
    /// Pattern for the state and reason of a waiting job that can never start.
    never: Option<Regex>,
    /// Pattern for the output of a refused `submit` if a limit of the site is reached.
    later: Option<Regex>,
    /// Whether `submit` gets the script on its standard input.
    stdin: bool,
}

impl Lines {
    fn take(section: &mut Section, diagnostics: &mut Diagnostics) -> Option<Self> {
        let span = section.span.clone();
        templates::take(section, diagnostics)?;
        let extra = section.take_texts("extra", diagnostics);
        let submit = CommandLine::take(section, "submit", diagnostics);
        let list = CommandLine::take(section, "list", diagnostics);
        let cancel = CommandLine::take(section, "cancel", diagnostics);
        let id = pattern(section, "id", diagnostics);
        let listed = pattern(section, "listed", diagnostics);
        let never = pattern(section, "never", diagnostics);
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
        let mut submit = submit?;
        if let Some((_, span)) = submit.insert_extra(extra) {
            let error = Diagnostic::error("no-place", "`submit` has no word `{extra}`");
            let hint = "add these words to `submit` itself";
            diagnostics.push(error.at(span, "").hint(hint));
            return None;
        }
        let stdin = !submit.has_placeholder(&["script"]);
        Some(Self {
            submit,
            list: list?,
            cancel: cancel?,
            id: id?,
            listed,
            waiting,
            over,
            never,
            later,
            stdin,
        })
    }
}

impl Lines {
    /// Reports an error if jobs ask for a resource that `submit` does not pass, and a warning if
    /// `submit` passes it although jobs do not ask for it. `amount` describes the request, if there
    /// is one; `placeholders` are the ones that pass it.
    fn check_resource(
        &self,
        amount: Option<String>,
        placeholders: &[&'static str],
        diagnostics: &mut Diagnostics,
    ) {
        let Some(first) = placeholders.first() else {
            return;
        };
        if let Some(amount) = amount {
            if !self.submit.has_placeholder(placeholders) {
                let message = format!("a job asks for {amount}, but `submit` does not pass it");
                let hint = format!(
                    "add `{{{first}}}` to `submit`, in the words of your batch system: {}",
                    example(first)
                );
                let error = Diagnostic::error("resource-not-passed", message);
                diagnostics.push(error.at(self.submit.span.clone(), "").hint(hint));
            }
        } else if ["memory_mib", "walltime"].contains(first)
            && self.submit.always_passes(placeholders)
        {
            let (option, substitute) = match *first {
                "walltime" => ("walltime", "24 hours"),
                _ => ("memory", "0 MiB"),
            };
            let message = format!(
                "`submit` passes `{{{first}}}`, but no `{option}` is set: jobs ask for {substitute}"
            );
            let hint = format!(
                "set `{option}` in [executor], or put the words into a list of their own, which falls away: {}",
                example(first)
            );
            let warning = Diagnostic::warning("no-value", message);
            diagnostics.push(warning.at(self.submit.span.clone(), "").hint(hint));
        }
    }
}

/// Returns words of PBS that pass a resource.
fn example(placeholder: &str) -> &'static str {
    match placeholder {
        "cpus" => r#""-l", "ncpus={cpus}""#,
        "gpus" => r#"["-l", "ngpus={gpus}"]"#,
        "memory_mib" => r#"["-l", "mem={memory_mib}mb"]"#,
        _ => r#"["-l", "walltime={walltime}"]"#,
    }
}

fn texts(section: &mut Section, key: &'static str, diagnostics: &mut Diagnostics) -> Vec<String> {
    section
        .take_texts(key, diagnostics)
        .map(|(words, _)| words)
        .unwrap_or_default()
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

    fn check(&self, share: &Share, diagnostics: &mut Diagnostics) {
        let slots = self.options.slots_per_job(share);
        let (cpus, gpus, memory) = self.options.of_job(share, slots);
        // Without a number in the sweep file, the cores only follow from the slots.
        let has_cpus = share.cpus.is_some() || self.options.has_cpus();
        self.lines.check_resource(
            (has_cpus && cpus > 1).then(|| format!("{cpus} cores")),
            &["cpus"],
            diagnostics,
        );
        self.lines.check_resource(
            (gpus > 0).then(|| format!("{gpus} GPU{}", if gpus == 1 { "" } else { "s" })),
            &["gpus"],
            diagnostics,
        );
        self.lines.check_resource(
            memory.map(|bytes| format!("{} of memory", Bytes(bytes))),
            &["memory_mib", "memory_bytes"],
            diagnostics,
        );
        let walltime = self.options.walltime;
        self.lines.check_resource(
            walltime.map(|walltime| format!("a walltime of {}", HumanDuration(walltime))),
            &["walltime", "walltime_seconds", "walltime_minutes"],
            diagnostics,
        );
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

/// Returns the values of the placeholders of `submit`.
fn values(job: &Job) -> Vec<Value> {
    let seconds = job.walltime.map(|walltime| walltime.as_secs());
    let mut values = vec![
        Value::known("script", job.path.display().to_string()),
        Value::known("name", job.name.clone()),
        Value::known("log", job.log.replace("{index}", "0")),
        Value::known("cpus", job.cpus.to_string()),
    ];
    let gpus = Some(job.gpus).filter(|gpus| *gpus > 0);
    let memory_mib = job.memory.map(|bytes| bytes.div_ceil(1 << 20));
    // The substitutes are for words that are passed even without a value, as templates did before
    // words could be optional.
    for (placeholder, text, substitute) in [
        ("gpus", gpus.map(|gpus| gpus.to_string()), "0"),
        ("memory_mib", memory_mib.map(|mib| mib.to_string()), "0"),
        (
            "memory_bytes",
            job.memory.map(|bytes| bytes.to_string()),
            "0",
        ),
        ("walltime", seconds.map(clock), "24:00:00"),
        (
            "walltime_seconds",
            seconds.map(|seconds| seconds.to_string()),
            "86400",
        ),
        (
            "walltime_minutes",
            seconds.map(|seconds| seconds.div_ceil(60).to_string()),
            "1440",
        ),
    ] {
        values.push(Value {
            placeholder,
            text,
            substitute,
        });
    }
    values
}

/// Returns a number of seconds as `HH:MM:SS`.
fn clock(seconds: u64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

impl Template {
    /// Parses a line of `list`; `None` if it contains no job of these submissions.
    fn parse_line(&self, line: &str, batches: &[Submitted]) -> Option<ListedJob> {
        let (batch, id, state, reason) = match &self.lines.listed {
            Some(regex) => {
                let groups = regex.captures(line)?;
                let id = groups.name("id")?.as_str();
                let batch = groups
                    .name("name")
                    .and_then(|name| named(batches, name.as_str()))
                    .or_else(|| batches.iter().find(|batch| batch.id.as_deref() == Some(id)))?;
                let text = |group| groups.name(group).map_or("", |text| text.as_str().trim());
                (batch, id.to_owned(), text("state"), text("reason"))
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
                (batch, id, "", "")
            }
        };
        let phase = if self.lines.over.iter().any(|over| over == state) {
            Phase::Over(format!("the batch system says {state}"))
        } else if self.lines.waiting.iter().any(|waiting| waiting == state) {
            self.lines.queue_phase(state, reason)
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

impl Lines {
    /// Returns the phase of a job in the queue.
    fn queue_phase(&self, state: &str, reason: &str) -> Phase {
        let words: Vec<&str> = [state, reason]
            .into_iter()
            .filter(|words| !words.is_empty())
            .collect();
        let words = words.join(", ");
        match &self.never {
            Some(never) if never.is_match(&words) => {
                Phase::Blocked(format!("{words}: the job as submitted will never start"))
            }
            _ => Phase::Waiting(words),
        }
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
        let words = self.lines.submit.fill(&values(job));
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
        let answer = call(&self.lines.list.fill(&[]), "").map_err(CallError::message)?;
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
            let words = self.lines.cancel.fill(&[Value::known("id", id)]);
            let answer = call(&words, "").map_err(CallError::message)?;
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
    use std::time::Duration;
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
    fn a_job_that_can_never_start_is_said_to_be_so_with_its_reason() {
        let text = "submit = ['s', '{script}']\nlist = ['l']\ncancel = ['c', '{id}']\n\
                    listed = '^(?<id>\\d+) (?<state>\\w)(?<reason>.*)'\nwaiting = ['Q']\n\
                    never = 'Can Never Run'";
        let engine = Template {
            lines: lines(text).0.unwrap(),
        };
        let batches = [Submitted {
            name: "a".into(),
            id: Some("7".into()),
            count: 1,
        }];
        for (line, reason) in [
            ("7 Q", "Q"),
            ("7 Q Not enough cores", "Q, Not enough cores"),
            (
                "7 Q Can Never Run: ncpus",
                "Q, Can Never Run: ncpus: the job as submitted will never start",
            ),
        ] {
            let job = engine.parse_line(line, &batches).unwrap();
            let phase = match reason.contains("never start") {
                true => Phase::Blocked(reason.into()),
                false => Phase::Waiting(reason.into()),
            };
            assert_eq!(job.phase, phase);
        }
    }

    /// Options of `[executor]` that ask for every resource of a job.
    const EVERYTHING: &str = "cpus = 4\ngpus = 1\nmemory = '8 GiB'\nwalltime = '1h'";

    /// Returns the messages about resources that the command lines do not pass.
    fn check(lines: Lines, options: &str) -> Vec<String> {
        let mut diagnostics = Diagnostics::default();
        let table = Table::parse(options, &mut diagnostics);
        let mut section = Section::new("executor", 0..0, table);
        let options = Options::take(&mut section, &mut diagnostics);
        ByCommand { options, lines }.check(&Share::default(), &mut diagnostics);
        diagnostics.list.into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn a_resource_that_a_job_asks_for_and_submit_does_not_pass_is_an_error() {
        let rest = "list = ['qstat']\ncancel = ['qdel', '{id}']\n";
        let bare = lines(&format!("submit = ['qsub', '{{script}}']\n{rest}")).0;
        let expected = [
            "a job asks for 4 cores, but `submit` does not pass it",
            "a job asks for 1 GPU, but `submit` does not pass it",
            "a job asks for 8 GiB of memory, but `submit` does not pass it",
            "a job asks for a walltime of 1h, but `submit` does not pass it",
        ];
        assert_eq!(check(bare.clone().unwrap(), EVERYTHING), expected);
        assert_eq!(check(bare.unwrap(), ""), [] as [&str; 0]);
        let always = lines(&format!(
            "submit = ['qsub', '{{walltime_minutes}}']\n{rest}"
        ))
        .0;
        assert_eq!(
            check(always.unwrap(), ""),
            ["`submit` passes `{walltime}`, but no `walltime` is set: jobs ask for 24 hours"]
        );
    }

    #[test]
    fn a_job_without_a_walltime_gets_the_one_of_the_site() {
        let text = "submit = ['qsub', ['-l', 'walltime={walltime}'], '{script}']\n\
                    list = ['qstat']\ncancel = ['qdel', '{id}']\n";
        let submit = lines(text).0.unwrap().submit;
        let mut job = Job {
            name: "a".into(),
            count: 1,
            script: String::new(),
            path: "/a.sh".into(),
            log: "/a.log".into(),
            cpus: 1,
            gpus: 0,
            memory: None,
            walltime: None,
            avoid: Vec::new(),
            warning: Duration::ZERO,
        };
        assert_eq!(submit.fill(&values(&job)), ["qsub", "/a.sh"]);
        job.walltime = Some(Duration::from_secs(5400));
        assert_eq!(
            submit.fill(&values(&job)),
            ["qsub", "-l", "walltime=01:30:00", "/a.sh"]
        );
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

    /// Templates: the name, the output of the batch system after a submission, and its lists of a
    /// waiting and of a running job.
    const PRINTED: [(&str, &str, &str, &str); 8] = [
        (
            "slurm",
            "77\n",
            "  77 swath-a-1 PENDING Resources",
            "  77 swath-a-1 RUNNING None",
        ),
        (
            "pbs",
            "77.pbs.site.org\n",
            "77.pbs            swath-a-*        me                       0 Q workq",
            "77.pbs            swath-a-*        me                00:00:01 R workq",
        ),
        (
            "lsf",
            "Job <77> is submitted to default queue <normal>.\n",
            "77      me      PEND  normal     login       -           swath-a-1  Nov 21 14:23",
            "77      me      RUN   normal     login       node1       swath-a-1  Nov 21 14:23",
        ),
        (
            "gridengine",
            "Your job 77 (\"swath-a-1\") has been submitted\n",
            "     77 0.00000 swath-a-1  me           qw    11/21/2026 11:53:52                                    1",
            "     77 0.55500 swath-a-1  me           r     11/21/2026 11:53:59 all.q@node1                        1",
        ),
        (
            "oar",
            "[ADMISSION RULE] Modify resource description\nOAR_JOB_ID=77\n",
            "77        W me            0:00:00 R=2,W=0:10:0,J=B,N=swath-a-1",
            "77        R me            0:00:01 R=2,W=0:10:0,J=B,N=swath-a-1 (Karma=0.000)",
        ),
        (
            "htcondor",
            "77.0 - 77.0\n",
            "77 swath-a-1 1 undefined",
            "77 swath-a-1 2 undefined",
        ),
        ("hyperqueue", "77\n", "77 WAITING", "77 RUNNING"),
        (
            "ray",
            "Job '77' submitted successfully\n",
            " JobDetails(type=<JobType.SUBMISSION: 'SUBMISSION'>, job_id=None, submission_id='77', \
             driver_info=None, status=<JobStatus.PENDING: 'PENDING'>, entrypoint='sh -c true',",
            " JobDetails(type=<JobType.SUBMISSION: 'SUBMISSION'>, job_id=None, submission_id='77', \
             driver_info=None, status=<JobStatus.RUNNING: 'RUNNING'>, entrypoint='sh -c true',",
        ),
    ];

    #[test]
    fn the_templates_parse_the_output_of_their_batch_systems() {
        let names = PRINTED.map(|(name, ..)| name);
        assert_eq!(names, templates::NAMES);
        for (name, submitted, waiting, running) in PRINTED {
            let (lines, messages) = lines(&format!("template = '{name}'"));
            assert_eq!(messages, [] as [&str; 0], "{name}");
            let lines = lines.unwrap();
            assert_eq!(check(lines.clone(), EVERYTHING), [] as [&str; 0], "{name}");
            assert_eq!(check(lines.clone(), ""), [] as [&str; 0], "{name}");
            let engine = Template { lines };
            let id = first(&engine.lines.id, submitted);
            assert_eq!(id.as_deref(), Some("77"), "{name}");
            let batches = [Submitted {
                name: "swath-a-1".into(),
                id,
                count: 1,
            }];
            let waiting = engine.parse_line(waiting, &batches).unwrap();
            assert!(matches!(waiting.phase, Phase::Waiting(_)), "{name}");
            let other = running.replace("77", "78").replace("swath-a-1", "another");
            let running = engine.parse_line(running, &batches).unwrap();
            assert_eq!(
                (running.id.as_str(), running.phase),
                ("77", Phase::Running),
                "{name}"
            );
            assert_eq!(engine.parse_line(&other, &batches), None, "{name}");
        }
    }

    #[test]
    fn a_key_of_the_sweep_replaces_that_of_the_template() {
        let text = "template = 'pbs'\nlist = ['qstat', '-u', 'me']\nextra = ['-q', 'long']";
        let (lines, messages) = lines(text);
        assert_eq!(messages, [] as [&str; 0]);
        let lines = lines.unwrap();
        assert_eq!(lines.list.fill(&[]), ["qstat", "-u", "me"]);
        assert_eq!(lines.cancel.fill(&[]), ["qdel", "{id}"]);
        let submit = lines.submit.fill(&[]);
        assert!(submit.ends_with(&["-q", "long", "{script}"].map(str::to_owned)));
    }

    #[test]
    fn an_unknown_template_and_extra_words_without_a_place_are_errors() {
        assert_eq!(lines("template = 'pbz'").1, ["there is no template `pbz`"]);
        let text =
            "submit = ['q', '{script}']\nlist = ['q']\ncancel = ['q', '{id}']\nextra = ['-q']";
        assert_eq!(lines(text).1, ["`submit` has no word `{extra}`"]);
    }
}
