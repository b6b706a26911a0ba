//! A dialogue with a program of the user that decides in place of a sampler or a scheduler.
//!
//! swath writes JSON lines to the standard input of the program: a greeting, the events of the
//! study, and requests. The program answers the greeting and each request with one JSON line on its
//! standard output. `docs/search-programs.md` describes the protocol.
//!
//! The program starts with the first line for it. It is a [companion](super::companion), so Ctrl-C
//! reaches the trials but not the program, which may still be asked while they end. After the first
//! failure the program is killed, and every further request has no answer.

use super::companion::{self, Companion};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, BufWriter, PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use swath_model::source::units::{HumanDuration, duration_of};
use swath_model::source::variables::fill_all;
use swath_model::source::{Diagnostic, Diagnostics, Opt, Preset, Section, Takes};
use swath_model::space::{AxisKind, Extent, Space};
use swath_model::study::{
    Event, Metric, Origin, SearchError, Setting, Study, Trial, TrialId, TrialState,
};

/// The version of the protocol. It changes when an old program would misunderstand a line.
const PROTOCOL: u64 = 1;

/// Time that the program may take for one answer, unless the sweep file sets another.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Time that the program may take to exit after its input ends, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Time after which a program that has not answered is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Maximum number of lines queued for the program.
const QUEUE: usize = 1 << 14;

/// Maximum length of an answer in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Maximum number of characters of a foreign text in an error message.
const QUOTED: usize = 200;

/// The options of a kind that is a program: those of [`Dialogue::take`].
pub(crate) const OPTIONS: [Opt; 2] = [
    Opt::new(
        "command",
        Takes::List(&Takes::Text),
        Preset::Required,
        "the program and its arguments",
    ),
    Opt::new(
        "timeout",
        Takes::Duration,
        Preset::Duration(TIMEOUT),
        "time that the program may take for one answer, its start included",
    ),
];

/// A program, and the state of the dialogue with it.
pub(crate) struct Dialogue {
    /// The part that the program plays: `sampler` or `scheduler`.
    part: &'static str,
    /// The table of the sweep file that has the options, for hints.
    table: &'static str,
    command: Vec<String>,
    /// The time limit of one answer.
    timeout: Duration,
    /// The first line for the program.
    greeting: Value,
    space: Arc<Space>,
    objectives: Vec<swath_model::study::Objective>,
    /// Requests take `&self`, as the queries of samplers and schedulers do.
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The running program; `None` before the first line and after a failure.
    program: Option<Program>,
    /// The program's answer to the greeting.
    welcome: Option<Value>,
    /// Requests since the last event, with their answers. The same request gets the same answer
    /// until the study changes.
    answered: Vec<(Value, Value)>,
    /// The first failure.
    failure: Option<SearchError>,
    /// Whether a decision was needed after the failure. A failure that affects no decision, such as
    /// a missing program of a finished study, is not reported.
    is_asked: bool,
}

/// The running program and its pipes.
struct Program {
    process: Box<dyn Companion>,
    /// Lines for its standard input.
    lines: Sender<Vec<u8>>,
    /// Lines of its standard output.
    answers: Receiver<Vec<u8>>,
    /// The last line that is not empty of its standard error.
    last_error: Arc<Mutex<String>>,
    error_reader: thread::JoinHandle<()>,
}

impl Dialogue {
    /// Takes the options of the program from its table, [`OPTIONS`]. `table` is the name of that
    /// table for messages. Returns `None` after reporting a mistake.
    pub(crate) fn take(
        part: &'static str,
        table: &'static str,
        section: &mut Section,
        setting: &Setting,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let errors_before = diagnostics.list.len();
        let command = section.take_texts("command", diagnostics);
        let timeout = match section.take("timeout") {
            Some(node) => duration_of("timeout", &node, diagnostics)?,
            None => TIMEOUT,
        };
        match command {
            Some((command, _)) if command.first().is_some_and(|program| !program.is_empty()) => {
                Some(Self {
                    part,
                    table,
                    greeting: greeting(part, setting),
                    command,
                    timeout,
                    space: setting.space.clone(),
                    objectives: setting.objectives.clone(),
                    state: RefCell::default(),
                })
            }
            // `command` has the wrong type, which is reported already.
            None if diagnostics.list.len() > errors_before || section.has_misspelled("command") => {
                None
            }
            other => {
                let message = format!("the {part} `program` needs a `command`");
                let span = other.map_or_else(|| section.span.clone(), |(_, span)| span);
                diagnostics.push(
                    Diagnostic::error("missing-command", message)
                        .at(span, "")
                        .hint(format!("such as command = [\"python3\", \"{part}.py\"]")),
                );
                None
            }
        }
    }

