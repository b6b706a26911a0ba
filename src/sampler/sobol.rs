//! Quasi-random search: the points of a scrambled Sobol sequence, spread more evenly than random
//! ones.

use super::seen::Seen;
use super::{Ask, Sampler};
use crate::numerics::sobol::Sobol;
use crate::numerics::stream::{Purpose, stream};
use crate::space::{Params, Space};
use crate::study::kind::Capability;
use crate::study::{Event, Kind, Origin, Study};
use rand::Rng;
use std::sync::Arc;

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "sobol",
    about: "points spread evenly: a scrambled Sobol sequence",
    paper: Some(
        "Owen, Randomly Permuted (t,m,s)-Nets and (t,s)-Sequences, 1995; \
         Joe and Kuo, SIAM J. Sci. Comput. 30, 2008",
    ),
    options: &[],
    capabilities: &[Capability::Independent],
    build: |_, setting, _| {
        Some(Box::new(Quasi {
            sequence: Sequence::new(setting.space.clone(), setting.seed),
            seen: Seen::default(),
        }))
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
}

impl Sequence {
    pub(super) fn new(space: Arc<Space>, seed: u64) -> Self {
        let points = Sobol::new(space.dims(), stream(seed, Purpose::Design, 0).next_u64());
        Self {
            space,
            points,
            next: 0,
        }
    }

    /// Returns the next point that satisfies the constraints and was not tried, with its index.
    /// When there is none left, constraints alone.
    pub(super) fn peek(&self, seen: &Seen) -> Option<(u32, Params)> {
        let admitted = (self.next..self.next.saturating_add(PATIENCE)).filter_map(|index| {
            let params = self.space.decode(&self.points.point(index));
            self.space
                .admits(&params)
                .is_ok()
                .then_some((index, params))
        });
        let mut repeated = None;
        for (index, params) in admitted {
            if !seen.has(&params) {
                return Some((index, params));
            }
            repeated = repeated.or(Some((index, params)));
            if self
                .space
                .size()
                .is_some_and(|size| seen.len() as u64 >= size)
            {
                break;
            }
        }
        repeated
    }

    /// Returns point number `index`.
    pub(super) fn point(&self, index: u32) -> Vec<f64> {
        self.points.point(index)
    }

    /// Moves on if the trial just created is what [`peek`](Self::peek) had proposed; to be told
    /// before `seen` is.
    pub(super) fn observe(&mut self, seen: &Seen, event: &Event) {
        if let Event::Created {
            params,
            origin: Origin::Suggested(_),
            ..
        } = event
            && let Some((index, proposed)) = self.peek(seen)
            && proposed == *params
        {
            self.next = index.saturating_add(1);
        }
    }
}

struct Quasi {
    sequence: Sequence,
    seen: Seen,
}

impl Sampler for Quasi {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.sequence.observe(&self.seen, event);
        self.seen.observe(study, event);
    }

    fn suggest(&self, _: &Ask<'_>) -> Option<Params> {
        self.sequence.peek(&self.seen).map(|(_, params)| params)
    }
}
