//! Quasi-random search: the points of a scrambled Sobol sequence, spread more evenly than random ones.

use super::seen::Seen;
use super::{Ask, Sampler};
use crate::numerics::sobol::Sobol;
use crate::numerics::stream::{Purpose, stream};
use crate::space::{Params, Space};
use crate::study::{Event, Kind, Origin, Study};
use rand::Rng;
use std::sync::Arc;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "sobol",
    about: "points spread evenly: a scrambled Sobol sequence",
    build: |section, setting, diagnostics| {
        section.finish(diagnostics);
        Some(Box::new(Sequence::new(setting.space.clone(), setting.seed)))
    },
};

/// How far the sequence is searched for a point that may be proposed.
const PATIENCE: u32 = 1000;

/// A Sobol sequence over a space and how far it has been used.
pub(super) struct Sequence {
    space: Arc<Space>,
    points: Sobol,
    /// The first point that was neither proposed nor passed over.
    next: u32,
    seen: Seen,
}

impl Sequence {
    pub(super) fn new(space: Arc<Space>, seed: u64) -> Self {
        let points = Sobol::new(space.dims(), stream(seed, Purpose::Design, 0).next_u64());
        Self { space, points, next: 0, seen: Seen::default() }
    }

    /// Returns the next point that satisfies the constraints and was not tried, with its index. When there is none left, constraints alone.
    fn peek(&self) -> Option<(u32, Params)> {
        let admitted = (self.next..self.next.saturating_add(PATIENCE)).filter_map(|index| {
            let params = self.space.decode(&self.points.point(index));
            self.space.admits(&params).is_ok().then_some((index, params))
        });
        let mut repeated = None;
        for (index, params) in admitted {
            if !self.seen.has(&params) {
                return Some((index, params));
            }
            repeated = repeated.or(Some((index, params)));
            if self.space.size().is_some_and(|size| self.seen.len() as u64 >= size) {
                break;
            }
        }
        repeated
    }
}

impl Sampler for Sequence {
    fn observe(&mut self, study: &Study, event: &Event) {
        if let Event::Created { params, origin: Origin::Suggested(_), .. } = event
            && let Some((index, proposed)) = self.peek()
            && proposed == *params
        {
            self.next = index.saturating_add(1);
        }
        self.seen.observe(study, event);
    }

    fn suggest(&self, _: &Ask<'_>) -> Option<Params> {
        self.peek().map(|(_, params)| params)
    }
}
