//! Messages between the orchestrator, its guard and the slot processes: fields of bytes over a
//! stream socket, with file descriptors if needed.
//!
//! A message is its length, then each field with its length, all as `u32` in little-endian order.
//! The first field is the kind of the message.

use crate::platform;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage, recvmsg,
    sendmsg,
};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Most descriptors that one message may carry.
const MOST_FDS: usize = 4;

/// Bytes that are read at a time.
const PIECE: usize = 4096;

/// Longest wait in one system call, since the kernel does not take every duration.
const LONGEST_POLL: Duration = Duration::from_secs(3600);

/// Bytes of a length.
const LENGTH: usize = size_of::<u32>();

/// One end of the connection.
pub(in crate::executor) struct Wire {
    socket: UnixStream,
    /// Bytes that were read and belong to no complete message yet.
    buffer: Vec<u8>,
    /// Messages that were not sent yet.
    queued: Vec<u8>,
    /// Descriptors that were received and not taken yet.
    fds: VecDeque<OwnedFd>,
}

/// The result of a read that does not wait.
pub(in crate::executor) enum Received {
    Message(Message),
    /// No complete message has arrived.
    Nothing,
    /// The other end is closed.
    Closed,
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::executor) struct Message(pub(super) Vec<Vec<u8>>);

impl Message {
    /// Returns the kind of the message; empty if it has no fields.
    pub(in crate::executor) fn kind(&self) -> &str {
        std::str::from_utf8(self.field(0)).unwrap_or_default()
    }

    /// Returns a field; empty if it does not exist.
    pub(in crate::executor) fn field(&self, index: usize) -> &[u8] {
        self.0.get(index).map_or(&[], Vec::as_slice)
    }

    /// Returns the texts in the fields from `first` on.
    pub(in crate::executor) fn texts(&self, first: usize) -> Vec<String> {
        let fields = self.0.iter().skip(first);
        fields
            .map(|field| String::from_utf8_lossy(field).into_owned())
            .collect()
    }

    /// Returns the number in a field; 0 if it holds none.
    pub(in crate::executor) fn number(&self, index: usize) -> u64 {
        let text = std::str::from_utf8(self.field(index)).unwrap_or_default();
        text.parse().unwrap_or(0)
    }
}

impl Wire {
    pub(in crate::executor) fn new(socket: impl Into<OwnedFd>) -> Self {
        Self {
            socket: socket.into().into(),
            buffer: Vec::new(),
            queued: Vec::new(),
            fds: VecDeque::new(),
        }
    }

    /// Creates a connection; returns one end, and the socket of the other.
    pub(in crate::executor) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (own, other) = UnixStream::pair()?;
        Ok((Self::new(own), other.into()))
    }

    pub(in crate::executor) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Adds a message to those that [`flush`](Self::flush) sends together.
    pub(in crate::executor) fn queue<F: AsRef<[u8]>>(&mut self, fields: &[F]) -> io::Result<()> {
        let bytes = encode(fields.iter().map(AsRef::as_ref))?;
        self.queued.extend(bytes);
        Ok(())
    }

    /// Sends the queued messages.
    pub(in crate::executor) fn flush(&mut self) -> io::Result<()> {
        if self.queued.is_empty() {
            return Ok(());
        }
        self.socket.write_all(&std::mem::take(&mut self.queued))
    }

    /// Sends a message.
    pub(in crate::executor) fn send<F: AsRef<[u8]>>(&mut self, fields: &[F]) -> io::Result<()> {
        self.send_with(fields, &[])
    }

    /// Sends a message with copies of `fds`.
    pub(in crate::executor) fn send_with<F: AsRef<[u8]>>(
        &mut self,
        fields: &[F],
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = encode(fields.iter().map(AsRef::as_ref))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        // The descriptors travel with the first bytes.
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(
                &self.socket,
                &[IoSlice::new(&bytes)],
                &mut control,
                platform::send_flags(),
            )
        })?;
        self.socket.write_all(&bytes[sent..])
    }

    /// Returns the next message that has arrived, without waiting for it.
    pub(in crate::executor) fn receive(&mut self) -> io::Result<Received> {
        loop {
            if let Some(message) = decode(&mut self.buffer)? {
                return Ok(Received::Message(message));
            }
            match self.read_piece() {
                Ok(0) => return Ok(Received::Closed),
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                // Some bytes were not read by the other end when it was closed.
                Err(Errno::CONNRESET) => return Ok(Received::Closed),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read_piece(&mut self) -> rustix::io::Result<usize> {
        let mut piece = [0; PIECE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut piece)],
            &mut control,
            platform::receive_flags(),
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds.inspect(platform::close_on_exec));
            }
        }
        self.buffer.extend_from_slice(&piece[..received.bytes]);
        Ok(received.bytes)
    }

    /// Waits for the next message for at most `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if none arrives, [`ErrorKind::UnexpectedEof`] if the other end is
    /// closed.
    pub(in crate::executor) fn wait(&mut self, timeout: Duration) -> io::Result<Message> {
        let begun = Instant::now();
        loop {
            match self.receive()? {
                Received::Message(message) => return Ok(message),
                Received::Closed => return Err(ErrorKind::UnexpectedEof.into()),
                Received::Nothing => {}
            }
            let Some(remaining) = timeout.checked_sub(begun.elapsed()) else {
                return Err(ErrorKind::TimedOut.into());
            };
            self.poll(remaining)?;
        }
    }

    /// Waits until something can be read, for at most `timeout`.
    pub(in crate::executor) fn poll(&self, timeout: Duration) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut fds, Some(&timespec(timeout.min(LONGEST_POLL)))) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the oldest descriptor that was received.
    pub(in crate::executor) fn take_fd(&mut self) -> Option<OwnedFd> {
        self.fds.pop_front()
    }
}

