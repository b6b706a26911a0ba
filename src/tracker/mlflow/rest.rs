//! The REST interface of an MLflow server: one call at a time, and what its failure means.
//!
//! Redirects are not followed: a `POST` would lose its body, and the password could go elsewhere.

use super::access::{self, Access};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a call may take in all.
const CALL: Duration = Duration::from_secs(30);
/// How long an upload may take in all.
const UPLOAD: Duration = Duration::from_secs(300);
/// The longest reply that is read.
const LONGEST: u64 = 16 << 20;

/// Where a server is, and who we are there.
#[derive(Clone)]
pub(super) struct Address {
    /// Without user and password: may be shown and kept.
    pub(super) base: String,
    access: Access,
}

impl Address {
    /// Takes user and password out of a URI; without them those of `access` count.
    pub(super) fn of(uri: &str, mut access: Access) -> Option<Self> {
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
            let plain = |text| percent_decode_str(text).collect::<Vec<u8>>();
            access.authorization = Some(access::basic(&plain(user), &plain(password)));
        }
        Some(Self { base, access })
    }
}

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trouble {
    /// Nobody is there, or is not well: worth trying again.
    Away(String),
    /// It will never be taken: MLflow's code for it, and the words.
    Refused {
        /// The HTTP status.
        status: u16,
        /// MLflow's name for the error, empty if it is not MLflow that answers.
        code: String,
        /// What it said.
        why: String,
    },
}

/// A server that can be called.
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

    /// Returns what may be shown of the address.
    pub(super) fn base(&self) -> &str {
        &self.address.base
    }

    /// Calls `runs/create` and the like.
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

    /// Asks with a query, each value of which is encoded here.
    pub(super) fn get(&self, call: &str, query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let url = format!("{}/api/2.0/mlflow/{call}", self.address.base);
        let request = self.agent.get(&url).query_pairs(query.iter().copied());
        let request = match &self.address.access.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        };
        self.answer(request.call())
    }

    /// Stores bytes as an artifact; `path` is encoded already.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> Result<(), Trouble> {
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
        self.read(request.send(bytes)).map(drop)
    }

    fn answer(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Trouble> {
        let body = self.read(sent)?;
        match serde_json::from_slice(&body) {
            Ok(reply @ Value::Object(_)) => Ok(reply),
            _ => Err(Trouble::Away(format!(
                "{} answers something that is not MLflow's",
                self.base()
            ))),
        }
    }

    /// Returns the body of a good reply.
    fn read(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Vec<u8>, Trouble> {
        let away = |error: ureq::Error| {
            Trouble::Away(format!(
                "{} does not answer: {}",
                self.base(),
                words(&error)
            ))
        };
        let mut reply = sent.map_err(away)?;
        let status = reply.status().as_u16();
        let moved = reply
            .headers()
            .get("Location")
            .and_then(|to| to.to_str().ok())
            .map(str::to_owned);
        let body = reply.body_mut().with_config().limit(LONGEST).read_to_vec();
        match status {
            200..=299 => body.map_err(away),
            300..=399 => {
                let to = moved
                    .as_deref()
                    .and_then(|to| Address::of(to, Access::default()))
                    .map_or_else(String::new, |to| format!(" to {}", to.base));
                let why = format!("{} redirects{to}; write the address itself", self.base());
                Err(Trouble::Refused {
                    status,
                    code: String::new(),
                    why,
                })
            }
            408 | 425 | 429 | 500.. => Err(Trouble::Away(format!(
                "{} answers with status {status}",
                self.base()
            ))),
            _ => Err(self.refusal(status, &body.unwrap_or_default())),
        }
    }

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

/// Says what can be done about a connection that cannot be secured.
fn untrusted(error: &str) -> String {
    let what = if error.contains("UnknownIssuer") {
        "nobody that is trusted has signed its certificate; \
         MLFLOW_TRACKING_SERVER_CERT_PATH can name a file with the certificate of who has"
    } else if error.contains("CaUsedAsEndEntity") {
        "its certificate is an authority's (CA:TRUE), not a server's; sign one for the server with it, \
         or set MLFLOW_TRACKING_INSECURE_TLS=true"
    } else {
        return error.to_owned();
    };
    what.to_owned()
}

/// Returns the error without the address, which may be long and is shown already.
fn words(error: &ureq::Error) -> String {
    match error {
        // What rustls says comes as an error of the stream.
        ureq::Error::Io(error) => untrusted(&error.to_string()),
        ureq::Error::Timeout(_) => "it takes too long".to_owned(),
        ureq::Error::BadUri(_) => "the address cannot be used".to_owned(),
        other => other.to_string(),
    }
}