    /// Tells the program an event that the study has just applied, with the trials that it changed.
    pub(crate) fn tell(&mut self, study: &Study, event: &Event) {
        if self.state.get_mut().failure.is_some() {
            return;
        }
        let trials: Vec<_> = changed(study, event)
            .map(|trial| self.trial(trial))
            .collect();
        let line = json!({ "event": event, "trials": trials });
        let state = &mut *self.state.borrow_mut();
        state.answered.clear();
        let sent = self.start(state).and_then(|program| {
            // The program reads events only when it has time: the limit is that of an answer.
            self.send(program, &line)
        });
        if let Err(why) = sent {
            self.fail(state, &why);
        }
    }

    /// Asks the program and reads its answer with `read`, which returns a reason if the answer makes
    /// no sense. Returns `None` after a failure.
    pub(crate) fn ask<T>(
        &self,
        request: &Value,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let state = &mut *self.state.borrow_mut();
        state.is_asked = true;
        let earlier = state
            .answered
            .iter()
            .find(|(earlier, _)| earlier == request);
        let (answer, is_new) = match earlier {
            Some((_, answer)) => (Ok(answer.clone()), false),
            None => (self.answer(state, request), true),
        };
        let result = answer.and_then(|answer| {
            let value = read(&answer)
                .map_err(|why| format!("answered `{}`: {why}", shortened(&answer.to_string())))?;
            if is_new {
                state.answered.push((request.clone(), answer));
            }
            Ok(value)
        });
        match result {
            Ok(value) => Some(value),
            Err(why) => {
                let request = shortened(&request.to_string());
                self.fail(state, &format!("{why} (the request was `{request}`)"));
                None
            }
        }
    }

    /// Returns whether the program's answer to the greeting sets `key` to true. Returns `None` after
    /// a failure.
    pub(crate) fn wants(&self, key: &str) -> Option<bool> {
        let state = &mut *self.state.borrow_mut();
        state.is_asked = true;
        match self.welcome(state) {
            Ok(welcome) => Some(welcome[key] == json!(true)),
            Err(why) => {
                self.fail(state, &why);
                None
            }
        }
    }

    /// Ends the dialogue because of the answers as a whole; `why` continues "the program …".
    pub(crate) fn refuse(&self, why: &str) {
        self.fail(&mut self.state.borrow_mut(), why);
    }

    /// Returns the failure of the program, if a decision was needed since.
    pub(crate) fn failure(&self) -> Option<SearchError> {
        let state = self.state.borrow();
        state.failure.clone().filter(|_| state.is_asked)
    }

    /// Describes a trial for the program.
    pub(crate) fn trial(&self, trial: &Trial) -> Value {
        let objectives: Map<_, _> = self
            .objectives
            .iter()
            .map(|objective| {
                let value = trial.objective(objective);
                (objective.metric.to_string(), json!(value))
            })
            .collect();
        let metrics: Map<_, _> = trial
            .metrics
            .iter()
            .map(|(name, tally)| (name.to_string(), json!(tally.last)))
            .collect();
        let is_inside = self.space.admits(&trial.params).is_ok();
        let replicate_of = trial.origin.first_of_configuration();
        json!({
            "id": trial.id,
            "state": trial.state.word(),
            "params": trial.params,
            "unit": is_inside.then(|| self.space.encode(&trial.params)),
            "objectives": objectives,
            "metrics": metrics,
            "step": trial.step.map(Metric),
            "reports": trial.reports,
            "replicate_of": replicate_of,
            "outside": trial.outside,
        })
    }

    /// Returns the program's answer to a request, or the reason why there is none.
    fn answer(&self, state: &mut State, request: &Value) -> Result<Value, String> {
        self.welcome(state)?;
        let program = self.start(state)?;
        self.send(program, request)?;
        self.receive(program)
    }

    /// Returns the program's answer to the greeting.
    fn welcome(&self, state: &mut State) -> Result<Value, String> {
        if let Some(welcome) = &state.welcome {
            return Ok(welcome.clone());
        }
        let program = self.start(state)?;
        let welcome = self.receive(program)?;
        if welcome["protocol"] != json!(PROTOCOL) {
            return Err(format!(
                "answered the first line with `{}`, which should be `{{\"protocol\": {PROTOCOL}}}`",
                shortened(&welcome.to_string())
            ));
        }
        state.welcome = Some(welcome.clone());
        Ok(welcome)
    }

