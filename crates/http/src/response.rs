//! Writes responses.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time for which a client may take nothing of a response.
const STALL_TIME: Duration = Duration::from_secs(5);

/// The time in which a client must have taken the whole response. The page of a large study takes
/// its time through a tunnel to another machine.
const RESPONSE_TIME: Duration = Duration::from_secs(60);

/// A response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Arc<Vec<u8>>,
}

impl Response {
    /// Makes a response with a body of this media type.
    #[must_use]
    pub fn new(status: u16, kind: &str, body: impl Into<Arc<Vec<u8>>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", kind.to_owned())],
            body: body.into(),
        }
    }

    /// Makes a response with a line of text.
    #[must_use]
    pub fn text(status: u16, text: &str) -> Self {
        let body = format!("{text}\n").into_bytes();
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the content.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Writes the response and closes the connection.
    ///
    /// # Errors
    /// If the client takes nothing for some seconds, or not all of it within a minute.
    pub fn send(&self, mut stream: TcpStream) -> io::Result<()> {
        let deadline = Instant::now() + RESPONSE_TIME;
        let length = format!("Content-Length: {}\r\n", self.body.len());
        write_all(&mut stream, &self.head(&length)?, deadline)?;
        write_all(&mut stream, &self.body, deadline)?;
        stream.flush()
    }

    /// Returns the head with the header `length`, which may be empty.
    fn head(&self, length: &str) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status))?;
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        write!(head, "{length}Connection: close\r\n\r\n")?;
        Ok(head)
    }
}

/// A response that goes on: server-sent events.
#[derive(Debug)]
pub struct EventStream(TcpStream);

impl EventStream {
    /// Sends the head of a response, whose body is not sent.
    ///
    /// # Errors
    /// As [`Response::send`].
    pub fn start(response: &Response, mut stream: TcpStream) -> io::Result<Self> {
        let head = response.head("")?;
        write_all(&mut stream, &head, Instant::now() + RESPONSE_TIME)?;
        Ok(Self(stream))
    }

    /// Sends an event whose data are one line.
    ///
    /// # Errors
    /// As [`Response::send`].
    pub fn send(&mut self, event: &str, data: &str) -> io::Result<()> {
        self.write(&format!("event: {event}\ndata: {data}\n\n"))
    }

    /// Sends a comment, which a browser ignores.
    ///
    /// # Errors
    /// As [`Response::send`].
    pub fn comment(&mut self) -> io::Result<()> {
        self.write(":\n\n")
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        write_all(&mut self.0, text.as_bytes(), Instant::now() + RESPONSE_TIME)?;
        self.0.flush()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// Writes all bytes. Fails if the client takes nothing for [`STALL_TIME`], or not all of them until
/// the deadline.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(rest.min(STALL_TIME)))?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
