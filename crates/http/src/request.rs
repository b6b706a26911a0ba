//! Reads requests, and checks who sends them.

use crate::Response;
use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The maximum size of a request head in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The time in which a client must have sent the whole head of its request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// The time in which a client must have sent the whole body of its request.
const BODY_TIME: Duration = Duration::from_secs(60);

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The method, such as `GET`.
    pub method: String,
    /// The path with its query.
    pub target: String,
    headers: Vec<(String, String)>,
}

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, the path and the headers.
    pub head: Head,
    /// The content.
    pub body: Vec<u8>,
}

impl Head {
    /// Parses the bytes up to the empty line.
    ///
    /// # Errors
    /// The response for something that is not the head of a request.
    pub fn parse(bytes: &[u8]) -> Result<Self, Response> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let (Ok(httparse::Status::Complete(_)), Some(method), Some(target)) =
            (request.parse(bytes), request.method, request.path)
        else {
            return Err(Response::text(400, "this is not an HTTP request"));
        };
        let headers = request.headers.iter().map(|header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_owned(), value)
        });
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.collect(),
        })
    }

    /// Returns the value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// Returns the header `Host` if it names this machine, with any port: the other end of a tunnel
    /// may have another one. Another name means DNS rebinding: the name of another site that
    /// resolves to this address.
    #[must_use]
    pub fn loopback_host(&self) -> Option<&str> {
        self.header("host").filter(|host| is_loopback(host))
    }

    /// Returns the first part of the path and the rest behind its slash.
    #[must_use]
    pub fn token_and_rest(&self) -> Option<(&str, &str)> {
        self.target.strip_prefix('/')?.split_once('/')
    }
}

impl Request {
    /// Reads a request whose body has at most `longest_body` bytes. `None` if the connection ends,
    /// fails or times out first.
    ///
    /// # Errors
    /// The response for a request that is refused.
    pub fn read(stream: &mut TcpStream, longest_body: usize) -> Option<Result<Self, Response>> {
        let deadline = Instant::now() + HEAD_TIME;
        let mut bytes = Vec::new();
        let head_end = loop {
            let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
            if end.unwrap_or(bytes.len()) > MAX_HEAD {
                discard(stream, deadline);
                return Some(Err(Response::text(431, "the request is too long")));
            }
            if let Some(end) = end {
                break end + 4;
            }
            read_more(stream, &mut bytes, deadline)?;
        };
        let body = bytes.split_off(head_end);
        Some(match Head::parse(&bytes) {
            Ok(head) => match head.body_length(longest_body) {
                Ok(length) => Ok(Self {
                    head,
                    body: read_body(stream, body, length)?,
                }),
                Err(response) => {
                    discard(stream, deadline);
                    Err(response)
                }
            },
            Err(response) => Err(response),
        })
    }
}

impl Head {
    /// Returns the number of bytes of the body.
    fn body_length(&self, longest: usize) -> Result<usize, Response> {
        if self.header("transfer-encoding").is_some() {
            return Err(Response::text(411, "the request has no length"));
        }
        let Some(length) = self.header("content-length") else {
            return Ok(0);
        };
        match length.trim().parse::<usize>() {
            Ok(length) if length <= longest => Ok(length),
            Ok(_) => Err(Response::text(413, "the request is too long")),
            Err(_) => Err(Response::text(
                400,
                "the length of the request is no number",
            )),
        }
    }
}

/// Reads the rest of a body; `None` if the connection ends, fails or times out first.
fn read_body(stream: &mut TcpStream, mut body: Vec<u8>, length: usize) -> Option<Vec<u8>> {
    let deadline = Instant::now() + BODY_TIME;
    while body.len() < length {
        read_more(stream, &mut body, deadline)?;
    }
    body.truncate(length);
    Some(body)
}

/// Appends the next bytes of a connection. The deadline counts for the whole: a client that sends a
/// byte now and then would otherwise keep the connection for ever.
fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>, deadline: Instant) -> Option<()> {
    let rest = deadline.saturating_duration_since(Instant::now());
    if rest.is_zero() {
        return None;
    }
    stream.set_read_timeout(Some(rest)).ok()?;
    let mut chunk = [0; 8192];
    let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&chunk[..count]);
    Some(())
}

/// Reads the rest of a refused request, because closing a socket with unread data would discard
/// the response.
fn discard(stream: &mut TcpStream, deadline: Instant) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    let mut chunk = [0; 8192];
    while Instant::now() < deadline && stream.read(&mut chunk).is_ok_and(|count| count > 0) {}
}

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

/// Compares two tokens. The comparison takes the same time wherever they differ, so that timing
/// reveals nothing.
#[must_use]
pub fn is_same_token(token: &str, other: &str) -> bool {
    let differs = token
        .bytes()
        .zip(other.bytes())
        .fold(0, |differs, (a, b)| differs | (a ^ b));
    token.len() == other.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::{Head, Request};
    use std::io::Write as _;
    use std::net::{Shutdown, TcpListener, TcpStream};

    /// Sends bytes over a connection, and returns the request that is read from it.
    fn read(sent: &[u8], longest_body: usize) -> Option<Result<Request, u16>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        client.write_all(sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let request = Request::read(&mut stream, longest_body)?;
        Some(request.map_err(|response| response.status()))
    }

    #[test]
    fn a_request_is_read_with_its_whole_body_and_nothing_behind_it() {
        let sent = b"POST /t/runs?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcdef";
        let request = read(sent, 10).unwrap().unwrap();
        assert_eq!(request.body, b"abc");
        assert_eq!(request.head.method, "POST");
        assert_eq!(request.head.token_and_rest(), Some(("t", "runs?a=1")));
        assert_eq!(request.head.header("HOST"), Some("x"));
        assert_eq!(request.head.loopback_host(), None);
    }

    #[test]
    fn requests_that_are_too_long_or_of_unknown_length_are_refused() {
        let head = "POST / HTTP/1.1\r\n";
        for (headers, status) in [
            ("Content-Length: 11", 413),
            ("Content-Length: many", 400),
            ("Content-Length: -1", 400),
            ("Transfer-Encoding: chunked", 411),
        ] {
            let sent = format!("{head}{headers}\r\n\r\nabc");
            assert_eq!(read(sent.as_bytes(), 10), Some(Err(status)), "{headers}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000));
        assert_eq!(read(long.as_bytes(), 10), Some(Err(431)));
        assert_eq!(read(b"nonsense\r\n\r\n", 10), Some(Err(400)));
    }

    #[test]
    fn a_connection_that_ends_within_a_request_has_no_request() {
        assert_eq!(read(b"", 10), None);
        assert_eq!(read(b"GET / HTTP/1.1\r\n", 10), None);
        let cut = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc";
        assert_eq!(read(cut, 10), None);
    }

    #[test]
    fn a_path_without_a_second_part_has_no_token() {
        let head = Head::parse(b"GET /token HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(head.token_and_rest(), None);
    }
}
