//! The output streams of a command: data goes to standard output, everything else to standard
//! error.

use super::exit::Failure;
use super::terminal_text::TerminalText;
use crate::report::text::{Escapes, Paint};
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The version of all `--json` output. It grows when a field changes its meaning or is removed; new
/// fields may appear at any time.
pub(crate) const JSON_VERSION: u32 = 1;

/// Standard output and standard error, and the capabilities of their terminals.
pub(crate) struct Output {
    /// The stream for data. It is buffered and flushed at the end of the command.
    pub(crate) stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
    /// The width of the terminal in columns. `None` if standard output is a file or a pipe, which
    /// receives untruncated tables.
    pub(crate) width: Option<usize>,
    /// Colours for standard output.
    pub(crate) paint: Paint,
    /// Colours for standard error.
    pub(crate) paint_err: Paint,
    /// Whether standard error is a terminal other than `dumb`, so that progress bars can be
    /// redrawn.
    pub(crate) live: bool,
}

impl Output {
    /// Returns the output of this process. `NO_COLOR` overrides everything, and a terminal called
    /// `dumb` has no colours.
    pub(crate) fn of_process() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colourless = dumb || std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            stdout: for_stream(BufWriter::new(io::stdout()), out),
            stderr: for_stream(io::stderr(), err),
            width: out.then(|| columns(io::stdout())),
            paint: Paint {
                on: out && !colourless,
            },
            paint_err: Paint {
                on: err && !colourless,
            },
            live: err && !dumb,
        }
    }

    /// Returns an output without a terminal, and the texts that are written to its standard output
    /// and standard error.
    pub(crate) fn in_memory() -> (Self, MemoryStream, MemoryStream) {
        let (out, err) = (MemoryStream::default(), MemoryStream::default());
        let output = Self {
            stdout: Box::new(out.clone()),
            stderr: Box::new(err.clone()),
            width: None,
            paint: Paint::default(),
            paint_err: Paint::default(),
            live: false,
        };
        (output, out, err)
    }

    /// Returns standard output for the texts of a study. On a terminal escape sequences are shown;
    /// a file or a pipe receives the bytes as they are.
    pub(crate) fn foreign(&mut self, escapes: Escapes) -> Box<dyn Write + '_> {
        if self.width.is_some() {
            Box::new(TerminalText::plain(&mut self.stdout, escapes))
        } else {
            Box::new(&mut self.stdout)
        }
    }

    /// Writes a line to standard error. Standard output is flushed first, so that lines appear in
    /// order.
    pub(crate) fn say(&mut self, line: impl Display) {
        let _ = self.stdout.flush();
        let _ = writeln!(self.stderr, "{line}");
    }

    /// Writes a warning to standard error.
    pub(crate) fn warn(&mut self, message: impl Display) {
        let label = self.paint_err.yellow("warning");
        self.say(format_args!("{label}: {message}"));
    }

    /// Writes a hint on a possible next step to standard error.
    pub(crate) fn hint(&mut self, message: impl Display) {
        let label = self.paint_err.cyan("help");
        self.say(format_args!("{label}: {message}"));
    }

    /// Prints a failure: its diagnostics, then the message with its causes and hints.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        if !failure.rendered.is_empty() {
            self.say(&failure.rendered);
        }
        if failure.message.is_empty() {
            return;
        }
        let label = self.paint_err.red("error");
        self.say(format_args!("{label}: {}", failure.message));
        for cause in &failure.causes {
            self.say(format_args!("  because: {cause}"));
        }
        for hint in &failure.hints {
            self.hint(hint);
        }
    }

    /// Writes one JSON document and a newline to standard output.
    pub(crate) fn json(&mut self, document: &impl serde::Serialize) -> Result<(), Failure> {
        let mut out = self.foreign(Escapes::Json);
        serde_json::to_writer(&mut out, document).map_err(io::Error::from)?;
        Ok(out.write_all(b"\n")?)
    }
}

/// Returns a stream behind a [`TerminalText`] if it is a terminal.
fn for_stream(stream: impl Write + 'static, is_terminal: bool) -> Box<dyn Write> {
    if is_terminal {
        Box::new(TerminalText::coloured(stream))
    } else {
        Box::new(stream)
    }
}

/// Returns the width of the terminal, else the value of `COLUMNS`, else 80.
fn columns(stream: impl std::os::fd::AsFd) -> usize {
    let measured = rustix::termios::tcgetwinsize(stream).map_or(0, |size| usize::from(size.ws_col));
    Some(measured)
        // A pseudo-terminal that was given no size reports 0.
        .filter(|columns| *columns > 0)
        .or_else(columns_variable)
        .unwrap_or(80)
}

fn columns_variable() -> Option<usize> {
    std::env::var("COLUMNS").ok()?.parse().ok()
}

/// The text that was written to a stream in memory.
#[derive(Clone, Default)]
pub(crate) struct MemoryStream(Arc<Mutex<Vec<u8>>>);

impl MemoryStream {
    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) mod captured {
    //! An output whose text is kept: for commands within `swath top`, and for tests.
    pub(crate) use super::MemoryStream as Sink;
    use super::Output;

    /// Returns an output of that width, and the texts written to its standard output and standard
    /// error.
    pub(crate) fn output(width: Option<usize>) -> (Output, Sink, Sink) {
        let (output, out, err) = Output::in_memory();
        (Output { width, ..output }, out, err)
    }
}
