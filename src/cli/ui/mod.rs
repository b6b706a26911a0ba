//! `swath ui`: serves the page of `swath export --html` with live data, on this machine only. The
//! server is read-only and ends with Ctrl-C.

mod request;

use super::exit::{Code, Failure};
use super::{Context, page, plot, studies};
use crate::journal::{StudyDir, lock};
use crate::report::page::Page;
use crate::report::text::plain;
use crate::report::view::View;
pub use request::status;
use request::{AccessControl, Request, Response};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// The maximum number of connections that are read at a time. Further connections are closed.
const MAX_READERS: usize = 32;

/// Arguments of `swath ui`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The studies (names or folders; default: the running studies, else the one that ran last)
    #[arg(value_name = "STUDY")]
    studies: Vec<String>,

    /// The port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "N")]
    port: u16,
}

/// Runs `swath ui`: prints the address of the page and serves it until the process ends.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let names = if args.studies.is_empty() {
        running(context)
    } else {
        args.studies.clone()
    };
    let mut views = plot::open(&names, None, context)?;
    let listener =
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port))).map_err(|error| {
            Failure {
                causes: vec![error.to_string()],
                ..Failure::tool(format!("could not listen on port {}", args.port))
            }
            .hint("choose another port with `--port`; 0 takes a free one")
        })?;
    let port = listener.local_addr()?.port();
    // The token keeps other users of this machine out: they can reach the port, too.
    let access = AccessControl::new(port, format!("{:032x}", rand::random::<u128>()));
    writeln!(context.out.stdout, "{}", access.address())?;
    context.out.stdout.flush()?;
    let shown: Vec<_> = views
        .iter()
        .map(|view| plain(&view.study.header().name).into_owned())
        .collect();
    context.out.say(format_args!(
        "serving {} on this machine until Ctrl-C; everyone on it who has the address can read it",
        shown.join(", ")
    ));
    serve(&listener, &access, &mut views);
    Ok(Code::Done)
}

/// Returns the names of the studies that a process runs now.
fn running(context: &Context) -> Vec<String> {
    studies::all(&context.logs)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| lock::holder(&StudyDir::new(&context.logs, name)).is_some())
        .collect()
}

/// Answers requests one at a time. Each connection is read by its own thread, so that a client that
/// sends nothing does not block the others.
fn serve(listener: &TcpListener, access: &AccessControl, views: &mut [View]) {
    let (sender, requests) = channel();
    let connections = listener.try_clone();
    let reader = access.clone();
    std::thread::spawn(move || {
        let Ok(listener) = connections else { return };
        let busy = std::sync::Arc::new(());
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // The process may be out of file descriptors; wait until other connections are
                // closed.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            if std::sync::Arc::strong_count(&busy) > MAX_READERS {
                continue;
            }
            // The clone of `busy` counts this connection until its thread ends.
            let (sender, access, slot) = (sender.clone(), reader.clone(), busy.clone());
            std::thread::spawn(move || {
                read(stream, &access, &sender);
                drop(slot);
            });
        }
    });
    for (stream, request) in requests {
        let response = match request {
            Request::Page => page(),
            Request::Data { since } => data(views, &since),
            Request::Refused(response) => response,
        };
        // The error of a client that has disconnected is ignored.
        let _ = response.send(stream);
    }
}

fn read(mut stream: TcpStream, access: &AccessControl, sender: &Sender<(TcpStream, Request)>) {
    if let Some(request) = access.read(&mut stream) {
        let _ = sender.send((stream, request));
    }
}

fn page() -> Response {
    let mut html = Vec::new();
    match page::write(None, "swath", &mut html) {
        Ok(()) => Response::new(200, "text/html; charset=utf-8", html),
        Err(error) => Response::text(500, &error.to_string()),
    }
}