pub(in crate::executor) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs() as _,
        tv_nsec: duration.subsec_nanos() as _,
    }
}

fn encode<'a>(fields: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LENGTH];
    for field in fields {
        bytes.extend(length(field.len())?);
        bytes.extend_from_slice(field);
    }
    let total = length(bytes.len() - LENGTH)?;
    bytes[..LENGTH].copy_from_slice(&total);
    Ok(bytes)
}

fn length(length: usize) -> io::Result<[u8; LENGTH]> {
    let length = u32::try_from(length).map_err(|_| ErrorKind::ArgumentListTooLong)?;
    Ok(length.to_le_bytes())
}

/// Removes the first message from the buffer; `None` if it is not complete.
fn decode(buffer: &mut Vec<u8>) -> io::Result<Option<Message>> {
    let Some((total, rest)) = split_length(buffer) else {
        return Ok(None);
    };
    let Some(mut rest) = rest.get(..total) else {
        return Ok(None);
    };
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (field, after) = split_length(rest)
            .and_then(|(length, rest)| rest.split_at_checked(length))
            .ok_or(ErrorKind::InvalidData)?;
        fields.push(field.to_vec());
        rest = after;
    }
    buffer.drain(..LENGTH + total);
    Ok(Some(Message(fields)))
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    Some((u32::from_le_bytes(*length) as usize, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    const WAIT: Duration = Duration::from_secs(5);

    #[test]
    fn messages_of_any_length_arrive_in_order_and_whole() {
        let (mut a, b) = Wire::pair().unwrap();
        let mut b = Wire::new(b);
        let long = vec![7; 300_000];
        let sender = std::thread::spawn(move || {
            a.send(&[b"start".as_slice(), b"", &long]).unwrap();
            a.send(&["kill"]).unwrap();
        });
        let first = b.wait(WAIT).unwrap();
        assert_eq!((first.kind(), first.field(1).len()), ("start", 0));
        assert_eq!(first.field(2), vec![7; 300_000]);
        assert_eq!(b.wait(WAIT).unwrap().kind(), "kill");
        sender.join().unwrap();
        assert!(matches!(b.receive().unwrap(), Received::Closed));
    }

    #[test]
    fn a_descriptor_arrives_with_its_message() {
        let (mut a, b) = Wire::pair().unwrap();
        let mut b = Wire::new(b);
        let (mut reader, writer) = io::pipe().unwrap();
        a.send_with(&["slot"], &[writer.as_fd()]).unwrap();
        drop(writer);
        assert_eq!(b.wait(WAIT).unwrap().kind(), "slot");
        let received = b.take_fd().unwrap();
        std::fs::File::from(received).write_all(b"x").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn a_message_with_a_wrong_length_is_an_error_and_a_missing_field_is_empty() {
        let mut bytes = encode([b"x".as_slice()].into_iter()).unwrap();
        bytes[4] = 9;
        assert!(decode(&mut bytes).is_err());
        let message = Message(vec![b"hello".to_vec(), b"12".to_vec()]);
        assert_eq!((message.number(1), message.field(2)), (12, &[][..]));
    }
}
