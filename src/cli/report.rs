//! `swath report name=value …`: appends one record from inside a trial, for shell scripts.
//!
//! A trial may call it many times, so it runs before the command line is parsed and depends on the
//! logger only.

use super::exit::Code;
use crate::logger::wire::{
    LONGEST_NAME, begin_pair, check_name, is_number, json_number, json_text, special,
};
use crate::logger::{Answer, Directive, LoggerError, TrialLogger};
use std::error::Error;
use std::ffi::OsString;
use std::io::Write;

const USAGE: &str = "usage: swath report [--wait] NAME=VALUE...

Reports values of the running trial: numbers (also nan and inf), true, false, strings.
  swath report epoch=3 val_loss=0.41
  swath report val_loss=0.41 model_path=models/m3.bin
  swath report kind=note text='learning rate halved'
With --wait it waits for the decision of the scheduler and prints `continue`, `pause` or `stop` with the reason.
The exit status is 0 if the trial may continue, and 10 if it must save its state and end.
  swath report --wait epoch=3 val_loss=0.41 || exit 0
The other kinds of records are in docs/records.md.
";

/// Arguments of `swath report`, for the help only; [`run`] reads the raw arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The values to report
    #[arg(
        value_name = "NAME=VALUE",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) words: Vec<OsString>,
}

/// Runs the command if an option of `swath` itself, such as `--logs`, precedes it.
pub(crate) fn run_parsed(words: &[OsString]) -> Code {
    match run(words, &mut std::io::stderr()) {
        0 => Code::Done,
        1 => Code::Tool,
        END => Code::End,
        _ => Code::Usage,
    }
}

/// The reasons why a report fails.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("there is nothing to report")]
    Nothing,
    #[error("`{0}` is not of the form NAME=VALUE")]
    NoValue(String),
    #[error("`{0}` is given twice")]
    Twice(String),
    #[error("{0}")]
    Name(String),
    #[error("an argument is not UTF-8: `{0}`")]
    NotText(String),
    #[error("`swath report` works only inside a trial: `SWATH_RECORDS` is not set")]
    Outside,
    #[error(transparent)]
    Logger(#[from] LoggerError),
}

/// Runs the command with the arguments after `report`. Returns the exit status: 0 on success, 10 if
/// `--wait` was given and the trial must end, 1 if the record could not be written or no answer
/// came, 2 if the arguments are wrong.
pub fn run(args: &[OsString], err: &mut dyn Write) -> u8 {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        let _ = err.write_all(USAGE.as_bytes());
        return 0;
    }
    let waits = args.first().is_some_and(|arg| arg == "--wait");
    let done = line(&args[usize::from(waits)..]).and_then(|line| {
        let mut logger = TrialLogger::from_env()?.ok_or(Problem::Outside)?;
        if waits {
            return Ok(Some(logger.record_and_wait(&line)?));
        }
        logger.record(&line)?;
        Ok(None)
    });
    match done {
        Ok(None) => 0,
        Ok(Some(answer)) => print_decision(&answer),
        Err(problem) => print_problem(&problem, err),
    }
}

/// The exit status for a trial that must end.
const END: u8 = Code::End as u8;

/// Prints the decision of the scheduler and returns the matching exit status.
fn print_decision(answer: &Answer) -> u8 {
    let (word, status) = match answer.directive {
        Directive::Continue => ("continue", 0),
        Directive::Pause => ("pause", END),
        Directive::Stop => ("stop", END),
    };
    let why = if answer.why.is_empty() {
        String::new()
    } else {
        format!(": {}", answer.why)
    };
    // A closed standard output is ignored: the exit status carries the same answer.
    let _ = writeln!(std::io::stdout(), "{word}{why}");
    status
}