/// Returns the data of all studies as JSON, or status 204 if nothing has changed since the mark
/// `since`.
fn data(views: &mut [View], since: &str) -> Response {
    for view in views.iter_mut() {
        if let Err(error) = view.follow() {
            return Response::text(500, &error.to_string());
        }
    }
    // The mark also tells whether a process holds the study, because that changes without an entry.
    let mark: Vec<String> = views
        .iter()
        .map(|view| {
            format!(
                "{}{}",
                view.study.next_seq(),
                if lock::is_held(&view.dir) { "r" } else { "" }
            )
        })
        .collect();
    let mark = mark.join("-");
    if mark == since {
        return Response::new(204, "application/json", Vec::new());
    }
    match serde_json::to_vec(&Page::of(views)) {
        Ok(json) => Response::new(200, "application/json", json).marked(mark),
        Err(error) => Response::text(500, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::request::AccessControl;
    use super::serve;
    use crate::cli::studies::demo;
    use crate::report::view::View;
    use crate::space::Value;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use swath_model::demo::Demo;

    /// Serves a study until the test ends. Returns the port and the folder.
    fn served() -> (u16, tempfile::TempDir) {
        let logs = tempfile::tempdir().unwrap();
        let mut world = Demo::new(&["lr"]);
        world.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
        let view = View::open(demo::write(logs.path(), "digits", &world), None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let access = AccessControl::new(port, "secret".to_owned());
        std::thread::spawn(move || serve(&listener, &access, &mut [view]));
        (port, logs)
    }

    fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    fn status(port: u16, path: &str, headers: &str) -> String {
        let response = ask(port, &format!("GET {path} HTTP/1.1\r\n{headers}\r\n\r\n"));
        response.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_page_and_its_data_are_served_with_the_token() {
        let (port, logs) = served();
        let host = format!("Host: 127.0.0.1:{port}");
        let page = ask(port, &format!("GET /secret/ HTTP/1.1\r\n{host}\r\n\r\n"));
        assert!(
            page.starts_with("HTTP/1.1 200 ")
                && page.contains("\r\nContent-Security-Policy: default-src 'none'")
        );
        assert!(page.ends_with("</html>\n"));
        let data = ask(
            port,
            &format!("GET /secret/data?since= HTTP/1.1\r\n{host}\r\n\r\n"),
        );
        let (head, body) = data.split_once("\r\n\r\n").unwrap();
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["studies"][0]["trials"]["objectives"][0][0], 0.5);
        let mark = head
            .lines()
            .find_map(|line| line.strip_prefix("X-Mark: "))
            .unwrap();
        assert_eq!(
            status(port, &format!("/secret/data?since={mark}"), &host),
            "204"
        );
        let mut journal = std::fs::File::options()
            .append(true)
            .open(logs.path().join("digits/journal.jsonl"))
            .unwrap();
        let mut more = Demo::new(&["lr"]);
        more.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
        more.start(&[("lr", Value::Float(0.2))]);
        for entry in &more.entries[more.entries.len() - 2..] {
            writeln!(journal, "{}", serde_json::to_string(entry).unwrap()).unwrap();
        }
        let data = ask(
            port,
            &format!("GET /secret/data?since={mark} HTTP/1.1\r\n{host}\r\n\r\n"),
        );
        assert!(
            data.starts_with("HTTP/1.1 200 ") && data.contains("2 of 20 trials"),
            "{data}"
        );
    }

    #[test]
    fn requests_without_the_token_or_from_other_sites_are_refused() {
        let (port, _logs) = served();
        let host = format!("Host: 127.0.0.1:{port}");
        assert_eq!(
            status(port, "/secret/", &format!("Host: localhost:{port}")),
            "200"
        );
        assert_eq!(status(port, "/wrong/", &host), "404");
        assert_eq!(status(port, "/secre", &host), "404");
        assert_eq!(status(port, "/secret/../etc", &host), "404");
        assert_eq!(status(port, "/secret/", "Host: evil.example"), "403");
        assert_eq!(status(port, "/secret/", "X: y"), "403");
        assert_eq!(
            status(
                port,
                "/secret/",
                &format!("{host}\r\nOrigin: http://evil.example")
            ),
            "403"
        );
        assert_eq!(
            status(
                port,
                "/secret/",
                &format!("{host}\r\nSec-Fetch-Site: cross-site")
            ),
            "403"
        );
        assert_eq!(
            status(
                port,
                "/secret/",
                &format!("{host}\r\nOrigin: http://127.0.0.1:{port}")
            ),
            "200"
        );
        let post = ask(port, &format!("POST /secret/ HTTP/1.1\r\n{host}\r\n\r\n"));
        assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
        assert!(ask(port, "garbage\r\n\r\n").starts_with("HTTP/1.1 400 "));
        let long = format!("GET /{} HTTP/1.1\r\n{host}\r\n\r\n", "a".repeat(20_000));
        assert!(ask(port, &long).starts_with("HTTP/1.1 431 "));
    }
}
