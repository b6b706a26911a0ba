//! Checkpoints: the state of a training in a file, so exact that a resumed training ends with the
//! same numbers as an uninterrupted one.

use crate::network::{Network, replace};
use crate::training::Training;
use std::fs;
use std::io;
use std::path::Path;

const MAGIC: &[u8] = b"digits checkpoint 1\n";

/// Writes the checkpoint atomically.
pub(crate) fn save(path: &Path, training: &Training) -> io::Result<()> {
    let vectors = vectors(training);
    let mut bytes =
        Vec::with_capacity(64 + vectors.iter().map(|vector| 4 * vector.len()).sum::<usize>());
    bytes.extend(MAGIC);
    bytes.extend(training.epoch.to_le_bytes());
    bytes.extend(training.optimizer.steps.to_le_bytes());
    bytes.extend(training.best_loss.to_le_bytes());
    for vector in vectors {
        bytes.extend((vector.len() as u64).to_le_bytes());
        bytes.extend(vector.iter().flat_map(|number| number.to_le_bytes()));
    }
    replace(path, &bytes)
}

/// Returns `fresh` with the state of the checkpoint.
///
/// The options may differ from those with which the checkpoint was written, as in population-based
/// training; the layers must be the same.
pub(crate) fn load(path: &Path, mut fresh: Training) -> Result<Training, String> {
    let bytes =
        fs::read(path).map_err(|why| format!("could not read `{}`: {why}", path.display()))?;
    read(&bytes, &mut fresh)
        .ok_or_else(|| format!("`{}` is no checkpoint of this network", path.display()))?;
    Ok(fresh)
}

fn read(bytes: &[u8], training: &mut Training) -> Option<()> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    training.epoch = u64::from_le_bytes(take(&mut rest)?);
    training.optimizer.steps = u64::from_le_bytes(take(&mut rest)?);
    training.best_loss = f64::from_le_bytes(take(&mut rest)?);
    let Training {
        network,
        best,
        optimizer,
        ..
    } = training;
    let Network { weights, .. } = network;
    for vector in [
        weights,
        &mut best.weights,
        &mut optimizer.first,
        &mut optimizer.second,
    ] {
        if u64::from_le_bytes(take(&mut rest)?) != vector.len() as u64 {
            return None;
        }
        for number in vector {
            *number = f32::from_le_bytes(take(&mut rest)?);
        }
    }
    rest.is_empty().then_some(())
}

fn vectors(training: &Training) -> [&[f32]; 4] {
    let Training {
        network,
        best,
        optimizer,
        ..
    } = training;
    [
        &network.weights,
        &best.weights,
        &optimizer.first,
        &optimizer.second,
    ]
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}
