//! The server of `swath ui` under damaged requests: it replies or closes the connection, and
//! continues to serve.

use crate::mutation;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Maximum time to wait for a reply.
const PATIENCE: Duration = Duration::from_secs(20);

const SWEEP: &str = "[run]\ncommand = [\"sh\", \"-c\", 'echo \"{{\\\"loss\\\": 1}}\" >> \"$SWATH_RECORDS\"', \"{x}\"]\n\
                     [objective]\nmetric = \"loss\"\ngoal = \"min\"\n[search]\nsampler = \"random\"\ntrials = 1\n\
                     [space]\nx = { min = 0.0, max = 1.0 }\n";

/// A running `swath ui` for a study with one trial.
struct Server {
    process: Child,
    folder: TempDir,
    port: u16,
    token: String,
}

impl Server {
    /// Starts the server with these options.
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("s.toml"), SWEEP).expect("the folder can be written");
        let swath = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_swath"));
            command
                .current_dir(folder.path())
                .env_remove("SWATH_LOGS")
                .stdin(Stdio::null());
            command
        };
        let run = swath()
            .args(["run", "s.toml", "--quiet"])
            .output()
            .expect("it runs");
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
        let stderr = std::fs::File::create(folder.path().join("stderr")).expect("a file");
        let mut process = swath()
            .args(["ui", "s"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("it starts");
        let mut address = String::new();
        BufReader::new(process.stdout.as_mut().expect("a pipe"))
            .read_line(&mut address)
            .expect("a line");
        let rest = address
            .trim_end()
            .strip_prefix("http://127.0.0.1:")
            .expect("an address");
        let (port, token) = rest
            .trim_end_matches('/')
            .split_once('/')
            .expect("a port and a token");
        let (port, token) = (port.parse().expect("a port"), token.to_owned());
        Self {
            process,
            folder,
            port,
            token,
        }
    }

    /// Sends `request` and returns the reply, which is empty if there is none.
    fn answer(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut answer = Vec::new();
        // The server may have closed the connection already, which is a valid reaction.
        let _ = stream
            .write_all(request)
            .and_then(|()| stream.shutdown(Shutdown::Write));
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_ne!(
                error.kind(),
                std::io::ErrorKind::WouldBlock,
                "no answer to {}",
                request.escape_ascii()
            );
        }
        answer
    }

    /// Returns the standard error of the server.
    fn messages(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).ok();
    }
}

#[test]
fn no_request_stops_the_server_of_the_page() {
    let server = Server::start(&[]);
    let host = format!("Host: 127.0.0.1:{}\r\n", server.port);
    let token = &server.token;
    let page = format!("GET /{token}/ HTTP/1.1\r\n{host}\r\n").into_bytes();
    let corpus = vec![
        page.clone(),
        format!("GET /{token}/data?since=14r HTTP/1.1\r\n{host}Sec-Fetch-Site: same-origin\r\n\r\n")
            .into_bytes(),
        format!("POST /{token}/ HTTP/1.0\r\n{host}Origin: http://localhost\r\nContent-Length: 3\r\n\r\nabc")
            .into_bytes(),
        b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nCookie: a=b; c=\"d\"\r\n\r\n".to_vec(),
    ];
    let mut count = 0;
    for seed in mutation::seeds(400) {
        count += 1;
        let request = mutation::changed(&corpus, seed);
        let answer = server.answer(&request);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 "),
            "{}",
            request.escape_ascii()
        );
        assert!(
            !server.messages().contains("panicked"),
            "{}\n{}",
            request.escape_ascii(),
            server.messages()
        );
    }
    mutation::print_count("ui", count);
    assert!(server.answer(&page).starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn no_request_without_the_secret_of_a_page_changes_a_study() {
    let server = Server::start(&["--allow-actions"]);
    let journal =
        || std::fs::read(server.folder.path().join("logs/s/journal.jsonl")).expect("it is there");
    let before = journal();
    let host = format!("Host: 127.0.0.1:{}\r\n", server.port);
    let origin = format!("Origin: http://127.0.0.1:{}\r\n", server.port);
    let token = &server.token;
    let body = "{\"study\": 0, \"action\": {\"add\": {\"values\": {\"x\": \"0.5\"}}}}";
    let post = |headers: &str| {
        let length = body.len();
        format!(
            "POST /{token}/act HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    };
    let guess = format!("X-Swath-Secret: {}\r\n", "0".repeat(32));
    let corpus = vec![
        post(&origin),
        post(&guess),
        post(&format!("{origin}{guess}")),
        post(&format!("Origin: http://evil.example\r\n{guess}")),
    ];
    for request in &corpus {
        assert!(server.answer(request).starts_with(b"HTTP/1.1 403 "));
    }
    for seed in mutation::seeds(200) {
        server.answer(&mutation::changed(&corpus, seed));
    }
    assert_eq!(journal(), before);
    // With the secret of a page the same request adds a trial.
    let page = server.answer(&format!("GET /{token}/ HTTP/1.1\r\n{host}\r\n").into_bytes());
    let page = String::from_utf8_lossy(&page);
    let (_, rest) = page
        .split_once("id=\"actions\">\"")
        .expect("the page has a secret");
    let (secret, _) = rest.split_once('"').expect("the page has a secret");
    let reply = server.answer(&post(&format!("{origin}X-Swath-Secret: {secret}\r\n")));
    let reply = String::from_utf8_lossy(&reply);
    assert!(
        reply.contains("\"ok\":true") && journal() != before,
        "{reply}"
    );
}
