//! The order to start a program: everything that a slot has to know about it.

use super::wire::Message;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// Number of the standard streams of a program.
pub(in crate::executor) const STDIO: usize = 3;

/// A program to start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::executor) struct Order {
    /// Path of the program.
    pub(in crate::executor) program: PathBuf,
    /// Arguments; the first is the name under which the program is called.
    pub(in crate::executor) argv: Vec<OsString>,
    /// Changes of the inherited environment; `None` removes a variable.
    pub(in crate::executor) env: Vec<(OsString, Option<OsString>)>,
    /// Working directory.
    pub(in crate::executor) workdir: PathBuf,
    /// Files to which standard output and standard error are appended. Two equal paths are opened
    /// once. Empty if descriptors come with the order.
    pub(in crate::executor) logs: [PathBuf; 2],
    /// Time between SIGTERM and SIGKILL for the processes that the program leaves behind.
    pub(in crate::executor) grace: Duration,
    /// Entry of the environment that no other program has.
    pub(in crate::executor) mark: OsString,
}

impl Order {
    /// Returns whether the standard streams of the program come with the order.
    pub(super) fn has_stdio(&self) -> bool {
        let [stdout, _] = &self.logs;
        stdout.as_os_str().is_empty()
    }

    /// Returns the fields of the message that starts the program.
    pub(super) fn fields(&self) -> Vec<Vec<u8>> {
        let (grace, count) = (
            self.grace.as_millis().to_string(),
            self.argv.len().to_string(),
        );
        let [stdout, stderr] = &self.logs;
        let texts: [&OsStr; 8] = [
            OsStr::new("start"),
            self.program.as_os_str(),
            self.workdir.as_os_str(),
            stdout.as_os_str(),
            stderr.as_os_str(),
            OsStr::new(&grace),
            &self.mark,
            OsStr::new(&count),
        ];
        let mut fields: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        fields.extend(self.argv.iter().map(|word| word.as_bytes().to_vec()));
        fields.extend(self.changes());
        fields
    }

    /// Returns the changes of the environment: `NAME=value`, or `NAME` for a variable that is
    /// removed.
    pub(super) fn changes(&self) -> impl Iterator<Item = Vec<u8>> {
        self.env.iter().map(|(name, value)| {
            let mut entry = name.as_bytes().to_vec();
            if let Some(value) = value {
                entry.push(b'=');
                entry.extend_from_slice(value.as_bytes());
            }
            entry
        })
    }

    /// Reads the fields of a message.
    pub(super) fn of(message: &Message) -> Self {
        let path = |index| PathBuf::from(text(message.field(index)));
        let count = usize::try_from(message.number(7)).unwrap_or(0);
        let mut rest = message.0.iter().skip(8).map(Vec::as_slice);
        let argv = rest.by_ref().take(count).map(text).collect();
        Self {
            program: path(1),
            argv,
            env: rest.map(entry).collect(),
            workdir: path(2),
            logs: [path(3), path(4)],
            grace: Duration::from_millis(message.number(5)),
            mark: text(message.field(6)),
        }
    }
}

fn text(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

fn entry(bytes: &[u8]) -> (OsString, Option<OsString>) {
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(end) => (text(&bytes[..end]), Some(text(&bytes[end + 1..]))),
        None => (text(bytes), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written_whatever_its_bytes() {
        let order = Order {
            program: "/bin/a b".into(),
            argv: vec!["a b".into(), "".into(), text(&[0xff, b'='])],
            env: vec![
                ("A".into(), Some("x=y".into())),
                ("B".into(), None),
                ("C".into(), Some(text(&[0xfe]))),
            ],
            workdir: "/tmp".into(),
            logs: ["/l/stdout.log".into(), "/l/stderr.log".into()],
            grace: Duration::from_millis(1500),
            mark: "M=1".into(),
        };
        assert_eq!(Order::of(&Message(order.fields())), order);
    }
}
