//! Quasi-random search: the points of a scrambled Sobol sequence, which cover the space more evenly
//! than random points.

use super::seen::Seen;
use super::{Ask, Sampler};
use rand::Rng;
use std::sync::Arc;
use swath_model::space::{Params, Space};
use swath_model::study::kind::Capability;
use swath_model::study::{Event, Kind, Origin, Study};
use swath_numerics::sobol::Sobol;
use swath_numerics::stream::{Purpose, stream};

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
            seen: Seen::new(setting.space.clone()),
        }))
    },
};

/// Maximum number of consecutive sequence points examined for one proposal.
const PATIENCE: u32 = 1000;

/// A scrambled Sobol sequence over a space, with a cursor.
pub(super) struct Sequence {
    space: Arc<Space>,
    points: Sobol,
    /// Index of the first point that was neither proposed nor skipped.
    next: u32,
}

impl Sequence {
    /// Creates the sequence over `space` from its first point on. `seed` determines the scrambling.
    pub(super) fn new(space: Arc<Space>, seed: u64) -> Self {
        let points = Sobol::new(space.dims(), stream(seed, Purpose::Design, 0).next_u64());
        Self {
            space,
            points,
            next: 0,
        }
    }

    /// Returns the next point that satisfies the constraints and was not tried, with its index. If
    /// there is none among the next [`PATIENCE`] points, returns an untried configuration of a finite
    /// space, `None` once all of them were tried; and a repetition in an infinite space, `None` if
    /// the constraints refuse all of these points.
    pub(super) fn peek(&self, seen: &Seen) -> Option<(u32, Params)> {
        let admitted = (self.next..self.next.saturating_add(PATIENCE)).filter_map(|index| {
            let params = self.space.decode(&self.points.point(index));
            self.space
                .admits(&params)
                .is_ok()
                .then_some((index, params))
        });
        let mut repetition = None;
        for (index, params) in admitted {
            if !seen.has(&params) {
                return Some((index, params));
            }
            repetition = repetition.or(Some((index, params)));
        }
        let (index, params) = repetition.unzip();
        let params = seen.untried_or(params)?;
        Some((index.unwrap_or(self.next), params))
    }

    /// Returns point number `index` in the unit cube, independent of the cursor.
    pub(super) fn point(&self, index: u32) -> Vec<f64> {
        self.points.point(index)
    }

    /// Advances the cursor if the trial just created is the one [`peek`](Self::peek) proposed. Must
    /// be called before `seen` observes the same event, because `peek` would otherwise skip that
    /// configuration.
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

/// The Sobol sampler.
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
