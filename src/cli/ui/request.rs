//! The requests that `swath ui` serves, and the checks on who may read.

use std::net::TcpStream;
use swath_http::{Head, Response, is_same_token};

/// Access control of the server: a request needs the token and must not come from another site.
#[derive(Debug, Clone)]
pub(super) struct AccessControl {
    port: u16,
    token: String,
    /// Whether the page is shown in a frame of a notebook.
    in_notebook: bool,
}

/// A parsed request.
pub(super) enum Request {
    /// The client requests the page.
    Page,
    /// The client requests the data, unless nothing has changed since the mark `since`.
    Data { since: String },
    /// The client requests everything about a trial of the study with this index.
    Trial { study: usize, id: u32 },
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
        // No request that is served has a body.
        Some(match swath_http::Request::read(stream, 0)? {
            Ok(request) => self.route(&request.head),
            Err(response) => Request::Refused(response),
        })
    }

    fn route(&self, head: &Head) -> Request {
        let Some(host) = head.loopback_host() else {
            let reason = "the page is served under 127.0.0.1, [::1] and localhost only";
            return Request::refused(403, reason);
        };
        let is_frame = self.in_notebook && head.header("sec-fetch-dest") == Some("iframe");
        // Browsers add these headers to requests that the page of another site makes. The scripts of
        // a page cannot read a frame from elsewhere.
        let is_cross_site = head
            .header("origin")
            .is_some_and(|origin| !origin.eq_ignore_ascii_case(&format!("http://{host}")))
            || head
                .header("sec-fetch-site")
                .is_some_and(|site| site != "same-origin" && site != "none" && !is_frame);
        if is_cross_site {
            return Request::refused(403, "requests from other sites are refused");
        }
        if head.method != "GET" {
            return Request::refused(405, "only GET requests are served");
        }
        let rest = head
            .token_and_rest()
            .filter(|(token, _)| is_same_token(token, &self.token));
        let Some((_, rest)) = rest else {
            return Request::refused(404, "there is no page at this address");
        };
        match rest.split_once('?').unwrap_or((rest, "")) {
            ("", _) => Request::Page,
            ("trial", query) => match trial(query) {
                Some((study, id)) => Request::Trial { study, id },
                None => Request::refused(404, "there is no such trial"),
            },
            ("data", query) => Request::Data {
                since: query.strip_prefix("since=").unwrap_or_default().to_owned(),
            },
            _ => Request::refused(404, "there is no page at this address"),
        }
    }

    /// Returns the status of the response to a request.
    pub(super) fn status_of(&self, head: &[u8]) -> u16 {
        match Head::parse(head).map(|head| self.route(&head)) {
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

/// Returns the index of the study and the id of the trial in the query `study=0&id=12`.
fn trial(query: &str) -> Option<(usize, u32)> {
    let (study, id) = query.strip_prefix("study=")?.split_once("&id=")?;
    Some((study.parse().ok()?, id.parse().ok()?))
}

/// Returns the status that `swath ui` gives to a request. For the fuzz target.
pub fn status(head: &[u8]) -> u16 {
    AccessControl::new(8080, "token".to_owned()).status_of(head)
}
