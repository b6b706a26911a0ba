//! The state of a training: everything that the next epoch depends on.

use crate::data::Images;
use crate::network::{Network, Seen};
use crate::optimizer::Optimizer;
use crate::options::Options;
use crate::stream::Stream;

/// Maximum norm of a batch's mean gradient. It turns a step that is too large into a poor model
/// instead of an overflow.
const LONGEST: f32 = 5.0;

/// The state of a training after `epoch` epochs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Training {
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    pub(crate) network: Network,
    pub(crate) optimizer: Optimizer,
    /// The network of the epoch with the smallest validation loss; the loss is `best_loss`.
    pub(crate) best: Network,
    pub(crate) best_loss: f64,
}

impl Training {
    pub(crate) fn new(options: &Options, seed: u64) -> Self {
        let network = Network::new(&options.units, options.activation, seed);
        Self {
            seed,
            epoch: 0,
            optimizer: Optimizer::new(network.weights.len()),
            best: network.clone(),
            best_loss: f64::INFINITY,
            network,
        }
    }

    /// Trains one epoch and returns the mean training loss.
    pub(crate) fn learn(&mut self, options: &Options, images: &Images) -> f64 {
        self.epoch += 1;
        let mut order: Vec<usize> = (0..images.len()).collect();
        Stream::new(&[self.seed, 2, self.epoch]).shuffle(&mut order);
        let mut masks = Stream::new(&[self.seed, 3, self.epoch]);
        let mut space = self.network.workspace();
        let mut gradient = vec![0.0_f32; self.network.weights.len()];
        let mut loss = 0.0;
        for batch in order.chunks(options.batch) {
            gradient.fill(0.0);
            for &image in batch {
                let dropout = (options.dropout > 0.0).then_some((options.dropout, &mut masks));
                let example = (images.pixels(image), images.label(image));
                loss += self
                    .network
                    .accumulate(example, &mut gradient, &mut space, dropout);
            }
            let mean = 1.0 / batch.len() as f32;
            let length = mean
                * gradient
                    .iter()
                    .map(|slope| slope * slope)
                    .sum::<f32>()
                    .sqrt();
            let scale = if length > LONGEST {
                mean * LONGEST / length
            } else {
                mean
            };
            gradient.iter_mut().for_each(|slope| *slope *= scale);
            self.optimizer
                .step(options, &mut self.network.weights, &gradient);
        }
        loss / images.len() as f64
    }

    /// Evaluates the network, and stores it as `best` if its loss is the smallest so far.
    pub(crate) fn validate(&mut self, images: &Images) -> Seen {
        let seen = self.network.evaluate(images);
        if seen.loss < self.best_loss {
            self.best_loss = seen.loss;
            self.best.clone_from(&self.network);
        }
        seen
    }
}