    /// Returns the running program. Starts it first if it has not been started, and greets it.
    fn start<'s>(&self, state: &'s mut State) -> Result<&'s mut Program, String> {
        if let Some(failure) = &state.failure {
            return Err(failure.message.clone());
        }
        if state.program.is_none() {
            let command = fill_all(&self.command).map_err(|unset| unset.to_string())?;
            let program = Program::start(&command)
                .map_err(|error| format!("could not be started: {error}"))?;
            let program = state.program.insert(program);
            self.send(program, &self.greeting)?;
        }
        state.program.as_mut().ok_or_else(String::new)
    }

    /// Queues a line for the program.
    fn send(&self, program: &mut Program, line: &Value) -> Result<(), String> {
        let mut text = line.to_string().into_bytes();
        text.push(b'\n');
        match program.lines.send_timeout(text, self.timeout) {
            Ok(()) => Ok(()),
            Err(crossbeam_channel::SendTimeoutError::Timeout(_)) => {
                Err(format!("read nothing for {}", HumanDuration(self.timeout)))
            }
            // The writer thread has ended, so a write to the program's input failed.
            Err(crossbeam_channel::SendTimeoutError::Disconnected(_)) => Err(program.end()),
        }
    }

    /// Waits for the next line of the program.
    fn receive(&self, program: &mut Program) -> Result<Value, String> {
        match program.next_line(self.timeout) {
            Ok(line) => serde_json::from_slice(&line).map_err(|_| {
                let line = shortened(&String::from_utf8_lossy(&line));
                format!("answered `{line}`, which is not a line of JSON")
            }),
            Err(RecvTimeoutError::Timeout) => Err(format!(
                "gave no answer within {}",
                HumanDuration(self.timeout)
            )),
            Err(RecvTimeoutError::Disconnected) => Err(program.end()),
        }
    }

    /// Records the first failure and ends the program. `why` continues "the program …".
    fn fail(&self, state: &mut State, why: &str) {
        if state.failure.is_some() {
            return;
        }
        state.program = None;
        let Self { part, table, .. } = self;
        let command = &self.command[0];
        state.failure = Some(SearchError {
            message: format!("the program of the {part}, `{command}`, {why}"),
            hint: format!(
                "nothing that was recorded is lost: mend the program, or `command` and `timeout` \
                 under `{table}`, and run again"
            ),
        });
    }
}

impl Program {
    fn start(command: &[String]) -> std::io::Result<Self> {
        let (input, stdin) = pipe()?;
        let (stdout, output) = pipe()?;
        let (stderr, errors) = pipe()?;
        let stdio = [input.into(), output.into(), errors.into()];
        let process = companion::start(command, &[], stdio)?;
        let (lines, queue) = bounded(QUEUE);
        let (answered, answers) = bounded(1);
        let last_error = Arc::new(Mutex::new(String::new()));
        let shared = last_error.clone();
        named_thread("program-input").spawn(move || write_lines(stdin, &queue))?;
        named_thread("program-output").spawn(move || read_answers(stdout, &answered))?;
        let error_reader =
            named_thread("program-errors").spawn(move || keep_last_line(stderr, &shared))?;
        Ok(Self {
            process,
            lines,
            answers,
            last_error,
            error_reader,
        })
    }

    /// Waits for the next line. After the end of the program it waits a moment only: what the
    /// program has left may hold its output open.
    fn next_line(&mut self, timeout: Duration) -> Result<Vec<u8>, RecvTimeoutError> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left.min(LOOK_INTERVAL)) {
                Err(RecvTimeoutError::Timeout) if left > LOOK_INTERVAL => {}
                answer => return answer,
            }
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                let last = self.answers.recv_timeout(LOOK_INTERVAL);
                return last.map_err(|_| RecvTimeoutError::Disconnected);
            }
        }
    }

    /// Describes the end of a program that has closed a pipe: its exit status and the last line of
    /// its standard error.
    fn end(&mut self) -> String {
        let Some(status) = companion::wait(&mut *self.process, GRACE) else {
            return "closed its standard input or output".to_owned();
        };
        // The last line may still be on its way through the pipe.
        let began = Instant::now();
        while !self.error_reader.is_finished() && began.elapsed() < Duration::from_millis(200) {
            thread::sleep(Duration::from_millis(2));
        }
        let last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let colon = if last.is_empty() { "" } else { ": " };
        format!("ended with {status}{colon}{}", shortened(&last))
    }
}

