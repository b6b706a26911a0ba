//! The hyperparameters, parsed from the command line.

use crate::network::Activation;
use crate::optimizer::Method;
use std::path::PathBuf;
use std::str::FromStr;

/// The options of the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub(crate) lr: f32,
    pub(crate) units: Vec<usize>,
    pub(crate) activation: Activation,
    pub(crate) optimizer: Method,
    pub(crate) momentum: f32,
    pub(crate) weight_decay: f32,
    pub(crate) dropout: f32,
    pub(crate) batch: usize,
    pub(crate) epochs: u64,
    pub(crate) model: Option<PathBuf>,
}

impl Options {
    /// Parses `--name=value` and `--name value`. A list is `[64,32]`, `64,32`, or a repeated
    /// option.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            lr: 0.003,
            units: vec![],
            activation: Activation::Relu,
            optimizer: Method::Adam,
            momentum: 0.9,
            weight_decay: 0.0,
            dropout: 0.0,
            batch: 32,
            epochs: 20,
            model: None,
        };
        let mut layers = None;
        let mut args = args;
        while let Some(arg) = args.next() {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => {
                    let value = args.next().ok_or_else(|| format!("`{arg}` has no value"))?;
                    (arg, value)
                }
            };
            match name.as_str() {
                "--lr" => options.lr = number(&name, &value, 0.0, 1e3)?,
                "--layers" => layers = Some(number::<usize>(&name, &value, 0, 16)?),
                "--units" => {
                    for units in value
                        .trim_matches(['[', ']'])
                        .split(',')
                        .filter(|item| !item.trim().is_empty())
                    {
                        options.units.push(number(&name, units, 1, 4096)?);
                    }
                }
                "--activation" => options.activation = value.parse()?,
                "--optimizer" => options.optimizer = value.parse()?,
                "--momentum" => options.momentum = number(&name, &value, 0.0, 1.0)?,
                "--weight_decay" => options.weight_decay = number(&name, &value, 0.0, 1e3)?,
                "--dropout" => options.dropout = number(&name, &value, 0.0, 0.95)?,
                "--batch" => options.batch = number(&name, &value, 1, 100_000)?,
                "--epochs" => options.epochs = number(&name, &value, 1, 1_000_000)?,
                "--model" => options.model = Some(value.into()),
                other => {
                    return Err(format!(
                        "unknown option `{other}`; there are --lr --layers --units --activation --optimizer --momentum \
                         --weight_decay --dropout --batch --epochs --model"
                    ));
                }
            }
        }
        options.fit_units(layers)?;
        Ok(options)
    }

    /// Extends `units` to the number of `layers`: a single width is used for all layers, any other
    /// difference is an error.
    fn fit_units(&mut self, layers: Option<usize>) -> Result<(), String> {
        if self.units.is_empty() && layers != Some(0) {
            self.units.push(64);
        }
        match layers {
            Some(layers) if self.units.len() == 1 => self.units = vec![self.units[0]; layers],
            Some(layers) if self.units.len() != layers => {
                return Err(format!(
                    "--layers is {layers}, but --units has {} widths",
                    self.units.len()
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    name: &str,
    text: &str,
    min: T,
    max: T,
) -> Result<T, String> {
    match text.trim().parse::<T>() {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => Err(format!(
            "`{name}` must be a number from {min} to {max}, not `{text}`"
        )),
    }
}
