//! Why a trial has no number under the name of a metric that decides.

use super::Header;
use crate::space::Name;

impl Header {
    /// Returns the metrics that decide: the objectives, the resource and the metrics of the
    /// outcome constraints.
    #[must_use]
    pub fn deciding_metrics(&self) -> Vec<Name> {
        let objectives = self.objectives.iter().map(|objective| &objective.metric);
        let constrained = self.limits.iter().map(|limit| &limit.metric);
        objectives.chain(&self.resource).chain(constrained).cloned().collect()
    }
}
