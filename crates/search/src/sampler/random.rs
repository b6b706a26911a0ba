//! Random search: draws each parameter independently from its prior.
//!
//! The baseline for every other sampler (Bergstra & Bengio, JMLR 13, 2012).

use super::seen::Seen;
use super::{Ask, Sampler};
use rand::RngExt;
use swath_model::space::Params;
use swath_model::study::kind::Capability;
use swath_model::study::{Event, Kind, Study};

pub(super) const KIND: Kind<dyn Sampler> = Kind {
    name: "random",
    about: "independent draws from each parameter's prior",
    paper: Some(
        "Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 13, 2012",
    ),
    options: &[],
    capabilities: &[Capability::Independent],
    build: |_, setting, _| {
        let seen = Seen::new(setting.space.clone());
        Some(Box::new(Random { seen }))
    },
};

/// The random sampler. Its only state is the set of configurations already tried.
struct Random {
    seen: Seen,
}

impl Sampler for Random {
    fn observe(&mut self, study: &Study, event: &Event) {
        self.seen.observe(study, event);
    }

    fn suggest(&self, ask: &Ask<'_>) -> Option<Params> {
        let mut rng = ask.rng();
        ask.draw_unseen(&self.seen, || {
            (0..ask.space.dims()).map(|_| rng.random()).collect()
        })
    }
}
