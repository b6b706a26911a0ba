//! A fully connected network: forward pass, backward pass, and nothing else.

use crate::data::{CLASSES, Images, PIXELS};
use crate::stream::Stream;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

/// The activation function of the hidden units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Relu,
    Tanh,
    Sigmoid,
}

impl FromStr for Activation {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "relu" => Ok(Self::Relu),
            "tanh" => Ok(Self::Tanh),
            "sigmoid" => Ok(Self::Sigmoid),
            other => Err(format!("`{other}` is none of relu, tanh, sigmoid")),
        }
    }
}

impl Activation {
    fn apply(self, sum: f32) -> f32 {
        match self {
            Self::Relu => sum.max(0.0),
            Self::Tanh => 1.0 - 2.0 / (1.0 + exp(2.0 * sum)),
            Self::Sigmoid => 1.0 / (1.0 + exp(-sum)),
        }
    }

    /// Returns the derivative of the function where its value is `out`.
    fn slope(self, out: f32) -> f32 {
        match self {
            Self::Relu => f32::from(u8::from(out > 0.0)),
            Self::Tanh => 1.0 - out * out,
            Self::Sigmoid => out * (1.0 - out),
        }
    }
}

/// A network. All weights are in one vector: layer by layer, the (inputs × outputs) weights, then
/// the biases.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Network {
    pub(crate) widths: Vec<usize>,
    pub(crate) weights: Vec<f32>,
    pub(crate) activation: Activation,
}

/// The mean loss and the accuracy over a set of images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
}

/// The values of every layer for one image, and their gradients (`errors`).
#[derive(Debug)]
pub(crate) struct Workspace {
    values: Vec<Vec<f32>>,
    errors: Vec<Vec<f32>>,
}

impl Network {
    /// Returns a network with these hidden layers. The weights are drawn uniformly as recommended
    /// by He (relu) or Glorot (others); the biases are 0.
    pub(crate) fn new(units: &[usize], activation: Activation, seed: u64) -> Self {
        let widths: Vec<usize> = [PIXELS]
            .iter()
            .chain(units)
            .chain(&[CLASSES])
            .copied()
            .collect();
        let mut stream = Stream::new(&[seed, 1]);
        let mut weights = Vec::new();
        for pair in widths.windows(2) {
            let spread = match activation {
                Activation::Relu => (6.0 / pair[0] as f32).sqrt(),
                Activation::Tanh | Activation::Sigmoid => (6.0 / (pair[0] + pair[1]) as f32).sqrt(),
            };
            weights.extend((0..pair[0] * pair[1]).map(|_| spread * (2.0 * stream.unit() - 1.0)));
            weights.extend((0..pair[1]).map(|_| 0.0));
        }
        Self {
            widths,
            weights,
            activation,
        }
    }

    pub(crate) fn workspace(&self) -> Workspace {
        let zeros: Vec<Vec<f32>> = self.widths.iter().map(|&width| vec![0.0; width]).collect();
        Workspace {
            values: zeros.clone(),
            errors: zeros,
        }
    }

    /// Returns the loss and the accuracy over images without training.
    pub(crate) fn evaluate(&self, images: &Images) -> Seen {
        let mut space = self.workspace();
        let (mut loss, mut right) = (0.0, 0_usize);
        for image in 0..images.len() {
            self.forward(images.pixels(image), &mut space, None);
            let (cost, hit) = softmax_loss(&mut space, images.label(image));
            loss += cost;
            right += usize::from(hit);
        }
        let count = images.len().max(1) as f64;
        Seen {
            loss: loss / count,
            accuracy: right as f64 / count,
        }
    }

    /// Adds one image's gradient to `gradient` and returns its loss. `dropout` is the fraction of
    /// hidden units to drop, with the stream that selects them.
    pub(crate) fn accumulate(
        &self,
        (pixels, label): (&[f32], usize),
        gradient: &mut [f32],
        space: &mut Workspace,
        dropout: Option<(f32, &mut Stream)>,
    ) -> f64 {
        let kept = dropout.as_ref().map_or(1.0, |(share, _)| 1.0 - share);
        self.forward(pixels, space, dropout);
        let (loss, _) = softmax_loss(space, label);
        self.backward(gradient, space, kept);
        loss
    }

