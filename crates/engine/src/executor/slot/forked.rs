//! A program that a [host](crate::executor::host) has forked, as its slot sees it: a process whose
//! parent, the reaper, reports its end over a socket and ends with it.

use super::order::{Order, STDIO};
use super::serve::open_streams;
use super::wire::{Message, Received, Wire};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitStatus;
use std::time::Duration;

/// Longest wait for the reaper. After it, the program is started without the host.
const START_WITHIN: Duration = Duration::from_secs(5);

/// An offer of a host to fork the next program.
pub(super) struct Offer {
    /// Connection to the reaper.
    pub(super) wire: Wire,
    /// Whether the reaper is to be kept for another program.
    pub(super) keeps: bool,
    /// File `cgroup.procs` of the cgroup of the slot; empty if there is none.
    pub(super) cgroup: Vec<u8>,
    /// Command line of the process.
    pub(super) argv: Vec<Vec<u8>>,
}

/// A program that a host has forked.
pub(super) struct Forked {
    wire: Wire,
    keeps: bool,
    pub(super) pid: u32,
    pub(super) reaper: u32,
    /// Status, processor time and peak memory of the program once it has ended.
    pub(super) exited: Option<(ExitStatus, Duration, u64)>,
    /// Processor time of the processes that it left, once all have ended.
    pub(super) ended: Option<Duration>,
}

impl Forked {
    /// Has the program forked. The error says why it is to be started as any other.
    pub(super) fn start(offer: Offer, order: &Order) -> Result<Self, String> {
        let streams = open_streams(order).map_err(|_| "its logs cannot be opened".to_owned())?;
        let Offer {
            mut wire,
            keeps,
            cgroup,
            argv,
        } = offer;
        let message = ask(&mut wire, cgroup, argv, order, &streams).map_err(explain)?;
        match message.kind() {
            "started" => {
                // The program runs only after this word, so it cannot run if it was given up.
                wire.send(&["go"]).map_err(explain)?;
                let number = |index| u32::try_from(message.number(index)).unwrap_or(0);
                Ok(Self {
                    wire,
                    keeps,
                    pid: number(1),
                    reaper: number(2),
                    exited: None,
                    ended: None,
                })
            }
            _ => Err(String::from_utf8_lossy(message.field(1)).into_owned()),
        }
    }

    /// Takes in the messages of the reaper.
    ///
    /// # Errors
    /// Fails if the reaper is gone before all processes of the program have ended.
    pub(super) fn follow(&mut self) -> io::Result<()> {
        while self.ended.is_none() {
            match self.wire.receive()? {
                Received::Message(message) => self.take(&message),
                Received::Nothing => break,
                Received::Closed => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(())
    }

    fn take(&mut self, message: &Message) {
        use std::os::unix::process::ExitStatusExt as _;
        match message.kind() {
            "exited" => {
                let status = i32::try_from(message.number(1)).unwrap_or(0);
                self.exited = Some((
                    ExitStatus::from_raw(status),
                    Duration::from_micros(message.number(2)),
                    message.number(3),
                ));
            }
            "ended" => {
                self.ended = Some(Duration::from_micros(message.number(1)));
                self.keeps &= message.number(2) == 1;
            }
            // A message of another version.
            _ => {}
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.wire.fd()
    }

    /// Returns the connection to the reaper, once all has ended, if the reaper waits for another
    /// program.
    pub(super) fn into_idle(self) -> Option<Wire> {
        self.keeps.then_some(self.wire)
    }
}

/// Sends the request to the reaper, and returns its answer.
fn ask(
    wire: &mut Wire,
    cgroup: Vec<u8>,
    argv: Vec<Vec<u8>>,
    order: &Order,
    streams: &[OwnedFd; STDIO],
) -> io::Result<Message> {
    let mut fields = vec![
        b"start".to_vec(),
        cgroup,
        order.workdir.as_os_str().as_bytes().to_vec(),
        argv.len().to_string().into_bytes(),
    ];
    fields.extend(argv);
    fields.extend(order.changes());
    // A host that refuses closes its end, maybe before the request is sent; its answer says why.
    let sent = wire.send_with(&fields, &streams.each_ref().map(AsFd::as_fd));
    wire.wait(START_WITHIN)
        .map_err(|error| sent.err().unwrap_or(error))
}

fn explain(error: io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut => "its host did not answer in time".to_owned(),
        _ => "its host has ended".to_owned(),
    }
}
