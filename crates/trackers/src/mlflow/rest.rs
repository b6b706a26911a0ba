//! The client for the REST interface of an MLflow server: makes one call at a time and classifies
//! its failures.
//!
//! Redirects are not followed: a `POST` would lose its body, and the password could reach another
//! host.

use super::access::{self, Access};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::fs::File;
use std::time::Duration;
use ureq::Agent;

/// Maximum time to establish a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Maximum total time of a call.
const CALL: Duration = Duration::from_secs(30);
/// Maximum total time of an upload.
const UPLOAD: Duration = Duration::from_secs(300);
/// Maximum length of a reply in bytes.
const LONGEST: u64 = 16 << 20;

/// The address of a server, with the credentials for it.
#[derive(Clone)]
pub(super) struct Address {
    /// The base URL without user and password, which may be displayed and saved.
    pub(super) base: String,
    access: Access,
}

impl Address {
    /// Parses a URI, and separates user and password from it. They take precedence over the
    /// credentials in `access`. Returns `None` if `uri` is not a valid HTTP address of a server.
    pub(super) fn parse(uri: &str, mut access: Access) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (login, host) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(login, host)| (Some(login), host));
        if host.is_empty() || !matches!(scheme, "http" | "https") || path.contains(['?', '#']) {
            return None;
        }
        let base = format!("{scheme}://{host}{}", path.trim_end_matches('/'));
        let uri: ureq::http::Uri = base.parse().ok()?;
        let port = uri.authority()?.as_str().strip_prefix(uri.host()?)?;
        if !port.is_empty() && uri.port_u16().is_none() {
            return None;
        }
        let login = login.map(|login| login.split_once(':').unwrap_or((login, "")));
        if let Some((user, password)) = login {
            let user: Vec<u8> = percent_decode_str(user).collect();
            let password: Vec<u8> = percent_decode_str(password).collect();
            access.authorization = Some(access::basic(&user, &password));
        }
        Some(Self { base, access })
    }
}

/// The reason why a call failed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trouble {
    /// Occurs when the server is unreachable or overloaded; the call is worth repeating.
    Away(String),
    /// Occurs when the server refuses the call for good.
    Refused {
        /// The HTTP status.
        status: u16,
        /// MLflow's error code; empty if the reply is not from MLflow.
        code: String,
        /// The reason, as shown to the user.
        why: String,
    },
}

/// A server with an HTTP client for it.
pub(super) struct Server {
    agent: Agent,
    address: Address,
}

