//! A small HTTP server for this machine: `swath ui` and the endpoints of sources.
//!
//! A client is not trusted: the size and the time of a request are bounded, a request needs the
//! token in its path, and one that a web page of another site may have made is recognised by its
//! host. Each connection has a thread and carries one request.

mod connections;
mod request;
mod response;

pub use connections::Connections;
pub use request::{Head, Request, is_same_token};
pub use response::{EventStream, Response};
