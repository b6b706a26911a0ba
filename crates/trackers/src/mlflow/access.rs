//! The credentials for a server and the certificates to trust, from the environment variables that
//! MLflow's own client reads.
//!
//! <https://mlflow.org/docs/latest/self-hosting/security/basic-http-auth/>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

const USER: &str = "MLFLOW_TRACKING_USERNAME";
const PASSWORD: &str = "MLFLOW_TRACKING_PASSWORD";
const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";
const INSECURE: &str = "MLFLOW_TRACKING_INSECURE_TLS";
/// The variables that name a file of trusted certificates; the first one that is set counts. The
/// second is that of the HTTP library that MLflow uses.
const BUNDLES: [&str; 2] = ["MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"];

/// The credentials sent with every call, and the certificates that a server is checked against.
#[derive(Clone, Default)]
pub(super) struct Access {
    /// The value of the header `Authorization`, if there are credentials.
    pub(super) authorization: Option<String>,
    trust: Trust,
}

/// The certificate authorities that are trusted.
#[derive(Clone, Default)]
enum Trust {
    /// Trusts the authorities that Mozilla trusts.
    #[default]
    Public,
    /// Trusts only these authorities.
    Given(RootCerts),
    /// Trusts any certificate, without verification.
    Anyone,
}

impl Access {
    /// Reads the settings from environment variables, which `variable` looks up. The variables
    /// about certificates are read only if the connection is to be `secured` with TLS.
    ///
    /// # Errors
    /// Returns an error if a named certificate file cannot be read or contains no certificate.
    pub(super) fn of(
        secured: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let authorization = match (set(USER), set(PASSWORD), set(TOKEN)) {
            (Some(user), Some(password), _) => Some(basic(user.as_bytes(), password.as_bytes())),
            (_, _, Some(token)) => Some(format!("Bearer {token}")),
            _ => None,
        };
        let insecure =
            set(INSECURE).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
        let trust = match BUNDLES
            .into_iter()
            .find_map(|name| Some((name, set(name)?)))
        {
            // No certificate is needed over `http://`, so a file that cannot be used is not an
            // error.
            _ if !secured => Trust::Public,
            _ if insecure => Trust::Anyone,
            None => Trust::Public,
            Some((name, path)) => {
                Trust::Given(bundle(&path).map_err(|why| format!("{name} names `{path}`, {why}"))?)
            }
        };
        Ok(Self {
            authorization,
            trust,
        })
    }

    /// Returns the TLS configuration for connections to the server.
    pub(super) fn tls(&self) -> TlsConfig {
        let config = TlsConfig::builder();
        match &self.trust {
            Trust::Public => config,
            Trust::Given(roots) => config.root_certs(roots.clone()),
            Trust::Anyone => config.disable_verification(true),
        }
        .build()
    }
}

/// Returns the value of the header `Authorization` for HTTP basic authentication.
pub(super) fn basic(user: &[u8], password: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode([user, b":", password].concat()))
}

/// Reads all certificates from a PEM file. The error completes the sentence "`VARIABLE` names
/// `PATH`, …".
fn bundle(path: &str) -> Result<RootCerts, String> {
    let text = fs::read(path).map_err(|error| format!("which cannot be read: {error}"))?;
    let mut roots = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(root) =
            item.map_err(|error| format!("which is no PEM file: {error}"))?
        {
            roots.push(root);
        }
    }
    if roots.is_empty() {
        Err("in which there is no certificate".to_owned())
    } else {
        Ok(RootCerts::from(roots))
    }
}

#[cfg(test)]
mod tests {
    use super::Access;

    fn access(secured: bool, variables: &[(&str, &str)]) -> Result<Access, String> {
        Access::of(secured, |name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn authorization(variables: &[(&str, &str)]) -> Option<String> {
        access(true, variables).unwrap().authorization
    }

    #[test]
    fn user_and_password_come_before_a_token_and_neither_is_no_login() {
        let (user, password) = (
            ("MLFLOW_TRACKING_USERNAME", "jö"),
            ("MLFLOW_TRACKING_PASSWORD", "a:b"),
        );
        let token = ("MLFLOW_TRACKING_TOKEN", "t-1");
        assert_eq!(
            authorization(&[user, password, token]).unwrap(),
            "Basic asO2OmE6Yg=="
        );
        assert_eq!(authorization(&[user, token]).unwrap(), "Bearer t-1");
        assert_eq!(authorization(&[user]), None);
        assert_eq!(authorization(&[("MLFLOW_TRACKING_TOKEN", "")]), None);
    }

    #[test]
    fn a_file_without_certificates_is_named_with_its_variable() {
        let named =
            |path: &str, secured| access(secured, &[("MLFLOW_TRACKING_SERVER_CERT_PATH", path)]);
        let said = |path: &str| named(path, true).err().unwrap();
        assert!(said("/nowhere/ca.pem").starts_with(
            "MLFLOW_TRACKING_SERVER_CERT_PATH names `/nowhere/ca.pem`, which cannot be read"
        ));
        assert!(
            named("/nowhere/ca.pem", false).is_ok(),
            "nobody asks for a certificate over `http://`"
        );
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert!(said(empty.path().to_str().unwrap()).ends_with("in which there is no certificate"));
    }
}
