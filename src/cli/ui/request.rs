//! The requests that `swath ui` serves, and the checks on who may read.

use std::net::TcpStream;
use swath_http::{Head, Response, is_same_token};

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
        // Browsers add these headers to requests that the page of another site makes.
        let is_cross_site = head
            .header("origin")
            .is_some_and(|origin| !origin.eq_ignore_ascii_case(&format!("http://{host}")))
            || head
                .header("sec-fetch-site")
                .is_some_and(|site| site != "same-origin" && site != "none");
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
            ("data", query) => Request::Data {
                since: query.strip_prefix("since=").unwrap_or_default().to_owned(),
            },
            _ => Request::refused(404, "there is no page at this address"),
        }
    }
}

/// Returns the status that `swath ui` gives to a request. For the fuzz target.
pub fn status(head: &[u8]) -> u16 {
    let access = AccessControl::new(8080, "token".to_owned());
    match Head::parse(head) {
        Ok(head) => match access.route(&head) {
            Request::Page | Request::Data { .. } => 200,
            Request::Refused(response) => response.status(),
        },
        Err(response) => response.status(),
    }
}

/// Adds the headers that keep other sites from using a response.
pub(super) fn protected(response: Response) -> Response {
    let policy = format!("{}; frame-ancestors 'none'", crate::cli::page::policy());
    response
        .with("Content-Security-Policy", policy)
        .with("X-Content-Type-Options", "nosniff")
        .with("Referrer-Policy", "no-referrer")
        .with("Cross-Origin-Resource-Policy", "same-origin")
        .with("Cache-Control", "no-store")
}
