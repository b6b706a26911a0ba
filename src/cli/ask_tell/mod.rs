//! `swath ask-tell SWEEP`: a conversation of JSON lines on standard input and output, for users who
//! write their own loop. It is one process and needs no server.

mod request;

use super::Context;
use super::exit::{Code, Failure};
use crate::driver::{Interrupt, Offer, Urgency};
use crate::report::{json, rank};
use crate::run::{AskTell, AskTellError, Options};
use crate::source::Source;
use crate::study::{Exit, Failure as Cause, TrialId, TrialState, Verdict};
use crate::sweep::{Rejected, Surroundings, Sweep};
use request::{Ending, Refusal, Request, Tell};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value, json};
use std::io::{self, BufRead, BufReader, Stdin, Write};
use std::path::PathBuf;

/// The maximum length of a request line in bytes. Longer lines are refused.
const MAX_LINE: usize = 1 << 20;

/// Arguments of `swath ask-tell`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
        Requests and replies are JSON objects, one a line:\
        \n  {\"ask\": 1}                                 → {\"trial\": 7, \"params\": {…}, \"seed\": …}\
        \n  {\"tell\": {\"trial\": 7, \"value\": 0.31}}      → {\"trial\": 7, \"state\": \"complete\"}\
        \n  {\"report\": {\"trial\": 7, \"step\": 1, \"value\": 0.5}} → {\"trial\": 7, \"verdict\": \"continue\"}\
        \nThe command ends with its input; trials without a result then wait for the next session. \
        docs/ask-tell.md describes all requests.")]
pub(crate) struct Args {
    /// The sweep file; `[run]` is optional. `-`: the first line names it, or holds it
    #[arg(value_name = "SWEEP")]
    sweep: PathBuf,
    /// The number of trials that you run at a time, which samplers take into account (default:
    /// `resources.jobs`, else 1)
    #[arg(long, short, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
}

/// The reason why the conversation did not begin, as a failure of the command and as a reply to the
/// client.
struct StartFailure {
    failure: Failure,
    refusal: Refusal,
}

impl From<Failure> for Box<StartFailure> {
    fn from(failure: Failure) -> Self {
        Self::new(StartFailure {
            refusal: Refusal::of_failure(&failure),
            failure,
        })
    }
}

impl StartFailure {
    /// Writes the reply, because the client waits for a line, and returns the failure.
    fn reply<T>(self, context: &mut Context) -> Result<T, Failure> {
        let Refusal { cause, help } = &self.refusal;
        let reply = json!({ "error": { "line": 0, "cause": cause, "cure": help } });
        write_line(&mut context.out.stdout, &reply)?;
        context.out.stdout.flush()?;
        Err(self.failure)
    }
}

/// The sweep of a client that sends it in its first line.
enum FirstLine {
    /// The path of a sweep file.
    File(PathBuf),
    /// The text of a sweep file.
    Text(String),
}

/// Reads the sweep. Fails if it is rejected or has no objective.
fn read(
    args: &Args,
    requests: &mut Requests,
    context: &Context,
) -> Result<Sweep, Box<StartFailure>> {
    let colour = context.out.paint_err.on;
    let sweep = match args.sweep.as_os_str() == "-" {
        false => Sweep::read_for_function(&args.sweep),
        true => match first_line(requests)? {
            FirstLine::File(path) => Sweep::read_for_function(&path),
            FirstLine::Text(text) => Sweep::parse_for_function(Source {
                name: "the sweep".to_owned(),
                text,
            }),
        },
    };
    let mut sweep = sweep.map_err(|rejected| refused(&rejected, colour))?;
    let current_dir = std::env::current_dir().map_err(Failure::from)?;
    let surroundings = Surroundings {
        current_dir,
        path: None,
    };
    sweep
        .look_around(&surroundings)
        .map_err(|rejected| refused(&rejected, colour))?;
    if sweep.objectives.is_empty() {
        let failure =
            Failure::usage("the sweep file has no `[objective]`, so no result could be reported");
        return Err(failure
            .hint("add: [objective]\n      metric = \"loss\"\n      goal = \"min\"")
            .into());
    }
    Ok(sweep)
}

/// Returns the refusal of a sweep file that has mistakes.
fn refused(rejected: &Rejected, colour: bool) -> Box<StartFailure> {
    Box::new(StartFailure {
        refusal: Refusal::of_rejected(rejected, "correct the sweep file"),
        failure: super::sweeps::rejected(rejected, colour),
    })
}

