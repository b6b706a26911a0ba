//! In the making.
use super::{Dirs, Sink};
pub(super) struct Supervised {}
impl Supervised {
    pub(super) fn new(dirs: Dirs, sink: Box<dyn Sink>) -> Self {
        let _ = (dirs, sink);
        Self {}
    }
}