/// Prints the problem with its causes and, where one is known, a hint. Returns the exit status.
fn print_problem(problem: &Problem, err: &mut dyn Write) -> u8 {
    let mut text = format!("error: {problem}");
    let mut cause = problem.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let hint = match problem {
        Problem::Outside => {
            "swath sets it for the programs that it runs: start the program with `swath run`"
        }
        Problem::Logger(_) => "",
        _ => "write `swath report epoch=3 val_loss=0.41`",
    };
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!("\nhelp: {hint}")
    };
    let _ = writeln!(err, "{text}{hint}");
    if matches!(
        problem,
        Problem::Logger(LoggerError::Append { .. } | LoggerError::NoAnswer(_))
    ) {
        1
    } else {
        2
    }
}

/// Returns the arguments as one JSON record. Fails on a missing or repeated name, a missing value,
/// or text that is not UTF-8.
fn line(args: &[OsString]) -> Result<String, Problem> {
    let mut row = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for arg in args {
        let arg = arg
            .to_str()
            .ok_or_else(|| Problem::NotText(arg.to_string_lossy().into_owned()))?;
        let (name, value) = arg
            .split_once('=')
            .ok_or_else(|| Problem::NoValue(arg.to_owned()))?;
        if check_name(name).is_err() {
            let why = format!("the name in `{arg}` must have 1 to {LONGEST_NAME} bytes");
            return Err(Problem::Name(why));
        }
        if names.contains(&name) {
            return Err(Problem::Twice(name.to_owned()));
        }
        names.push(name);
        begin_pair(&mut row, name);
        self::value(&mut row, value);
    }
    if names.is_empty() {
        return Err(Problem::Nothing);
    }
    Ok(format!("{{{}}}", String::from_utf8_lossy(&row)))
}

/// Appends a value as JSON: a number or a boolean if it reads as one, otherwise a string.
fn value(row: &mut Vec<u8>, value: &str) {
    if let Some(number) = special(value) {
        json_number(row, number);
    } else if matches!(value, "true" | "false") || is_number(value.as_bytes()) {
        row.extend_from_slice(value.as_bytes());
    // Rust parses forms that JSON does not have, such as `.5` and `+1`; they are rewritten.
    } else if let Ok(number) = value.parse() {
        json_number(row, number);
    } else {
        json_text(row, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &[&str]) -> Vec<OsString> {
        args.iter().map(OsString::from).collect()
    }

    fn report(values: &[&str]) -> (u8, String) {
        let mut err = Vec::new();
        let status = run(&args(values), &mut err);
        (status, String::from_utf8(err).unwrap())
    }

    #[test]
    fn numbers_booleans_and_strings_are_distinguished() {
        let values = [
            "epoch=3",
            "loss=4.1e-1",
            "n=nan",
            "i=-inf",
            "b=true",
            "t=a=b \"c\"",
            "e=",
            "p=+.5",
            "v=1.2.3",
        ];
        let record = r#"{"epoch": 3, "loss": 4.1e-1, "n": NaN, "i": -Infinity, "b": true, "t": "a=b \"c\"", "e": "", "p": 0.5, "v": "1.2.3"}"#;
        assert_eq!(line(&args(&values)).unwrap(), record);
    }

    #[test]
    fn malformed_arguments_are_refused_with_an_example() {
        let help = "\nhelp: write `swath report epoch=3 val_loss=0.41`\n";
        for (values, message) in [
            (&[][..], "error: there is nothing to report"),
            (&["0.41"], "error: `0.41` is not of the form NAME=VALUE"),
            (&["a=1", "a=2"], "error: `a` is given twice"),
            (&["=1"], "error: the name in `=1` must have 1 to 250 bytes"),
        ] {
            assert_eq!(report(values), (2, format!("{message}{help}")));
        }
    }

    #[test]
    fn a_report_outside_a_trial_is_refused() {
        let (status, text) = report(&["a=1"]);
        assert_eq!(status, 2);
        assert!(
            text.starts_with("error: `swath report` works only inside a trial"),
            "{text}"
        );
    }
}
