//! Three optimizers: SGD with momentum, Adam and AdamW.

use crate::options::Options;
use std::str::FromStr;

/// The method by which the weights follow the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Sgd,
    Adam,
    AdamW,
}

impl FromStr for Method {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "sgd" => Ok(Self::Sgd),
            "adam" => Ok(Self::Adam),
            "adamw" => Ok(Self::AdamW),
            other => Err(format!("`{other}` is none of sgd, adam, adamw")),
        }
    }
}

/// The state of an optimizer: the step count, and two moments for every weight (SGD uses only the
/// first).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Optimizer {
    pub(crate) steps: u64,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

impl Optimizer {
    pub(crate) fn new(weights: usize) -> Self {
        Self {
            steps: 0,
            first: vec![0.0; weights],
            second: vec![0.0; weights],
        }
    }

    /// Moves the weights one step against the mean gradient of a batch.
    pub(crate) fn step(&mut self, options: &Options, weights: &mut [f32], gradient: &[f32]) {
        self.steps += 1;
        let (lr, decay) = (options.lr, options.weight_decay);
        let state = self.first.iter_mut().zip(&mut self.second);
        let each = weights.iter_mut().zip(gradient).zip(state);
        match options.optimizer {
            Method::Sgd => {
                for ((weight, slope), (velocity, _)) in each {
                    *velocity = options.momentum * *velocity + slope + decay * *weight;
                    *weight -= lr * *velocity;
                }
            }
            // Kingma & Ba, 2015. AdamW applies the weight decay outside of the moments (Loshchilov
            // & Hutter, 2019).
            method @ (Method::Adam | Method::AdamW) => {
                let (beta1, beta2, epsilon) = (0.9_f32, 0.999_f32, 1e-8_f32);
                let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
                let (fix1, fix2) = (1.0 - beta1.powi(steps), 1.0 - beta2.powi(steps));
                let (inside, outside) = if method == Method::Adam {
                    (decay, 0.0)
                } else {
                    (0.0, lr * decay)
                };
                for ((weight, slope), (mean, square)) in each {
                    let slope = slope + inside * *weight;
                    *mean += (1.0 - beta1) * (slope - *mean);
                    *square += (1.0 - beta2) * (slope * slope - *square);
                    *weight -= outside * *weight
                        + lr * (*mean / fix1) / ((*square / fix2).sqrt() + epsilon);
                }
            }
        }
    }
}
