//! The HTTP endpoint on this machine to which the programs of a run log.

use super::attempt::AttemptServer;
use super::call::Refusal;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use swath_http::{Connections, Request, Response, is_same_token};

/// The maximum size of a request body in bytes. MLflow's clients send at most 1 MiB of metrics.
const LONGEST_BODY: usize = 32 << 20;

/// The server of an attempt, which its requests share.
pub(super) type Shared = Arc<Mutex<AttemptServer>>;

/// The attempts by their tokens.
type Attempts = Arc<Mutex<BTreeMap<String, Shared>>>;

/// A server on this machine, with an address of its own for each attempt.
pub(super) struct Endpoint {
    address: SocketAddr,
    attempts: Attempts,
    connections: Connections,
}

impl Endpoint {
    /// Starts to listen on a free port.
    ///
    /// # Errors
    /// If no port can be listened on, or the thread cannot be started.
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let attempts = Attempts::default();
        let connections = Connections::default();
        let (accepting, served) = (connections.clone(), Arc::clone(&attempts));
        std::thread::Builder::new()
            .name("mlflow source".to_owned())
            .spawn(move || {
                accepting.accept(&listener, move |stream| converse(stream, &served));
            })?;
        Ok(Self {
            address,
            attempts,
            connections,
        })
    }

    /// Serves an attempt. Returns its token and its address, which nobody can guess who is not
    /// told.
    pub(super) fn open(&self, attempt: Shared) -> (String, String) {
        let token = format!("{:032x}", rand::random::<u128>());
        let address = format!("http://{}/{token}", self.address);
        lock(&self.attempts).insert(token.clone(), attempt);
        (token, address)
    }

    /// Stops to serve an attempt.
    pub(super) fn close(&self, token: &str) {
        lock(&self.attempts).remove(token);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.connections.close(self.address);
    }
}

/// Locks a mutex. A thread that panicked with it has left a whole record at least.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the request of a connection, and answers it.
fn converse(mut stream: TcpStream, attempts: &Attempts) {
    let response = match Request::read(&mut stream, LONGEST_BODY) {
        None => return,
        Some(Err(response)) => response,
        Some(Ok(request)) => respond(&request, attempts),
    };
    // The error of a client that has disconnected is ignored; it repeats its call.
    let _ = response.send(stream);
}

fn respond(request: &Request, attempts: &Attempts) -> Response {
    if request.head.loopback_host().is_none() {
        return Response::text(403, "this server is for this machine only");
    }
    let Some((token, path)) = request.head.token_and_rest() else {
        return Response::text(404, "there is nothing at this address");
    };
    let attempt = {
        let attempts = lock(attempts);
        let mut known = attempts.iter();
        let attempt = known.find(|(other, _)| is_same_token(token, other));
        attempt.map(|(_, attempt)| Arc::clone(attempt))
    };
    match attempt {
        Some(attempt) => answer(
            &mut lock(&attempt),
            &request.head.method,
            path,
            &request.body,
        ),
        None => Response::text(
            404,
            "there is nothing at this address, or its trial has ended",
        ),
    }
}

/// Answers a request to the server of an attempt. `path` is the path behind the token.
pub(super) fn answer(
    server: &mut AttemptServer,
    method: &str,
    path: &str,
    body: &[u8],
) -> Response {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if matches!(path, "health" | "version") {
        return Response::text(200, if path == "health" { "OK" } else { "3.0.0" });
    }
    let prefixes = ["api/2.0/mlflow/", "ajax-api/2.0/mlflow/", "api/3.0/mlflow/"];
    let call = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix));
    let args = arguments(query, body);
    let answer = match (call, args) {
        (Some(call), Ok(args)) => server.call(method, &decoded(call), &args),
        (None, _) => server.call(method, path, &Value::Null),
        (_, Err(refusal)) => Err(refusal),
    };
    match answer {
        Ok(answer) => Response::new(200, "application/json", answer.to_string().into_bytes()),
        Err(Refusal {
            status,
            code,
            message,
        }) => {
            let body = json!({ "error_code": code, "message": message });
            Response::new(status, "application/json", body.to_string().into_bytes())
        }
    }
}

/// Returns the pairs of a call: those of its body, else those of its query.
fn arguments(query: &str, body: &[u8]) -> Result<Value, Refusal> {
    if body.iter().any(|byte| !byte.is_ascii_whitespace()) {
        return match serde_json::from_slice(body) {
            Ok(args @ Value::Object(_)) => Ok(args),
            _ => Err(Refusal {
                status: 400,
                code: "BAD_REQUEST",
                message: "the body is no JSON object".to_owned(),
            }),
        };
    }
    let mut args = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = json!(decoded(&value.replace('+', " ")));
        match args.get_mut(&decoded(key)) {
            // A repeated key is a list.
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
            None => {
                args.insert(decoded(key), value);
            }
        }
    }
    Ok(Value::Object(args))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
