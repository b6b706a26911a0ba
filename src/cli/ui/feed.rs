//! Sends the data of the page to browsers as server-sent events: the whole once, then patches.
//!
//! One thread publishes states. Each connection has a thread of its own, which compares the state
//! that its browser has with the newest one. A slow browser therefore skips states, and delays
//! neither the publisher nor other browsers.

use serde_json::{Map, Value, json};
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use swath_http::{EventStream, Response};

/// The time after which a connection without news carries a comment, so that a tunnel or proxy
/// keeps it open and a browser that has left is noticed.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The states that were published. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Feed(Arc<Shared>);

#[derive(Default)]
struct Shared {
    latest: Mutex<Latest>,
    published: Condvar,
}

#[derive(Default)]
struct Latest {
    /// Number of the newest state; 0 before the first.
    version: u64,
    page: Arc<Published>,
    /// Number of browsers that follow.
    viewers: usize,
}

/// A state that was published.
#[derive(Default)]
pub(super) struct Published {
    /// The state as JSON.
    pub(super) text: String,
    /// The parsed text. It is needed only for a change from one state to the next, and takes ten
    /// times the memory.
    value: OnceLock<Value>,
}

impl Published {
    fn value(&self) -> &Value {
        self.value
            .get_or_init(|| serde_json::from_str(&self.text).unwrap_or_default())
    }
}

/// A browser that follows, until it is dropped.
struct Viewer<'a>(&'a Feed);

impl Feed {
    /// Publishes a state, given as JSON, unless it is equal to the last one.
    pub(super) fn publish(&self, text: String) {
        let mut latest = self.latest();
        if latest.version == 0 || latest.page.text != text {
            latest.version += 1;
            latest.page = Arc::new(Published {
                text,
                value: OnceLock::new(),
            });
            self.0.published.notify_all();
        }
    }

    /// Returns the newest state; an empty text before the first.
    pub(super) fn page(&self) -> Arc<Published> {
        Arc::clone(&self.latest().page)
    }

    pub(super) fn has_viewers(&self) -> bool {
        self.latest().viewers > 0
    }

    /// Sends the newest state and all later changes, until the client disconnects or takes nothing
    /// for some seconds. `response` has the headers.
    ///
    /// # Errors
    /// The reason for which the connection ended.
    pub(super) fn send(&self, response: &Response, stream: TcpStream) -> io::Result<()> {
        let _viewer = self.enter();
        let mut events = EventStream::start(response, stream)?;
        let mut sent: (u64, Arc<Published>) = (0, Arc::default());
        loop {
            let Some((version, page)) = self.newer_than(sent.0) else {
                events.comment()?;
                continue;
            };
            if sent.0 == 0 {
                events.send("page", &page.text)?;
            } else if let Some(patch) = patch(sent.1.value(), page.value()) {
                events.send("patch", &patch.to_string())?;
            }
            sent = (version, page);
        }
    }

    /// Waits for a state that is newer than `version`; `None` if there is none for a while.
    fn newer_than(&self, version: u64) -> Option<(u64, Arc<Published>)> {
        let (latest, _) = self
            .0
            .published
            .wait_timeout_while(self.latest(), HEARTBEAT, |latest| latest.version <= version)
            .unwrap_or_else(PoisonError::into_inner);
        (latest.version > version).then(|| (latest.version, Arc::clone(&latest.page)))
    }

    fn enter(&self) -> Viewer<'_> {
        self.latest().viewers += 1;
        Viewer(self)
    }

    fn latest(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Viewer<'_> {
    fn drop(&mut self) {
        self.0.latest().viewers -= 1;
    }
}

/// Returns the change from one value to another: `[value]` for a new value, or an object with the
/// changes of the parts of an object or a list, with the new length of a list as `#`. `None` if the
/// values are equal. The page applies it (`patched` in server.js).
fn patch(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if old.keys().eq(new.keys()) => {
            let parts = new.iter().filter_map(|(key, value)| {
                let part = patch(old.get(key)?, value)?;
                Some((key.clone(), part))
            });
            let parts: Map<String, Value> = parts.collect();
            (!parts.is_empty()).then_some(Value::Object(parts))
        }
        (Value::Array(old), Value::Array(new)) => list_patch(old, new),
        (old, new) => (old != new).then(|| json!([new])),
    }
}