fn named_thread(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

impl Drop for Program {
    /// Ends the program: closes its input, waits a moment, then kills it.
    fn drop(&mut self) {
        // Dropping the only sender ends the writer thread, which closes the pipe.
        let (closed, _) = bounded(0);
        drop(std::mem::replace(&mut self.lines, closed));
        if companion::wait(&mut *self.process, GRACE).is_none() {
            self.process.kill();
        }
    }
}

/// Writes lines to the program until the queue is closed. Flushes whenever the queue is empty.
fn write_lines(stdin: PipeWriter, queue: &Receiver<Vec<u8>>) {
    let mut out = BufWriter::with_capacity(1 << 16, stdin);
    while let Ok(line) = queue.recv() {
        let written = out.write_all(&line).and_then(|()| {
            // Batch the writes while lines arrive quickly; deliver at once when they do not.
            if queue.is_empty() {
                out.flush()
            } else {
                Ok(())
            }
        });
        if written.is_err() {
            return;
        }
    }
}

/// Passes on each line of the program's standard output until it ends or a line is too long.
fn read_answers(stdout: PipeReader, answers: &Sender<Vec<u8>>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let read = reader
            .by_ref()
            .take(LONGEST_ANSWER)
            .read_until(b'\n', &mut line);
        let is_over = !matches!(read, Ok(length) if length > 0);
        if is_over || answers.send(line).is_err() {
            return;
        }
    }
}

/// Keeps the last line that is not empty of the program's standard error.
fn keep_last_line(stderr: PipeReader, last: &Mutex<String>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!(reader.by_ref().take(LONGEST_ANSWER).read_until(b'\n', &mut line), Ok(length) if length > 0)
    {
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            text.trim()
                .clone_into(&mut last.lock().unwrap_or_else(PoisonError::into_inner));
        }
        line.clear();
    }
}

/// Returns the trials whose state an event may have changed.
fn changed<'s>(study: &'s Study, event: &Event) -> Box<dyn Iterator<Item = &'s Trial> + 's> {
    match event {
        Event::Edited { .. } | Event::Removed { .. } | Event::Restored { .. } => {
            Box::new(study.trials().iter())
        }
        Event::Created {
            trial,
            origin: Origin::Cloned { instead, .. },
            ..
        } => Box::new(
            [Some(*trial), *instead]
                .into_iter()
                .flatten()
                .filter_map(|id| study.trial(id)),
        ),
        other => Box::new(other.trial().and_then(|id| study.trial(id)).into_iter()),
    }
}

/// Returns the first line for a program: the protocol, the space, the objectives and the seed.
fn greeting(part: &str, setting: &Setting) -> Value {
    json!({
        "protocol": PROTOCOL,
        "part": part,
        "seed": setting.seed,
        "trials": setting.trials,
        "slots": setting.slots,
        "objectives": setting.objectives.iter().map(|objective| {
            json!({ "metric": objective.metric, "goal": objective.goal })
        }).collect::<Vec<_>>(),
        "resource": setting.resource,
        "checkpoint": setting.checkpoint,
        "dims": setting.space.dims(),
        "axes": setting.space.axes().iter().map(|axis| match &axis.kind {
            AxisKind::Real => json!({ "name": axis.name, "kind": "real" }),
            AxisKind::Ordered(count) => {
                json!({ "name": axis.name, "kind": "ordered", "values": count })
            }
            AxisKind::Choice(weights) => {
                json!({ "name": axis.name, "kind": "choice", "weights": weights })
            }
        }).collect::<Vec<_>>(),
        "params": setting.space.names().iter().map(|name| {
            let is_drawn = setting.space.is_drawn(name);
            match setting.space.extent(name) {
                Some(Extent::Range { min, max, log }) => json!({
                    "name": name, "drawn": is_drawn, "min": min, "max": max, "log": log,
                }),
                Some(Extent::Choice(values)) => {
                    json!({ "name": name, "drawn": is_drawn, "choices": values })
                }
                None => json!({ "name": name, "drawn": is_drawn }),
            }
        }).collect::<Vec<_>>(),
    })
}

/// Returns the trial of an answer's `key`, which must be paused.
pub(crate) fn paused_trial(study: &Study, answer: &Value, key: &str) -> Result<TrialId, String> {
    let id = answer[key].as_u64().and_then(|id| u32::try_from(id).ok());
    let trial = id.and_then(|id| study.trial(TrialId(id)));
    match trial {
        Some(trial) if trial.state == TrialState::Paused && !trial.outside => Ok(trial.id),
        Some(trial) => Err(format!(
            "trial {} is {}, not paused",
            trial.id,
            trial.state.word()
        )),
        None => Err(format!("`{key}` is not the id of a trial")),
    }
}

/// Shortens a foreign text for a message.
fn shortened(text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= QUOTED {
        return text.to_owned();
    }
    text.chars().take(QUOTED).chain("…".chars()).collect()
}
