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
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The maximum number of connections that are served at a time. Further ones wait in the queue of
/// the kernel. A slow client is dropped after seconds, so a place becomes free soon.
const MAX_CONNECTIONS: usize = 512;
/// The stack size of a connection's thread in bytes. It only parses a short request.
const STACK: usize = 256 * 1024;

/// Arguments of `swath ui`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The studies (names or folders; default: the running studies, else the one that ran last)
    #[arg(value_name = "STUDY")]
    studies: Vec<String>,

    /// The port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "N")]
    port: u16,

    /// Let a notebook on this machine show the page in a frame, and end with the standard input
    #[arg(long)]
    notebook: bool,
}

/// Runs `swath ui`: prints the address of the page and serves it until the process ends.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<Code, Failure> {
    let names = if args.studies.is_empty() {
        running(context)
    } else {
        args.studies.clone()
    };
    let mut views = plot::open(&names, None, context)?;
    let listener = listen(Ipv4Addr::LOCALHOST, args.port).map_err(|error| {
        Failure {
            causes: vec![error.to_string()],
            ..Failure::tool(format!("could not listen on port {}", args.port))
        }
        .hint("choose another port with `--port`; 0 takes a free one")
    })?;
    let port = listener.local_addr()?.port();
    // A browser may resolve `localhost` to the address of IPv6 only. The machine may have no IPv6,
    // and the port may be taken there; then the page is served under 127.0.0.1 alone.
    let listeners = [Some(listener), listen(Ipv6Addr::LOCALHOST, port).ok()];
    // The token keeps other users of this machine out: they can reach the port, too.
    let token = format!("{:032x}", rand::random::<u128>());
    let access = AccessControl::new(port, token).with_notebook(args.notebook);
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
    serve(listeners.into_iter().flatten(), &access, &mut views);
    Ok(Code::Done)
}

fn listen(address: impl Into<IpAddr>, port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(address.into(), port))
}

/// Returns the names of the studies that a process runs now.
fn running(context: &Context) -> Vec<String> {
    studies::all(&context.logs)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| lock::holder(&StudyDir::new(&context.logs, name)).is_some())
        .collect()
}

/// Prepares the responses one at a time. Each connection is read and written by its own thread, so
/// that a client that sends or takes nothing does not block the others.
fn serve(listeners: impl Iterator<Item = TcpListener>, access: &AccessControl, views: &mut [View]) {
    let (sender, requests) = channel();
    if access.is_in_notebook() {
        let sender = sender.clone();
        std::thread::spawn(move || end_with_input(&sender));
    }
    let places = Arc::new(Places::default());
    for listener in listeners {
        let (access, sender, places) = (access.clone(), sender.clone(), Arc::clone(&places));
        std::thread::spawn(move || accept(&listener, &access, &sender, &places));
    }
    // The loop below ends once every accepting thread has ended.
    drop(sender);
    let mut last = LastData::default();
    while let Ok(Some(PendingRequest { request, client })) = requests.recv() {
        let response = match request {
            Request::Page => page(),
            Request::Data { since } => last.response(views, &since),
            Request::Refused(response) => response,
        };
        // A client that has disconnected takes no response.
        let _ = client.send(response);
    }
}

/// Ends the server when the standard input ends, as it does with the process at its other end.
fn end_with_input(sender: &Sender<Option<PendingRequest>>) {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _ = sender.send(None);
}

/// A request, and the thread of the connection that waits for its response.
struct PendingRequest {
    request: Request,
    client: SyncSender<Response>,
}

