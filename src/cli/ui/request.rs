//! HTTP requests and responses of `swath ui`, and the checks on who may read.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The maximum size of a request head in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The timeout for reading a request and for writing its response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Access control of the server: a request needs the token and must not come from another site.
#[derive(Debug, Clone)]
pub(super) struct AccessControl {
    port: u16,
    token: String,
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
    body: Vec<u8>,
}

impl AccessControl {
    pub(super) fn new(port: u16, token: String) -> Self {
        Self { port, token }
    }

    /// Returns the address of the page, which contains the token.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.token)
    }

    /// Reads a request and parses it. `None` if the connection ends, fails or times out first.
    pub(super) fn read(&self, stream: &mut TcpStream) -> Option<Request> {
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.set_write_timeout(Some(TIMEOUT)).ok()?;
        let mut head = Vec::new();
        let mut chunk = [0; 2048];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
            head.extend_from_slice(&chunk[..count]);
            if head.len() > MAX_HEAD {
                // The rest of the request is read, because closing a socket with unread data would
                // discard the response.
                let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
                while stream.read(&mut chunk).is_ok_and(|count| count > 0) {}
                return Some(Request::refused(431, "the request is too long"));
            }
        }
        Some(self.parse(&head))
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
        let hosts = [
            format!("127.0.0.1:{}", self.port),
            format!("localhost:{}", self.port),
        ];
        let Some(host) = header(headers, "host").filter(|host| hosts.contains(host)) else {
            return Request::refused(403, "the page is served under 127.0.0.1 and localhost only");
        };
        // Browsers add these headers to requests that the page of another site makes.
        let is_cross_site = header(headers, "origin")
            .is_some_and(|origin| origin != format!("http://{host}"))
            || header(headers, "sec-fetch-site")
                .is_some_and(|site| site != "same-origin" && site != "none");
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

/// Returns the value of a header as text, whatever the case of its name.
fn header(headers: &[httparse::Header<'_>], name: &str) -> Option<String> {
    let header = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(header.value).into_owned())
}

/// Returns the status that `swath ui` gives to a request. For the fuzz target.
pub fn status(head: &[u8]) -> u16 {
    let access = AccessControl::new(8080, "token".to_owned());
    match access.parse(head) {
        Request::Page | Request::Data { .. } => 200,
        Request::Refused(response) => response.status,
    }
}

impl Response {
    pub(super) fn new(status: u16, kind: &'static str, body: Vec<u8>) -> Self {
        Self {
            status,
            kind,
            mark: String::new(),
            body,
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
    pub(super) fn send(&self, mut stream: TcpStream) -> io::Result<()> {
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
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{mark}Content-Security-Policy: {}; frame-ancestors 'none'\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.status,
            self.kind,
            self.body.len(),
            crate::cli::page::policy(),
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)?;
        stream.flush()
    }
}
