//! `swath ui`: serves the page of `swath export --html` with live data, on this machine only. The
//! server is read-only without `--allow-actions`, and ends with Ctrl-C.

mod actions;
mod analyses;
mod feed;
pub(super) mod files;
mod request;

use super::exit::{Code, Failure};
use super::{Context, detail, page, plot, studies};
use crate::journal::{StudyDir, lock, readable_trial};
use crate::report::page::Page;
use crate::report::text::plain;
use crate::report::view::View;
use crate::study::{Trial, TrialId, TrialState};
use analyses::Analyses;
use feed::Feed;
pub use request::status;
use request::{AccessControl, Request, TrialPath};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};
use swath_http::{Connections, Response};

/// The least and the greatest time between two states of the page. In between it is a multiple of
/// the time that a state takes, so that a large study does not keep the machine busy.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

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

    /// Let the page act: stop, retry, note and tag trials, add configurations, raise the number of trials, drain or stop the run
    #[arg(long, conflicts_with = "notebook")]
    allow_actions: bool,
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
    let access = AccessControl::new(port, token)
        .with_notebook(args.notebook)
        .with_actions(args.allow_actions);
    writeln!(context.out.stdout, "{}", access.address())?;
    context.out.stdout.flush()?;
    let shown: Vec<_> = views
        .iter()
        .map(|view| plain(&view.study.header().name).into_owned())
        .collect();
    let right = if args.allow_actions {
        "read and change it"
    } else {
        "read it"
    };
    context.out.say(format_args!(
        "serving {} on this machine until Ctrl-C; everyone on it who has the address can {right}",
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
    let connections = Connections::default();
    let feed = Feed::default();
    for listener in listeners {
        let (access, sender, feed) = (access.clone(), sender.clone(), feed.clone());
        let connections = connections.clone();
        let converse = move |stream| converse(stream, &access, &sender, &feed);
        std::thread::spawn(move || connections.accept(&listener, converse));
    }
    // The loop below ends once every accepting thread has ended.
    drop(sender);
    let mut publisher = Publisher {
        views,
        feed,
        analyses: Analyses::default(),
        mark: String::new(),
        next: Instant::now(),
    };
    let mut secrets = actions::Secrets::default();
    loop {
        match requests.recv_timeout(publisher.pause()) {
            Ok(Some(PendingRequest { request, client })) => {
                let reply = match request {
                    Request::Comparison => {
                        compare(publisher.views, client);
                        continue;
                    }
                    Request::Page => {
                        let secret = access.allows_actions().then(|| secrets.issue());
                        Reply::Whole(page(secret.as_deref()))
                    }
                    Request::Data => publisher.data(),
                    Request::Events => {
                        // The connection begins with the present state.
                        let _ = publisher.refresh();
                        Reply::Events
                    }
                    Request::Trial(path) => Reply::Whole(trial(publisher.views, path)),
                    Request::Log { trial, name, from } => {
                        Reply::Whole(log(publisher.views, trial, name, from))
                    }
                    Request::Artifact { trial, path } => {
                        Reply::Whole(artifact(publisher.views, trial, &path))
                    }
                    Request::Act { secret, body } => Reply::Whole(if secrets.contains(&secret) {
                        publisher.next = Instant::now();
                        actions::perform(publisher.views, &body)
                    } else {
                        Response::text(403, "reload the page: it was opened too long ago")
                    }),
                    Request::Refused(response) => Reply::Whole(response),
                };
                // A client that has disconnected takes no response.
                let _ = client.send(reply);
            }
            Ok(None) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        publisher.tick();
    }
}

/// Follows the studies and publishes their state while a browser shows them.
struct Publisher<'a> {
    views: &'a mut [View],
    feed: Feed,
    analyses: Analyses,
    /// Identifies the state that was published last.
    mark: String,
    /// The time of the next look at the studies.
    next: Instant,
}

impl Publisher<'_> {
    /// Returns the time until the next look at the studies.
    fn pause(&self) -> Duration {
        let until = self.next.saturating_duration_since(Instant::now());
        if self.feed.has_viewers() {
            until
        } else {
            PAUSES.0
        }
    }

    /// Publishes the state of the studies if it is time.
    fn tick(&mut self) {
        if !self.feed.has_viewers() || Instant::now() < self.next {
            return;
        }
        let started = Instant::now();
        // A journal that cannot be read now may be read later; the page keeps the last state.
        let _ = self.refresh();
        self.next = Instant::now() + (started.elapsed() * 5).clamp(PAUSES.0, PAUSES.1);
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        for view in self.views.iter_mut() {
            view.follow()?;
        }
        let studies = mark(self.views);
        let mut page = None;
        if self.analyses.update(self.views, &studies) {
            // The rest of the page is collected meanwhile.
            page = Some(Page::without_analyses(self.views, &[]));
            self.analyses.wait_for_first();
        }
        let mark = format!("{studies} {}", self.analyses.count());
        if mark != self.mark {
            let mut page = page.unwrap_or_else(|| Page::without_analyses(self.views, &[]));
            page.set_analyses(self.analyses.latest());
            let page = serde_json::to_string(&page).map_err(std::io::Error::from)?;
            self.feed.publish(page);
            self.mark = mark;
        }
        Ok(())
    }

    /// Returns the present data as JSON.
    fn data(&mut self) -> Reply {
        Reply::Whole(match self.refresh() {
            Ok(()) => {
                let page = self.feed.page();
                Response::new(200, "application/json", page.text.clone().into_bytes())
            }
            Err(failure) => Response::text(500, &failure.message),
        })
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
    client: SyncSender<Reply>,
}

/// The reply to a request.
enum Reply {
    Whole(Response),
    /// The connection gets the data and their changes until it ends.
    Events,
}

/// Reads the request of a connection, waits for its response and writes it.
fn converse(
    mut stream: TcpStream,
    access: &AccessControl,
    sender: &Sender<Option<PendingRequest>>,
    feed: &Feed,
) {
    let Some(request) = access.read(&mut stream) else {
        return;
    };
    let (client, response) = sync_channel(1);
    if sender
        .send(Some(PendingRequest { request, client }))
        .is_ok()
        && let Ok(reply) = response.recv()
    {
        // The error of a client that has disconnected is ignored.
        let _ = match reply {
            Reply::Whole(response) => access.protect(response).send(stream),
            Reply::Events => {
                let events = Response::new(200, "text/event-stream", Vec::new())
                    // A proxy must not wait for the end of the response.
                    .with("X-Accel-Buffering", "no");
                feed.send(&access.protect(events), stream)
            }
        };
    }
}

/// Returns the page, which acts with this secret.
fn page(secret: Option<&str>) -> Response {
    let mut html = Vec::new();
    match page::write_live(secret, &mut html) {
        Ok(()) => Response::new(200, "text/html; charset=utf-8", html),
        Err(error) => Response::text(500, &error.to_string()),
    }
}

/// Returns everything about a trial as JSON.
fn trial(views: &[View], path: TrialPath) -> Response {
    let view = views.get(path.study);
    match view.map(|view| detail::of_trial(view, path.id)) {
        Some(Some(detail)) => json(&detail),
        None | Some(None) => no_trial(),
    }
}

/// Returns the lines of a log of a trial behind an offset as JSON.
fn log(views: &[View], path: TrialPath, name: &str, from: Option<u64>) -> Response {
    let Some((view, trial)) = find(views, path) else {
        return no_trial();
    };
    let log = readable_trial(&view.dir, &view.study, trial.id).join(name);
    let is_over = trial.state != TrialState::Running;
    match files::log(&log, from, is_over, &studies::secrets(&view.dir)) {
        Ok(part) => json(&part),
        // The trial may not have written anything yet.
        Err(_) => json(&files::LogPart::default()),
    }
}

/// Returns an artifact of a trial, as bytes that a browser does not interpret by itself.
fn artifact(views: &[View], path: TrialPath, name: &str) -> Response {
    let Some((view, trial)) = find(views, path) else {
        return no_trial();
    };
    let folder = readable_trial(&view.dir, &view.study, trial.id);
    match files::artifact(&folder, name, &studies::secrets(&view.dir)) {
        Some(bytes) => Response::new(200, "application/octet-stream", bytes),
        None => Response::text(404, "the page does not show this artifact"),
    }
}

/// Compares the studies in a thread of its own, because that reads their journals.
fn compare(views: &[View], client: SyncSender<Reply>) {
    let folders = views
        .iter()
        .map(|view| view.dir.root().to_owned())
        .collect();
    // Without a thread the client gets no reply, and asks again later.
    let _ = std::thread::Builder::new()
        .spawn(move || client.send(Reply::Whole(json(&page::comparison(folders)))));
}

fn find(views: &[View], path: TrialPath) -> Option<(&View, &Trial)> {
    let view = views.get(path.study)?;
    let trial = view.study.trial(TrialId(path.id))?;
    Some((view, trial))
}

fn no_trial() -> Response {
    Response::text(404, "there is no such trial")
}

fn json(value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => Response::new(200, "application/json", json),
        Err(error) => Response::text(500, &error.to_string()),
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
        served_with(|port| AccessControl::new(port, "secret".to_owned()))
    }

    fn served_with(access: impl Fn(u16) -> AccessControl) -> (u16, tempfile::TempDir) {
        let logs = tempfile::tempdir().unwrap();
        let mut world = Demo::new(&["lr"]);
        world.complete(&[("lr", Value::Float(0.1))], &[("val_loss", 0.5)]);
        let view = View::open(demo::write(logs.path(), "digits", &world), None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let access = access(port);
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
    fn the_page_its_data_and_their_changes_are_served_with_the_token() {
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
            &format!("GET /secret/data HTTP/1.1\r\n{host}\r\n\r\n"),
        );
        let (_, body) = data.split_once("\r\n\r\n").unwrap();
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["studies"][0]["trials"]["objectives"][0][0], 0.5);
        let mut events = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let timeout = Some(std::time::Duration::from_secs(20));
        events.set_read_timeout(timeout).unwrap();
        write!(events, "GET /secret/events HTTP/1.1\r\n{host}\r\n\r\n").unwrap();
        let head = read_until(&mut events, "event: page\ndata: {");
        assert!(head.contains("Content-Security-Policy") && head.contains("text/event-stream"));
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
        let patch = read_until(&mut events, "2 of 20 trials");
        assert!(patch.contains("event: patch\ndata: {"), "{patch}");
    }

    /// Reads from a stream until it has sent `text`.
    fn read_until(stream: &mut TcpStream, text: &str) -> String {
        let mut received = Vec::new();
        let mut chunk = [0; 65536];
        while !String::from_utf8_lossy(&received).contains(text) {
            let count = stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the stream ended before `{text}`");
            received.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&received).into_owned()
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
    fn an_action_needs_the_permission_the_origin_and_the_secret_of_a_page() {
        let access = |port| AccessControl::new(port, "secret".to_owned()).with_actions(true);
        let (port, _logs) = served_with(access);
        let host = format!("Host: 127.0.0.1:{port}");
        let page = ask(port, &format!("GET /secret/ HTTP/1.1\r\n{host}\r\n\r\n"));
        let (_, rest) = page.split_once("id=\"actions\">\"").unwrap();
        let (own, _) = rest.split_once('"').unwrap();
        let body = r#"{"study": 0, "action": {"drain": {}}}"#;
        let post = |path: &str, headers: &str| {
            let length = body.len();
            let request = format!(
                "POST {path} HTTP/1.1\r\n{host}\r\nContent-Length: {length}\r\n{headers}\r\n\r\n{body}"
            );
            ask(port, &request)[9..12].to_owned()
        };
        let origin = format!("Origin: http://127.0.0.1:{port}");
        let secret = format!("X-Swath-Secret: {own}");
        assert_eq!(post("/secret/act", &format!("{origin}\r\n{secret}")), "200");
        for (path, headers) in [
            ("/secret/act", secret.clone()),
            ("/secret/act", origin.clone()),
            ("/secret/act", format!("{origin}\r\nX-Swath-Secret: 0")),
            (
                "/secret/act",
                format!("Origin: http://evil.example\r\n{secret}"),
            ),
            ("/secret/act", format!("Origin: null\r\n{secret}")),
            (
                "/secret/act",
                format!("{origin}\r\n{secret}\r\nSec-Fetch-Site: cross-site"),
            ),
            ("/secret/", format!("{origin}\r\n{secret}")),
        ] {
            assert_eq!(post(path, &headers), "403", "{path} {headers}");
        }
        assert_eq!(post("/wrong/act", &format!("{origin}\r\n{secret}")), "404");
        // Without the permission there is no secret, and nothing but GET.
        let (port, _logs) = served();
        let host = format!("Host: 127.0.0.1:{port}");
        let page = ask(port, &format!("GET /secret/ HTTP/1.1\r\n{host}\r\n\r\n"));
        assert!(page.contains("id=\"actions\">null<"));
        let request = format!(
            "POST /secret/act HTTP/1.1\r\n{host}\r\nOrigin: http://127.0.0.1:{port}\r\n{secret}\r\n\r\n"
        );
        assert!(ask(port, &request).starts_with("HTTP/1.1 405 "));
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