/// The connections that are served now.
#[derive(Default)]
struct Places {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// One of the connections in [`Places`], which frees its place when it is dropped.
struct TakenPlace(Arc<Places>);

impl Places {
    /// Waits until fewer than [`MAX_CONNECTIONS`] are served, and takes a place.
    fn take(places: &Arc<Self>) -> TakenPlace {
        let taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = places
            .freed
            .wait_while(taken, |taken| *taken >= MAX_CONNECTIONS)
            .unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        TakenPlace(Arc::clone(places))
    }
}

impl Drop for TakenPlace {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

/// Accepts connections and starts a thread for each.
fn accept(
    listener: &TcpListener,
    access: &AccessControl,
    sender: &Sender<Option<PendingRequest>>,
    places: &Arc<Places>,
) {
    loop {
        let place = Places::take(places);
        let Ok((stream, _)) = listener.accept() else {
            // The process may be out of file descriptors; wait until other connections are closed.
            drop(place);
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let (access, sender) = (access.clone(), sender.clone());
        let thread = std::thread::Builder::new().stack_size(STACK);
        // Without a thread for it, the connection is closed.
        let _ = thread.spawn(move || {
            converse(stream, &access, &sender);
            drop(place);
        });
    }
}

/// Reads the request of a connection, waits for its response and writes it.
fn converse(
    mut stream: TcpStream,
    access: &AccessControl,
    sender: &Sender<Option<PendingRequest>>,
) {
    let Some(request) = access.read(&mut stream) else {
        return;
    };
    let (client, response) = sync_channel(1);
    if sender
        .send(Some(PendingRequest { request, client }))
        .is_ok()
        && let Ok(response) = response.recv()
    {
        // The error of a client that has disconnected is ignored.
        let _ = response.send(stream, access);
    }
}

fn page() -> Response {
    let mut html = Vec::new();
    match page::write(None, "swath", &mut html) {
        Ok(()) => Response::new(200, "text/html; charset=utf-8", html),
        Err(error) => Response::text(500, &error.to_string()),
    }
}

/// The data that was last sent, which clients that ask at the same time share.
#[derive(Default)]
struct LastData {
    mark: String,
    json: Arc<Vec<u8>>,
}

impl LastData {
    /// Returns the data of all studies as JSON, or status 204 if nothing has changed since the mark
    /// `since`.
    fn response(&mut self, views: &mut [View], since: &str) -> Response {
        for view in views.iter_mut() {
            if let Err(error) = view.follow() {
                return Response::text(500, &error.to_string());
            }
        }
        let mark = mark(views);
        if mark == since {
            return Response::new(204, "application/json", Vec::new());
        }
        if mark != self.mark {
            self.json = match serde_json::to_vec(&Page::of(views)) {
                Ok(json) => Arc::new(json),
                Err(error) => return Response::text(500, &error.to_string()),
            };
            self.mark.clone_from(&mark);
        }
        Response::new(200, "application/json", Arc::clone(&self.json)).marked(mark)
    }
}

/// Returns the text that identifies the present state of the studies. It also tells whether a
/// process holds each study, because that changes without an entry.
fn mark(views: &[View]) -> String {
    let marks: Vec<String> = views
        .iter()
        .map(|view| {
            format!(
                "{}{}",
                view.study.next_seq(),
                if lock::is_held(&view.dir) { "r" } else { "" }
            )
        })
        .collect();
    marks.join("-")
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
        std::thread::spawn(move || serve([listener].into_iter(), &access, &mut [view]));
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
    fn only_a_server_for_a_notebook_lets_a_page_of_this_machine_show_it_in_a_frame() {
        let (port, _logs) = served();
        let access = AccessControl::new(port, "secret".to_owned());
        let host = format!("Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site");
        let frame = format!("GET /secret/ HTTP/1.1\r\n{host}\r\nSec-Fetch-Dest: iframe\r\n\r\n");
        let script =
            format!("GET /secret/data HTTP/1.1\r\n{host}\r\nSec-Fetch-Dest: empty\r\n\r\n");
        assert!(ask(port, &frame).contains("frame-ancestors 'none'"));
        assert_eq!(access.status_of(frame.as_bytes()), 403);
        let access = access.with_notebook(true);
        assert_eq!(access.status_of(frame.as_bytes()), 200);
        assert_eq!(access.status_of(script.as_bytes()), 403);
        assert!(access.frame_ancestors().contains("http://localhost:*"));
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

    #[test]
    fn the_page_is_served_under_every_name_of_this_machine() {
        let (port, _logs) = served();
        for host in ["[::1]", "LOCALHOST", "LocalHost", "127.0.0.1"] {
            let header = format!("Host: {host}:{port}");
            assert_eq!(status(port, "/secret/", &header), "200", "{host}");
        }
        for host in ["[::2]", "localhost.evil.example", "::1", "127.0.0.11"] {
            let header = format!("Host: {host}:{port}");
            assert_eq!(status(port, "/secret/", &header), "403", "{host}");
        }
        for tunnel in ["localhost:8888", "[::1]:1", "localhost"] {
            assert_eq!(status(port, "/secret/", &format!("Host: {tunnel}")), "200");
        }
        for other in [
            "localhost:",
            "localhost:99999",
            "localhost:80:80",
            "evil.example:8888",
        ] {
            assert_eq!(status(port, "/secret/", &format!("Host: {other}")), "403");
        }
        // A page of another server on this machine is another site.
        let neighbour = "Host: localhost:8888\r\nOrigin: http://localhost:9999";
        assert_eq!(status(port, "/secret/", neighbour), "403");
        let same_origin = format!("Host: [::1]:{port}\r\nOrigin: http://[::1]:{port}");
        assert_eq!(status(port, "/secret/", &same_origin), "200");
    }

    #[test]
    fn two_hundred_clients_at_once_are_served_while_others_send_nothing() {
        let (port, _logs) = served();
        let _silent: Vec<_> = (0..100)
            .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
            .collect();
        let clients: Vec<_> = (0..200)
            .map(|_| {
                std::thread::spawn(move || {
                    status(port, "/secret/data", &format!("Host: 127.0.0.1:{port}"))
                })
            })
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), "200");
        }
    }

    #[test]
    fn a_client_that_sends_a_byte_at_a_time_is_dropped_once_its_time_is_up() {
        let (port, _logs) = served();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let started = std::time::Instant::now();
        // A server that waits for each byte anew would keep the connection for a minute.
        let sent = (0..120)
            .take_while(|_| {
                std::thread::sleep(std::time::Duration::from_millis(500));
                stream.write_all(b"G").is_ok()
            })
            .count();
        assert!(sent < 60, "{sent} bytes in {:?}", started.elapsed());
    }
}