/// Reads the first line of a client that sends its sweep.
fn first_line(requests: &mut Requests) -> Result<FirstLine, Box<StartFailure>> {
    let line = match requests.next(|| Ok(true))? {
        Next::Line(line) => line.unwrap_or_default(),
        Next::End | Next::Interrupted => b"",
    };
    let object = serde_json::from_slice(line).unwrap_or(Value::Null);
    match (&object["file"], &object["sweep"]) {
        (Value::String(path), Value::Null) => Ok(FirstLine::File(path.into())),
        (Value::Null, Value::String(text)) => Ok(FirstLine::Text(text.clone())),
        (Value::Null, sweep @ Value::Object(_)) => toml::to_string(sweep)
            .map(FirstLine::Text)
            .map_err(|error| no_sweep(&format!("the sweep cannot be written as TOML: {error}"))),
        _ => Err(no_sweep("the first line has no sweep")),
    }
}

fn no_sweep(message: &str) -> Box<StartFailure> {
    Failure::usage(message)
        .hint(
            "send {\"file\": \"sweep.toml\"}, {\"sweep\": \"the text of a sweep file\"} or \
             {\"sweep\": {\"name\": …, \"objective\": …, \"space\": …}}",
        )
        .into()
}

/// Tells that the study is open: on standard error, or as the reply to a first line.
fn tell_ready(
    args: &Args,
    study: &AskTell<'_>,
    sweep: &Sweep,
    context: &mut Context,
) -> io::Result<()> {
    let root = study.dir().root();
    if args.sweep.as_os_str() != "-" {
        if !sweep.warnings.list.is_empty() {
            let remarks = sweep.remarks(context.out.paint_err.on);
            context.out.say(format_args!("{}\n", remarks.trim_end()));
        }
        context.out.say(format_args!("{}: ready", root.display()));
        return Ok(());
    }
    let warnings = sweep.warnings.list.iter().map(request::labelled_message);
    let reply = json!({
        "study": std::path::absolute(root)?,
        "warnings": warnings.collect::<Vec<_>>(),
    });
    write_line(&mut context.out.stdout, &reply)?;
    context.out.stdout.flush()
}

/// Opens the study and starts its trackers.
fn open<'s>(
    sweep: &'s Sweep,
    args: &Args,
    context: &Context,
) -> Result<AskTell<'s>, Box<StartFailure>> {
    let options = Options {
        jobs: args.jobs.map(usize::from),
        command_line: std::env::args().collect(),
        ..Options::at(&context.logs)
    };
    let mut warn = super::output::Output::of_process();
    let study = AskTell::open_recording(sweep, options, move |stale| {
        warn.warn(format_args!(
            "the tracker `{}` is out of date: {}",
            stale.name, stale.why
        ));
    });
    Ok(study.map_err(Failure::from)?)
}

/// Runs `swath ask-tell` until the input ends or a signal arrives. Open trials are then released
/// and wait for the next process.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let mut requests = Requests {
        input: BufReader::with_capacity(1 << 16, io::stdin()),
        line: Vec::new(),
    };
    let sweep = read(args, &mut requests, context).or_else(|failure| failure.reply(context))?;
    let interrupt = Interrupt::on_signals()?;
    let study = open(&sweep, args, context).or_else(|failure| failure.reply(context))?;
    tell_ready(args, &study, &sweep, context)?;
    let mut session = Session {
        study,
        sweep: &sweep,
        // Errors name lines of the input, and a first line with the sweep is one of them.
        line: u64::from(args.sweep.as_os_str() == "-"),
        out: &mut context.out.stdout,
    };
    let mut interrupted = false;
    loop {
        match requests.next(|| session.idle(&interrupt))? {
            Next::Line(line) => session.answer(line)?,
            Next::End => break,
            Next::Interrupted => {
                interrupted = true;
                break;
            }
        }
    }
    session.study.close().map_err(fatal)?;
    Ok(match interrupted {
        true if interrupt.signal() == signal_hook::consts::SIGTERM => Code::Terminated,
        true => Code::Interrupted,
        false => Code::Done,
    })
}

/// The next item on standard input.
enum Next<'a> {
    /// A line arrived; `None` if it was longer than [`MAX_LINE`].
    Line(Option<&'a [u8]>),
    End,
    Interrupted,
}

struct Requests {
    input: BufReader<Stdin>,
    line: Vec<u8>,
}

