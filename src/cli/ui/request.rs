//! The requests that `swath ui` serves, and the checks on who may read.

use std::net::TcpStream;
use swath_http::{Head, Response, is_same_token};

/// Maximum number of bytes of the description of an action.
const MAX_BODY: usize = 64 * 1024;

/// Access control of the server: a request needs the token and must not come from another site.
#[derive(Debug, Clone)]
pub(super) struct AccessControl {
    port: u16,
    token: String,
    /// Whether the page is shown in a frame of a notebook.
    in_notebook: bool,
    /// Whether a page may change a study.
    allows_actions: bool,
}

/// The index of a study, and the id of one of its trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TrialPath {
    pub(super) study: usize,
    pub(super) id: u32,
}

/// A parsed request.
pub(super) enum Request {
    /// The client requests the page.
    Page,
    /// The client requests the present data.
    Data,
    /// The client requests the comparison of the studies.
    Comparison,
    /// The client requests the data and all their changes.
    Events,
    /// The client requests everything about a trial.
    Trial(TrialPath),
    /// The client requests the lines of a log of a trial behind an offset.
    Log {
        trial: TrialPath,
        name: &'static str,
        from: Option<u64>,
    },
    /// The client requests an artifact of a trial by its path.
    Artifact { trial: TrialPath, path: String },
    /// The page that received `secret` asks for the action that the body describes.
    Act { secret: String, body: Vec<u8> },
    /// The request is refused; the response states the reason.
    Refused(Response),
}

impl Request {
    fn refused(status: u16, reason: &str) -> Self {
        Self::Refused(Response::text(status, reason))
    }
}

impl AccessControl {
    pub(super) fn new(port: u16, token: String) -> Self {
        Self {
            port,
            token,
            in_notebook: false,
            allows_actions: false,
        }
    }

    /// Lets the page change its studies.
    pub(super) fn with_actions(self, allows_actions: bool) -> Self {
        Self {
            allows_actions,
            ..self
        }
    }

    pub(super) fn allows_actions(&self) -> bool {
        self.allows_actions
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
        // Only an action has a body.
        let longest = if self.allows_actions { MAX_BODY } else { 0 };
        Some(match swath_http::Request::read(stream, longest)? {
            Ok(request) => self.route(&request.head, request.body),
            Err(response) => Request::Refused(response),
        })
    }

    fn route(&self, head: &Head, body: Vec<u8>) -> Request {
        let Some(host) = head.loopback_host() else {
            let reason = "the page is served under 127.0.0.1, [::1] and localhost only";
            return Request::refused(403, reason);
        };
        let is_frame = self.in_notebook && head.header("sec-fetch-dest") == Some("iframe");
        // Browsers add these headers to requests that the page of another site makes. The scripts
        // of a page cannot read a frame from elsewhere.
        let is_cross_site = head
            .header("origin")
            .is_some_and(|origin| !origin.eq_ignore_ascii_case(&format!("http://{host}")))
            || head
                .header("sec-fetch-site")
                .is_some_and(|site| site != "same-origin" && site != "none" && !is_frame);
        if is_cross_site {
            return Request::refused(403, "requests from other sites are refused");
        }
        let is_action = head.method == "POST" && self.allows_actions;
        if head.method != "GET" && !is_action {
            return Request::refused(405, "only GET requests are served");
        }
        let rest = head
            .token_and_rest()
            .filter(|(token, _)| is_same_token(token, &self.token));
        let Some((_, rest)) = rest else {
            return Request::refused(404, "there is no page at this address");
        };
        if is_action {
            return action(head, rest, body);
        }
        match rest.split_once('?').unwrap_or((rest, "")) {
            ("", _) => Request::Page,
            (name @ ("trial" | "log" | "artifact"), query) => of_trial(name, query)
                .unwrap_or_else(|| Request::refused(404, "there is no such trial")),
            ("data", _) => Request::Data,
            ("comparison", _) => Request::Comparison,
            ("events", _) => Request::Events,
            _ => Request::refused(404, "there is no page at this address"),
        }
    }

    /// Returns the status of the response to a request.
    pub(super) fn status_of(&self, head: &[u8]) -> u16 {
        match Head::parse(head).map(|head| self.route(&head, Vec::new())) {
            Ok(Request::Refused(response)) | Err(response) => response.status(),
            Ok(_) => 200,
        }
    }

    /// Adds the headers that keep other sites from using a response.
    pub(super) fn protect(&self, response: Response) -> Response {
        let policy = format!(
            "{}; frame-ancestors {}",
            crate::cli::page::policy(),
            self.frame_ancestors()
        );
        response
            .with("Content-Security-Policy", policy)
            .with("X-Content-Type-Options", "nosniff")
            .with("Referrer-Policy", "no-referrer")
            .with("Cross-Origin-Resource-Policy", "same-origin")
            .with("Cache-Control", "no-store")
    }
}

/// Parses a request for an action. Browsers send `Origin` with each POST request, and a page of
/// another site cannot set a header of its own without asking first.
fn action(head: &Head, path: &str, body: Vec<u8>) -> Request {
    let secret = head.header("x-swath-secret");
    match secret.filter(|_| path == "act" && head.header("origin").is_some()) {
        Some(secret) => Request::Act {
            secret: secret.to_owned(),
            body,
        },
        None => Request::refused(403, "this request does not come from the page"),
    }
}

/// Parses a request for a part of a trial.
fn of_trial(part: &str, query: &str) -> Option<Request> {
    let trial = TrialPath {
        study: parameter(query, "study")?.parse().ok()?,
        id: parameter(query, "id")?.parse().ok()?,
    };
    Some(match part {
        "log" => Request::Log {
            trial,
            name: match &*parameter(query, "name")? {
                "stderr.log" => "stderr.log",
                "stdout.log" => "stdout.log",
                _ => return None,
            },
            from: parameter(query, "from").and_then(|text| text.parse().ok()),
        },
        "artifact" => Request::Artifact {
            trial,
            path: parameter(query, "path")?,
        },
        _ => Request::Trial(trial),
    })
}

/// Returns the value of a parameter of a query, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter_map(|(key, value)| (key == name).then_some(value));
    decoded(values.next()?)
}

/// Decodes `%20` and its like; `None` if the result is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.get(..2).filter(|_| *first == b'%');
        let code =
            pair.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).ok()
}

/// Returns the status that `swath ui` gives to a request. For the fuzz target.
pub fn status(head: &[u8]) -> u16 {
    AccessControl::new(8080, "token".to_owned()).status_of(head)
}

#[cfg(test)]
mod tests {
    use super::{decoded, parameter};

    #[test]
    fn the_parameters_of_a_query_are_decoded() {
        let query = "study=0&path=a%2Fgr%C3%B6%C3%9Fe%20b.png&id=12";
        assert_eq!(parameter(query, "path").unwrap(), "a/größe b.png");
        assert_eq!(parameter(query, "id").unwrap(), "12");
        assert_eq!(parameter(query, "name"), None);
        assert_eq!(decoded("100%").unwrap(), "100%");
        assert_eq!(decoded("%zz%4").unwrap(), "%zz%4");
        assert_eq!(decoded("%ff"), None);
    }
}
