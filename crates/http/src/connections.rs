//! Accepts connections, and bounds how many are served at a time.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The maximum number of connections that are served at a time. Further ones wait in the queue of
/// the kernel. A slow client is dropped after seconds, so a place becomes free soon.
const MAX_CONNECTIONS: usize = 512;

/// The stack size of a connection's thread in bytes. It parses a short request.
const STACK: usize = 512 * 1024;

/// The time for which a client may take nothing after the end of the server was requested.
const WAKE_TIME: Duration = Duration::from_secs(1);

/// The connections of a server. Clones share their number and their end.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<usize>,
    freed: Condvar,
    is_closed: AtomicBool,
}

/// The place of one connection, which becomes free when it is dropped.
struct Place(Arc<Shared>);

impl Connections {
    /// Accepts connections until [`close`](Self::close), and starts a thread with `converse` for
    /// each.
    pub fn accept(
        &self,
        listener: &TcpListener,
        converse: impl Fn(TcpStream) + Clone + Send + 'static,
    ) {
        loop {
            let place = self.take_place();
            let accepted = listener.accept();
            if self.0.is_closed.load(Ordering::Acquire) {
                return;
            }
            let Ok((stream, _)) = accepted else {
                // The process may be out of file descriptors; wait until other connections are
                // closed.
                drop(place);
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let converse = converse.clone();
            let thread = std::thread::Builder::new().stack_size(STACK);
            // Without a thread for it, the connection is closed.
            let _ = thread.spawn(move || {
                converse(stream);
                drop(place);
            });
        }
    }

    /// Ends [`accept`](Self::accept) of the listener with this address.
    pub fn close(&self, address: SocketAddr) {
        self.0.is_closed.store(true, Ordering::Release);
        // The listener waits for a connection, so this one wakes it.
        let _ = TcpStream::connect_timeout(&address, WAKE_TIME);
    }

    /// Waits until fewer than [`MAX_CONNECTIONS`] are served, and takes a place.
    fn take_place(&self) -> Place {
        let taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self
            .0
            .freed
            .wait_while(taken, |taken| *taken >= MAX_CONNECTIONS)
            .unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Place(Arc::clone(&self.0))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}