impl Requests {
    /// Waits for the next line. While no input arrives, `idle` is called every 200 ms; if it
    /// returns false, the wait ends with [`Next::Interrupted`].
    fn next(
        &mut self,
        mut idle: impl FnMut() -> Result<bool, Failure>,
    ) -> Result<Next<'_>, Failure> {
        self.line.clear();
        let mut is_too_long = false;
        loop {
            // Poll only if the buffer is empty: buffered lines do not make the descriptor readable.
            if self.input.buffer().is_empty() {
                let mut ready = [PollFd::new(self.input.get_ref(), PollFlags::IN)];
                let timeout = Timespec {
                    tv_sec: 0,
                    tv_nsec: 200_000_000,
                };
                match poll(&mut ready, Some(&timeout)) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => {
                        if !idle()? {
                            return Ok(Next::Interrupted);
                        }
                        continue;
                    }
                    Ok(_) => {}
                    Err(error) => return Err(io::Error::from(error).into()),
                }
            }
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                let is_unfinished = !self.line.is_empty();
                return Ok(if is_unfinished {
                    Next::Line((!is_too_long).then_some(&self.line))
                } else {
                    Next::End
                });
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let consumed = end.map_or(bytes.len(), |end| end + 1);
            is_too_long |= self.line.len() + consumed > MAX_LINE;
            // The rest of an overlong line is discarded. One byte stays, so that the end of the
            // input counts it as a line.
            if is_too_long {
                self.line.truncate(1);
            } else {
                self.line.extend_from_slice(&bytes[..consumed]);
            }
            self.input.consume(consumed);
            if end.is_some() {
                return Ok(Next::Line((!is_too_long).then_some(&self.line)));
            }
        }
    }
}

struct Session<'a, 'b> {
    study: AskTell<'a>,
    sweep: &'a Sweep,
    /// The number of the current line, from 1. Errors state it.
    line: u64,
    out: &'b mut Box<dyn Write>,
}

impl Session<'_, '_> {
    /// Updates the study's files while the client is idle. Returns false once a signal has arrived.
    fn idle(&mut self, interrupt: &Interrupt) -> Result<bool, Failure> {
        self.study.tend().map_err(fatal)?;
        Ok(interrupt.urgency() == Urgency::None)
    }

    /// Answers one line. A refused request is a reply; only an error that ends the study is
    /// returned.
    fn answer(&mut self, line: Option<&[u8]>) -> Result<(), Failure> {
        self.line += 1;
        let request = match line {
            // Blank lines are ignored, but they count, so that errors name the right line of the
            // input.
            Some(line) if line.iter().all(u8::is_ascii_whitespace) => return Ok(()),
            Some(line) => {
                Request::parse(line, &self.sweep.objectives, self.sweep.resource.as_ref())
            }
            None => Err(Refusal::new(
                format!("the line is longer than {} KiB", MAX_LINE >> 10),
                "send one request per line",
            )),
        };
        match request {
            Err(refusal) => self.refuse(&refusal)?,
            Ok(request) => match self.execute(request) {
                Ok(()) => {}
                Err(AskTellError::Run(error)) => return Err(error.into()),
                Err(error) => self.refuse(&Refusal::of(&error))?,
            },
        }
        Ok(self.out.flush()?)
    }

    fn execute(&mut self, request: Request) -> Result<(), AskTellError> {
        match request {
            Request::Ask { count, folder } => (0..count).try_for_each(|_| self.ask(folder)),
            Request::Tell(tell) => self.tell(tell),
            Request::Report { trial, values } => {
                let verdict = self.study.report(trial, values)?;
                self.reply(
                    &json!({ "trial": trial, "verdict": verdict_word(verdict), "why": self.why(trial) }),
                )
            }
            Request::Add { point, again } => {
                let trial = self.study.add(&point, again)?;
                self.reply(&json!({ "trial": trial, "state": self.state(trial) }))
            }
            Request::Best(count) => {
                let study = self.study.study();
                // Several objectives give no single ranking, so the Pareto front is returned.
                let ranked = if self.sweep.objectives.len() > 1 {
                    rank::pareto(study)
                } else {
                    rank::best(study, count)
                };
                let best: Vec<_> = ranked
                    .into_iter()
                    .take(count)
                    .map(|trial| json::row(study, trial))
                    .collect();
                self.reply(&json!({ "best": best }))
            }
            Request::Open => {
                let study = self.study.study();
                // A waiting trial with an attempt was handed out before, and the client may still
                // report its end.
                let handed_out = study
                    .waiting()
                    .filter(|id| study.trial(*id).is_some_and(|trial| trial.attempts > 0));
                let open: Vec<TrialId> = study.running().chain(handed_out).collect();
                self.reply(&json!({ "open": open }))
            }
        }
    }