    fn forward(
        &self,
        pixels: &[f32],
        space: &mut Workspace,
        mut dropout: Option<(f32, &mut Stream)>,
    ) {
        space.values[0].copy_from_slice(pixels);
        let mut at = 0;
        let last = self.widths.len() - 2;
        for layer in 0..=last {
            let (ins, outs) = (self.widths[layer], self.widths[layer + 1]);
            let (weights, biases) = self.weights[at..at + (ins + 1) * outs].split_at(ins * outs);
            let (before, after) = space.values.split_at_mut(layer + 1);
            let after = &mut after[0];
            after.copy_from_slice(biases);
            for (&value, row) in before[layer].iter().zip(weights.chunks_exact(outs)) {
                if value != 0.0 {
                    after
                        .iter_mut()
                        .zip(row)
                        .for_each(|(sum, weight)| *sum += value * weight);
                }
            }
            if layer < last {
                after
                    .iter_mut()
                    .for_each(|sum| *sum = self.activation.apply(*sum));
                if let Some((share, stream)) = &mut dropout {
                    let scale = 1.0 / (1.0 - *share);
                    after.iter_mut().for_each(|out| {
                        *out = if stream.unit() < *share {
                            0.0
                        } else {
                            *out * scale
                        }
                    });
                }
            }
            at += (ins + 1) * outs;
        }
    }

    /// Adds the gradient of the last forward pass to `gradient`. `kept` is the fraction of hidden
    /// units that dropout retained.
    fn backward(&self, gradient: &mut [f32], space: &mut Workspace, kept: f32) {
        let mut end = self.weights.len();
        for layer in (0..self.widths.len() - 1).rev() {
            let (ins, outs) = (self.widths[layer], self.widths[layer + 1]);
            let begin = end - (ins + 1) * outs;
            let weights = &self.weights[begin..begin + ins * outs];
            let (slopes, bias_slopes) = gradient[begin..end].split_at_mut(ins * outs);
            let (before, after) = space.errors.split_at_mut(layer + 1);
            let (before, after) = (&mut before[layer], &after[0]);
            bias_slopes
                .iter_mut()
                .zip(after)
                .for_each(|(slope, error)| *slope += error);
            let rows = weights
                .chunks_exact(outs)
                .zip(slopes.chunks_exact_mut(outs));
            for ((&value, error), (row, slope)) in space.values[layer].iter().zip(before).zip(rows)
            {
                if value != 0.0 {
                    slope
                        .iter_mut()
                        .zip(after)
                        .for_each(|(slope, error)| *slope += value * error);
                }
                if layer > 0 {
                    // A dropped unit has no gradient; the value of a retained unit was scaled up.
                    let alive = value != 0.0 || kept == 1.0;
                    *error = if alive {
                        self.activation.slope(value * kept) / kept * dot(row, after)
                    } else {
                        0.0
                    };
                }
            }
            end = begin;
        }
    }

    /// Writes the widths and weights as little-endian numbers, atomically.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(8 * self.widths.len() + 4 * self.weights.len() + 8);
        bytes.extend((self.widths.len() as u64).to_le_bytes());
        bytes.extend(
            self.widths
                .iter()
                .flat_map(|&width| (width as u64).to_le_bytes()),
        );
        bytes.extend(self.weights.iter().flat_map(|weight| weight.to_le_bytes()));
        replace(path, &bytes)
    }
}

/// Writes a file beside `path` and renames it, so that a reader never sees a partial file.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = path.with_extension("tmp");
    fs::write(&unfinished, bytes)?;
    fs::rename(unfinished, path)
}

/// Replaces the gradients of the output layer by those of the cross-entropy. Returns the loss, and
/// whether the largest output is the right one.
fn softmax_loss(space: &mut Workspace, label: usize) -> (f64, bool) {
    let (Some(outs), Some(errors)) = (space.values.last(), space.errors.last_mut()) else {
        return (0.0, false);
    };
    let largest = outs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = outs.iter().map(|out| exp(out - largest)).sum();
    for (error, out) in errors.iter_mut().zip(outs) {
        *error = exp(out - largest) / total;
    }
    errors[label] -= 1.0;
    (
        f64::from(largest - outs[label]) + f64::from(total).ln(),
        outs[label] >= largest,
    )
}

/// Returns e to the power of `x` to about seven digits, by arithmetic alone: the result has the
/// same bits on every machine, and the compiler can vectorise it.
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: a sum with it has no bits for a fraction
    let x = x.clamp(-87.0, 88.0);
    let twos = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let rest = x - twos * 0.693_359_4 + twos * 2.121_944_4e-4; // minus twos * ln 2, in two parts
    let series = [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let power = series
        .iter()
        .fold(1.0 / 720.0, |sum, term| sum * rest + term);
    power * f32::from_bits(((twos as i32 + 127) as u32) << 23)
}

/// Returns the inner product, computed in eight lanes that the compiler can keep in one vector
/// register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a.zip(b) {
        lanes
            .iter_mut()
            .zip(x.iter().zip(y))
            .for_each(|(lane, (x, y))| *lane += x * y);
    }
    lanes.iter().sum::<f32>() + rest
}