impl Server {
    pub(super) fn new(address: Address) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .tls_config(address.access.tls())
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(CALL))
            .user_agent(concat!("swath/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().into(),
            address,
        }
    }

    /// Returns the base URL without user and password.
    pub(super) fn base(&self) -> &str {
        &self.address.base
    }

    /// Makes a `POST` call such as `runs/create` and returns the JSON object of the reply.
    pub(super) fn post(&self, call: &str, body: &Value) -> Result<Value, Trouble> {
        let url = format!("{}/api/2.0/mlflow/{call}", self.address.base);
        let request = self
            .agent
            .post(&url)
            .header("Content-Type", "application/json");
        let request = match &self.address.access.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        };
        self.answer(request.send(body.to_string()))
    }

    /// Makes a `GET` call and returns the JSON object of the reply. The values of `query` are
    /// encoded here.
    pub(super) fn get(&self, call: &str, query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let url = format!("{}/api/2.0/mlflow/{call}", self.address.base);
        let request = self.agent.get(&url).query_pairs(query.iter().copied());
        let request = match &self.address.access.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        };
        self.answer(request.call())
    }

    /// Uploads a file as an artifact; `path` must already be percent-encoded.
    pub(super) fn put(&self, path: &str, file: &File) -> Result<(), Trouble> {
        let url = format!(
            "{}/api/2.0/mlflow-artifacts/artifacts/{path}",
            self.address.base
        );
        let request = self
            .agent
            .put(&url)
            .config()
            .timeout_global(Some(UPLOAD))
            .build();
        let request = request.header("Content-Type", "application/octet-stream");
        let request = match &self.address.access.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        };
        self.read(request.send(file)).map(drop)
    }

    /// Returns the JSON object of a successful reply. A reply without one comes from something else
    /// than MLflow.
    fn answer(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Trouble> {
        let body = self.read(sent)?;
        match serde_json::from_slice(&body) {
            Ok(reply @ Value::Object(_)) => Ok(reply),
            _ => Err(Trouble::Away(format!(
                "{} sent a reply that is not from MLflow",
                self.base()
            ))),
        }
    }

    /// Returns the body of a successful reply and classifies all others.
    fn read(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Vec<u8>, Trouble> {
        let mut reply = sent.map_err(|error| self.unreachable(&error))?;
        let status = reply.status().as_u16();
        let redirect = reply
            .headers()
            .get("Location")
            .and_then(|to| to.to_str().ok())
            .map(str::to_owned);
        let body = reply.body_mut().with_config().limit(LONGEST).read_to_vec();
        match status {
            200..=299 => body.map_err(|error| self.unreachable(&error)),
            300..=399 => {
                let to = redirect
                    .as_deref()
                    .and_then(|to| Address::parse(to, Access::default()))
                    .map_or_else(String::new, |to| format!(" to {}", to.base));
                let why = format!(
                    "{} redirects{to}; set `uri` to the final address",
                    self.base()
                );
                Err(Trouble::Refused {
                    status,
                    code: String::new(),
                    why,
                })
            }
            // Timeouts, rate limits and server errors are temporary.
            408 | 425 | 429 | 500.. => Err(Trouble::Away(format!(
                "{} answers with status {status}",
                self.base()
            ))),
            _ => Err(self.refusal(status, &body.unwrap_or_default())),
        }
    }

    /// Returns the error for a call that got no reply.
    fn unreachable(&self, error: &ureq::Error) -> Trouble {
        let why = explanation(error);
        Trouble::Away(format!("{} does not answer: {why}", self.base()))
    }

    /// Returns the refusal in a reply, with the first line of MLflow's message.
    fn refusal(&self, status: u16, body: &[u8]) -> Trouble {
        let reply: Value = serde_json::from_slice(body).unwrap_or_default();
        let code = reply["error_code"].as_str().unwrap_or_default().to_owned();
        let message = reply["message"]
            .as_str()
            .and_then(|message| message.lines().next());
        let why = match (message, status) {
            (Some(message), _) => {
                format!(
                    "{} refuses: {}",
                    self.base(),
                    message.chars().take(300).collect::<String>()
                )
            }
            (None, 401 | 403) => {
                format!(
                    "{} refuses with status {status}: check user and password",
                    self.base()
                )
            }
            (None, _) => format!("{} refuses with status {status}", self.base()),
        };
        Trouble::Refused { status, code, why }
    }
}

/// Returns an explanation for a failed TLS connection, with a remedy where one is known.
fn tls_explanation(error: &str) -> String {
    if error.contains("UnknownIssuer") {
        "no trusted authority has signed its certificate; if you trust the authority that has, set \
         MLFLOW_TRACKING_SERVER_CERT_PATH to a file with its certificate"
            .to_owned()
    } else if error.contains("CaUsedAsEndEntity") {
        "its certificate is that of an authority (CA:TRUE), not of a server; sign a server \
         certificate with it, or set MLFLOW_TRACKING_INSECURE_TLS=true"
            .to_owned()
    } else {
        error.to_owned()
    }
}

/// Returns the error's message without the address, which may be long and is displayed anyway.
fn explanation(error: &ureq::Error) -> String {
    match error {
        // Errors of rustls arrive as I/O errors.
        ureq::Error::Io(error) => tls_explanation(&error.to_string()),
        ureq::Error::Timeout(_) => "the call timed out".to_owned(),
        ureq::Error::BadUri(_) => "the address is not valid".to_owned(),
        other => other.to_string(),
    }
}