    fn ask(&mut self, folder: bool) -> Result<(), AskTellError> {
        let offer = match self.study.ask()? {
            Offer::Trial(offer) => offer,
            Offer::Wait => return self.reply(&json!({ "trial": null, "why": "wait" })),
            Offer::Over(why) => return self.reply(&json!({ "trial": null, "why": why })),
        };
        let room = match folder {
            true => Some(self.study.make_folder(&offer)?),
            false => None,
        };
        let mut reply = json!({ "trial": offer.trial, "params": offer.params, "seed": offer.seed });
        if let Value::Object(reply) = &mut reply {
            if offer.attempt.0 > 1 {
                reply.insert("attempt".to_owned(), offer.attempt.0.into());
            }
            if let Some(until) = offer.until {
                reply.insert("until".to_owned(), until.0.into());
            }
            if offer.resume {
                reply.insert("resume".to_owned(), true.into());
            }
            if let Some(room) = room {
                let variables = room.variables.iter();
                let variables: Map<String, Value> = variables
                    .map(|(name, value)| ((*name).to_owned(), value.to_string_lossy().into()))
                    .collect();
                reply.insert("folder".to_owned(), room.dir.to_string_lossy().into());
                reply.insert("env".to_owned(), variables.into());
            }
        }
        self.reply(&reply)
    }

    fn tell(&mut self, tell: Tell) -> Result<(), AskTellError> {
        let Tell {
            trial,
            reports,
            values,
            ending,
            why,
        } = tell;
        let values = match values {
            request::Values::None => Vec::new(),
            request::Values::Objectives(values) => self.study.named(&values)?,
            request::Values::Named(values) => values,
        };
        // If the scheduler ends the trial at one of the reports, the remaining values do not count.
        for report in reports {
            if self.study.report(trial, report)? != Verdict::Continue {
                return self.reply(
                    &json!({ "trial": trial, "state": self.state(trial), "why": self.why(trial) }),
                );
            }
        }
        let exit = match ending {
            Ending::Complete => Exit::Done,
            Ending::Failed => {
                let why = why
                    .clone()
                    .unwrap_or_else(|| "the client reported a failure".to_owned());
                Exit::Failed(Cause::Told(why))
            }
            Ending::Invalid => Exit::Failed(Cause::Invalid(
                why.clone()
                    .unwrap_or_else(|| "the client gave no reason".to_owned()),
            )),
            Ending::Stopped => Exit::Stopped,
            Ending::Waiting => Exit::Interrupted,
        };
        let state = self
            .study
            .end_because(trial, values, exit, why.as_deref())?;
        let mut reply = json!({ "trial": trial, "state": state.word() });
        if let (Value::Object(reply), true) = (&mut reply, state != TrialState::Complete) {
            reply.insert("why".to_owned(), self.why(trial));
        }
        self.reply(&reply)
    }

    fn state(&self, trial: TrialId) -> &'static str {
        self.study
            .study()
            .trial(trial)
            .map_or("", |trial| trial.state.word())
    }

    /// Returns the reason of the scheduler's decision or of the trial's failure, or null if there
    /// is none.
    fn why(&self, trial: TrialId) -> Value {
        let Some(trial) = self.study.study().trial(trial) else {
            return Value::Null;
        };
        match (&trial.why, &trial.exit) {
            (Some(why), _) => why.as_str().into(),
            (None, Some(exit @ Exit::Failed(_))) => exit.to_string().into(),
            _ => Value::Null,
        }
    }

    fn refuse(&mut self, refusal: &Refusal) -> Result<(), Failure> {
        let Refusal { cause, help } = refusal;
        let reply = json!({ "error": { "line": self.line, "cause": cause, "cure": help } });
        Ok(write_line(&mut self.out, &reply)?)
    }

    fn reply(&mut self, reply: &Value) -> Result<(), AskTellError> {
        write_line(&mut self.out, reply).map_err(|source| {
            AskTellError::Run(crate::run::RunError::Keep {
                path: "standard output".into(),
                source,
            })
        })
    }
}

fn write_line(out: &mut impl Write, reply: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, reply)?;
    out.write_all(b"\n")
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Continue => "continue",
        Verdict::Pause => "pause",
        Verdict::Stop | Verdict::Complete => "stop",
    }
}

/// Turns an error that ends the study into a failure of the command.
fn fatal(error: AskTellError) -> Failure {
    match error {
        AskTellError::Run(error) => error.into(),
        other => Failure::caused(Code::Tool, &other),
    }
}
