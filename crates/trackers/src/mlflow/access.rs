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
pub(crate) struct Access {
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
    Custom(RootCerts),
    /// Trusts any certificate, without verification.
    Unverified,
}

impl Access {
    /// Reads the settings from environment variables, which `variable` looks up. The variables
    /// about certificates are read only if the connection uses TLS.
    ///
    /// # Errors
    /// Returns an error if a named certificate file cannot be read or contains no certificate.
    pub(crate) fn from_variables(
        uses_tls: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        // An empty variable counts as unset.
        let [user, password, token, insecure, path, other_path] =
            [USER, PASSWORD, TOKEN, INSECURE, BUNDLES[0], BUNDLES[1]]
                .map(|name| variable(name).filter(|value| !value.is_empty()));
        let authorization = match (user, password, token) {
            (Some(user), Some(password), _) => Some(basic(user.as_bytes(), password.as_bytes())),
            (_, _, Some(token)) => Some(format!("Bearer {token}")),
            _ => None,
        };
        let is_insecure =
            insecure.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
        let bundle = BUNDLES
            .into_iter()
            .zip([path, other_path])
            .find_map(|(name, path)| Some((name, path?)));
        let trust = match bundle {
            // No certificate is needed over `http://`, so a file that cannot be used is not an
            // error.
            _ if !uses_tls => Trust::Public,
            _ if is_insecure => Trust::Unverified,
            None => Trust::Public,
            Some((name, path)) => Trust::Custom(
                read_certificates(&path).map_err(|why| format!("{name} names `{path}`, {why}"))?,
            ),
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
            Trust::Custom(roots) => config.root_certs(roots.clone()),
            Trust::Unverified => config.disable_verification(true),
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
fn read_certificates(path: &str) -> Result<RootCerts, String> {
    let text = fs::read(path).map_err(|error| format!("which cannot be read: {error}"))?;
    let mut roots = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(root) =
            item.map_err(|error| format!("which is not a PEM file: {error}"))?
        {
            roots.push(root);
        }
    }
    if roots.is_empty() {
        Err("which contains no certificate".to_owned())
    } else {
        Ok(RootCerts::from(roots))
    }
}

#[cfg(test)]
mod tests {
    use super::Access;

    fn access(uses_tls: bool, variables: &[(&str, &str)]) -> Result<Access, String> {
        Access::from_variables(uses_tls, |name| {
            variables
                .iter()
                .find(|(other, _)| *other == name)
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
        let missing = [("MLFLOW_TRACKING_SERVER_CERT_PATH", "/nowhere/ca.pem")];
        let error = access(true, &missing).err().unwrap();
        assert!(error.starts_with(
            "MLFLOW_TRACKING_SERVER_CERT_PATH names `/nowhere/ca.pem`, which cannot be read"
        ));
        assert!(
            access(false, &missing).is_ok(),
            "`http://` needs no certificate"
        );
        let empty = tempfile::NamedTempFile::new().unwrap();
        let path = empty.path().to_str().unwrap();
        let error = access(true, &[("MLFLOW_TRACKING_SERVER_CERT_PATH", path)]).err();
        assert!(error.unwrap().ends_with("which contains no certificate"));
    }
}
