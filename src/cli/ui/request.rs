//! HTTP requests and responses of `swath ui`, and the checks on who may read.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The maximum size of a request head in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The time in which a client must have sent its whole request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// The time for which a client may take nothing of a response.
const STALL_TIME: Duration = Duration::from_secs(5);
/// The time in which a client must have taken the whole response. The page of a large study takes
/// its time through a tunnel to another machine.
const RESPONSE_TIME: Duration = Duration::from_secs(60);

/// Access control of the server: a request needs the token and must not come from another site.
#[derive(Debug, Clone)]
pub(super) struct AccessControl {
    port: u16,
    token: String,
    /// Whether a notebook on this machine may show the page in a frame.
    in_notebook: bool,
}

/// A parsed request.
pub(super) enum Request {
    /// The client requests the page.
    Page,
    /// The client requests the data, unless nothing has changed since the mark `since`.
    Data { since: String },
    /// The request is refused; the response states the reason.
    Refused(Response),
}

impl Request {
    fn refused(status: u16, reason: &str) -> Self {
        Self::Refused(Response::text(status, reason))
    }
}

/// An HTTP response.
pub(super) struct Response {
    status: u16,
    kind: &'static str,
    mark: String,
    body: Arc<Vec<u8>>,
}

impl AccessControl {
    pub(super) fn new(port: u16, token: String) -> Self {
        Self {
            port,
            token,
            in_notebook: false,
        }
    }

    /// Lets pages of this machine that know the address show the page in a frame.
    pub(super) fn with_notebook(self, in_notebook: bool) -> Self {
        Self {
            in_notebook,
            ..self
        }
    }

    /// Returns whether the page is shown in a notebook, whose end is the end of this process.
    pub(super) fn is_in_notebook(&self) -> bool {
        self.in_notebook
    }

    /// Returns the pages that may show this one in a frame, in the words of a
    /// Content-Security-Policy.
    pub(super) fn frame_ancestors(&self) -> &'static str {
        match self.in_notebook {
            true => "http://127.0.0.1:* http://localhost:* https://localhost:*",
            false => "'none'",
        }
    }

    /// Returns the address of the page, which contains the token.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// Reads a request and parses it. `None` if the connection ends, fails or times out first.
    pub(super) fn read(&self, stream: &mut TcpStream) -> Option<Request> {
        let deadline = Instant::now() + REQUEST_TIME;
        let mut head = Vec::new();
        let mut chunk = [0; 2048];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            // The time counts for the whole request: a client that sends a byte now and then would
            // otherwise keep the connection for ever.
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return None;
            }
            stream.set_read_timeout(Some(rest)).ok()?;
            let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
            head.extend_from_slice(&chunk[..count]);
            if head.len() > MAX_HEAD {
                // The rest of the request is read, because closing a socket with unread data would
                // discard the response.
                let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
                while Instant::now() < deadline
                    && stream.read(&mut chunk).is_ok_and(|count| count > 0)
                {}
                return Some(Request::refused(431, "the request is too long"));
            }
        }
        Some(self.parse(&head))
    }

    /// Returns the status of the response to a request.
    pub(super) fn status_of(&self, head: &[u8]) -> u16 {
        match self.parse(head) {
            Request::Page | Request::Data { .. } => 200,
            Request::Refused(response) => response.status,
        }
    }

    fn parse(&self, head: &[u8]) -> Request {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let (Ok(httparse::Status::Complete(_)), Some(method), Some(path)) =
            (request.parse(head), request.method, request.path)
        else {
            return Request::refused(400, "this is not an HTTP request");
        };
        let headers = &*request.headers;
        // Another host name means DNS rebinding: another site's name that resolves to this address.
        let Some(host) = header(headers, "host").filter(|host| is_loopback(host)) else {
            let reason = "the page is served under 127.0.0.1, [::1] and localhost only";
            return Request::refused(403, reason);
        };
        let is_frame = self.in_notebook
            && header(headers, "sec-fetch-dest").is_some_and(|kind| kind == "iframe");
        // Browsers add these headers to requests that the page of another site makes. The scripts of
        // a page cannot read a frame from elsewhere.
        let is_cross_site = header(headers, "origin")
            .is_some_and(|origin| !origin.eq_ignore_ascii_case(&format!("http://{host}")))
            || header(headers, "sec-fetch-site")
                .is_some_and(|site| site != "same-origin" && site != "none" && !is_frame);
        if is_cross_site {
            return Request::refused(403, "requests from other sites are refused");
        }
        if method != "GET" {
            return Request::refused(405, "only GET requests are served");
        }
        let Some(rest) = self.path_behind_token(path) else {
            return Request::refused(404, "there is no page at this address");
        };
        match rest.split_once('?').unwrap_or((rest, "")) {
            ("", _) => Request::Page,
            ("data", query) => Request::Data {
                since: query.strip_prefix("since=").unwrap_or_default().to_owned(),
            },
            _ => Request::refused(404, "there is no page at this address"),
        }
    }

    /// Returns the path behind the token. The comparison takes the same time wherever the tokens
    /// differ, so that timing reveals nothing.
    fn path_behind_token<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (token, rest) = path.strip_prefix('/')?.split_once('/')?;
        let has_same_length = token.len() == self.token.len();
        let differs = token
            .bytes()
            .zip(self.token.bytes())
            .fold(0, |differs, (a, b)| differs | (a ^ b));
        (has_same_length && differs == 0).then_some(rest)
    }
}

/// Returns whether a `Host` header names this machine, with any port: the other end of a tunnel may
/// have another one. The name alone prevents DNS rebinding, since no page of another site has it.
fn is_loopback(host: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    ["127.0.0.1", "[::1]", "localhost"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
}

/// Returns the value of a header as text, whatever the case of its name.
fn header(headers: &[httparse::Header<'_>], name: &str) -> Option<String> {
    let header = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(header.value).into_owned())
}

/// Returns the status that `swath ui` gives to a request. For the fuzz target.
pub fn status(head: &[u8]) -> u16 {
    AccessControl::new(8080, "token".to_owned()).status_of(head)
}

impl Response {
    pub(super) fn new(status: u16, kind: &'static str, body: impl Into<Arc<Vec<u8>>>) -> Self {
        Self {
            status,
            kind,
            mark: String::new(),
            body: body.into(),
        }
    }

    /// Adds the mark that identifies this state of the data.
    pub(super) fn marked(self, mark: String) -> Self {
        Self { mark, ..self }
    }

    pub(super) fn text(status: u16, text: &str) -> Self {
        Self::new(
            status,
            "text/plain; charset=utf-8",
            format!("{text}\n").into_bytes(),
        )
    }

    /// Writes the response and closes the connection.
    pub(super) fn send(&self, mut stream: TcpStream, access: &AccessControl) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            204 => "No Content",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            _ => "Internal Server Error",
        };
        let mark = if self.mark.is_empty() {
            String::new()
        } else {
            format!("X-Mark: {}\r\n", self.mark)
        };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{mark}Content-Security-Policy: {}; frame-ancestors {}\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.status,
            self.kind,
            self.body.len(),
            crate::cli::page::policy(),
            access.frame_ancestors(),
        );
        let deadline = Instant::now() + RESPONSE_TIME;
        write_all(&mut stream, head.as_bytes(), deadline)?;
        write_all(&mut stream, &self.body, deadline)?;
        stream.flush()
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