fn list_patch(old: &[Value], new: &[Value]) -> Option<Value> {
    let mut parts = Map::new();
    for (index, value) in new.iter().enumerate() {
        let part = match old.get(index) {
            Some(old) => patch(old, value),
            None => Some(json!([value])),
        };
        if let Some(part) = part {
            parts.insert(index.to_string(), part);
        }
    }
    // A list of which most items are new as a whole is shorter without its indices.
    if parts.values().filter(|part| part.is_array()).count() * 2 > new.len() {
        return Some(json!([new]));
    }
    if old.len() != new.len() {
        parts.insert("#".to_owned(), json!(new.len()));
    }
    (!parts.is_empty()).then_some(Value::Object(parts))
}

#[cfg(test)]
mod tests {
    use super::{Feed, patch};
    use serde_json::{Value, json};
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};
    use swath_http::Response;

    /// Applies a patch as the page does.
    fn patched(value: &Value, patch: &Value) -> Value {
        if let Value::Array(parts) = patch {
            return parts[0].clone();
        }
        let parts = patch.as_object().unwrap();
        let mut copy = value.clone();
        if let (Value::Array(items), Some(length)) = (&mut copy, parts.get("#")) {
            items.resize(length.as_u64().unwrap() as usize, Value::Null);
        }
        for (key, part) in parts {
            match &mut copy {
                Value::Array(items) if key != "#" => {
                    let index: usize = key.parse().unwrap();
                    items[index] = patched(&items[index], part);
                }
                Value::Object(entries) => {
                    entries[key] = patched(&entries[key], part);
                }
                _ => {}
            }
        }
        copy
    }

    #[test]
    fn a_patch_turns_the_old_value_into_the_new_one() {
        let values = [
            json!({"a": [1, 2, 3, 4, 5], "b": {"#": 1, "c": null}}),
            json!({"a": [1, 2, 7, 4, 5, 6], "b": {"#": 2, "c": null}}),
            json!({"a": [], "b": {"#": 2, "c": [null]}}),
            json!({"a": [[1]], "b": {"d": 1}}),
            json!({"a": [1, 2, 3, 4], "b": "text"}),
            json!(null),
        ];
        for old in &values {
            for new in &values {
                match patch(old, new) {
                    Some(patch) => assert_eq!(&patched(old, &patch), new, "{old} {patch}"),
                    None => assert_eq!(old, new),
                }
            }
        }
        let long: Vec<u32> = (0..10_000).collect();
        let mut longer = long.clone();
        longer[17] = 0;
        longer.push(1);
        let change = patch(&json!(long), &json!(longer)).unwrap();
        assert_eq!(change, json!({"17": [0], "10000": [1], "#": 10001}));
    }

    #[test]
    fn a_page_with_one_study_sends_only_what_has_changed_in_it() {
        let page =
            |seconds: u32| json!({"studies": [{"seconds": seconds, "rest": "x".repeat(99)}]});
        let change = patch(&page(1), &page(2)).unwrap();
        assert_eq!(change, json!({"studies": {"0": {"seconds": [2]}}}));
    }

    /// Connects a client to a feed.
    fn follower(feed: &Feed) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let feed = feed.clone();
        std::thread::spawn(move || {
            feed.send(&Response::new(200, "text/event-stream", vec![]), stream)
        });
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        client
    }

    /// Reads until the stream has sent `text`.
    fn read_until(client: &mut TcpStream, text: &str) -> String {
        let mut received = Vec::new();
        let mut chunk = [0; 65536];
        loop {
            let count = client.read(&mut chunk).unwrap();
            assert!(count > 0, "the stream has ended");
            received.extend_from_slice(&chunk[..count]);
            let shown = String::from_utf8_lossy(&received);
            if shown.contains(text) {
                return shown.into_owned();
            }
        }
    }

    #[test]
    fn a_client_gets_the_page_and_then_the_changes_while_another_takes_nothing() {
        let feed = Feed::default();
        let state = |count: u32| json!({"count": count, "rest": "x".repeat(1 << 20)}).to_string();
        feed.publish(state(0));
        let _idle = follower(&feed);
        let mut client = follower(&feed);
        let first = read_until(&mut client, "\"}\n\n");
        assert!(first.contains("Content-Type: text/event-stream"));
        for count in 1..50 {
            feed.publish(state(count));
        }
        let last = read_until(&mut client, "{\"count\":[49]}");
        assert!(last.len() < 10_000, "only changes are sent");
    }

    #[test]
    fn a_client_that_has_left_is_no_viewer_any_more() {
        let feed = Feed::default();
        feed.publish("1".to_owned());
        let mut client = follower(&feed);
        read_until(&mut client, "data: 1");
        assert!(feed.has_viewers());
        drop(client);
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut count = 1;
        while feed.has_viewers() {
            assert!(Instant::now() < deadline, "the client is still counted");
            count += 1;
            feed.publish(count.to_string());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
