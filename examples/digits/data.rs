//! The digits data set: pixels as numbers between 0 and 1, split into training and validation
//! images.

use crate::stream::Stream;
use std::fs;
use std::path::Path;

/// Number of pixels of an image.
pub(crate) const PIXELS: usize = 64;
/// Number of classes, the digits 0 to 9.
pub(crate) const CLASSES: usize = 10;

/// Images, row by row, with their labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Images {
    pixels: Vec<f32>,
    labels: Vec<u8>,
}

impl Images {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn pixels(&self, image: usize) -> &[f32] {
        &self.pixels[image * PIXELS..(image + 1) * PIXELS]
    }

    pub(crate) fn label(&self, image: usize) -> usize {
        usize::from(self.labels[image])
    }
}

/// The data set: three quarters for training, one quarter for validation.
#[derive(Debug)]
pub(crate) struct Digits {
    pub(crate) train: Images,
    pub(crate) validation: Images,
}

impl Digits {
    /// Reads `digits.csv`.
    ///
    /// The split depends only on the number of images, never on a trial's seed: all trials are
    /// validated with the same images.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path)
            .map_err(|why| format!("could not read `{}`: {why}", path.display()))?;
        let mut all = Images::default();
        for (number, line) in text
            .lines()
            .enumerate()
            .skip(1)
            .filter(|(_, line)| !line.is_empty())
        {
            let image = parse(line).ok_or_else(|| {
                format!(
                    "`{}`, line {}: not {PIXELS} pixels and a label",
                    path.display(),
                    number + 1
                )
            })?;
            all.pixels.extend(image.0);
            all.labels.push(image.1);
        }
        let mut order: Vec<usize> = (0..all.len()).collect();
        Stream::new(&[all.len() as u64]).shuffle(&mut order);
        let (train, validation) = order.split_at(all.len() * 3 / 4);
        if train.is_empty() {
            return Err(format!("`{}` holds no images", path.display()));
        }
        Ok(Self {
            train: all.select(train),
            validation: all.select(validation),
        })
    }
}

impl Images {
    fn select(&self, images: &[usize]) -> Self {
        Self {
            pixels: images
                .iter()
                .flat_map(|&image| self.pixels(image))
                .copied()
                .collect(),
            labels: images.iter().map(|&image| self.labels[image]).collect(),
        }
    }
}

fn parse(line: &str) -> Option<(Vec<f32>, u8)> {
    let fields: Vec<u8> = line
        .split(',')
        .map(|field| field.trim().parse().ok())
        .collect::<Option<_>>()?;
    let (&label, pixels) = fields.split_last()?;
    let fits = pixels.len() == PIXELS && usize::from(label) < CLASSES;
    fits.then(|| {
        (
            pixels.iter().map(|&ink| f32::from(ink) / 16.0).collect(),
            label,
        )
    })
}
