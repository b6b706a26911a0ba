//! Words in the names of metrics and counters, which tell their meaning.

/// Words of metrics of which large values are good.
const LARGE_IS_GOOD: [&str; 31] = [
    "acc",
    "accuracy",
    "auc",
    "auroc",
    "auprc",
    "f1",
    "score",
    "precision",
    "prec",
    "recall",
    "r2",
    "bleu",
    "rouge",
    "reward",
    "return",
    "map",
    "iou",
    "miou",
    "dice",
    "ndcg",
    "mrr",
    "psnr",
    "ssim",
    "kappa",
    "mcc",
    "corr",
    "pearson",
    "spearman",
    "success",
    "fitness",
    "hit",
];

/// Words of metrics of which small values are good.
const SMALL_IS_GOOD: [&str; 22] = [
    "loss",
    "err",
    "error",
    "mse",
    "rmse",
    "mae",
    "mape",
    "rmsle",
    "nll",
    "ppl",
    "perplexity",
    "wer",
    "cer",
    "crossentropy",
    "entropy",
    "hinge",
    "l1",
    "l2",
    "fid",
    "cost",
    "bpb",
    "bpc",
];

/// Names of counters, the most useful first.
pub(super) const COUNTERS: [&str; 7] = [
    "epoch",
    "step",
    "iteration",
    "iter",
    "round",
    "fold",
    "batch",
];

/// Words of numbers that describe the run and not its result.
const OTHERS: [&str; 26] = [
    "lr",
    "learning",
    "rate",
    "seed",
    "time",
    "sec",
    "secs",
    "second",
    "seconds",
    "elapsed",
    "eta",
    "took",
    "duration",
    "speed",
    "samples",
    "params",
    "parameters",
    "memory",
    "mem",
    "size",
    "device",
    "port",
    "pid",
    "throughput",
    "norm",
    "workers",
];

/// Words with which loggers begin a line.
const LEVELS: [&str; 6] = ["DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL"];

/// Words of metrics of data that the program does not train on.
const HELD_OUT: [&str; 7] = ["val", "test", "eval", "dev", "cv", "holdout", "oob"];

/// Returns whether a word of a name is one of `words`, or begins or ends with a long one.
fn has_word(name: &str, words: &[&str]) -> bool {
    let name = name.to_lowercase();
    let mut parts = name.split(|c: char| !c.is_alphanumeric());
    parts.any(|part| {
        words.iter().any(|word| {
            part == *word || word.len() > 2 && (part.starts_with(word) || part.ends_with(word))
        })
    })
}

pub(super) fn is_large_good(name: &str) -> bool {
    has_word(name, &LARGE_IS_GOOD) && !has_word(name, &SMALL_IS_GOOD)
}

pub(super) fn is_metric(name: &str) -> bool {
    has_word(name, &LARGE_IS_GOOD) || has_word(name, &SMALL_IS_GOOD)
}

/// Returns whether a printed value counts the progress of the training.
pub(super) fn is_counter(name: &str) -> bool {
    let name = name.to_lowercase();
    let last = name.rsplit(|c: char| !c.is_alphanumeric()).next();
    last.is_some_and(|last| COUNTERS.contains(&last))
}

/// Returns whether a printed value describes the run, such as its duration.
pub(super) fn is_of_the_run(name: &str) -> bool {
    let name = name.to_lowercase();
    let mut parts = name.split(|c: char| !c.is_alphanumeric());
    !is_metric(&name) && parts.any(|part| OTHERS.contains(&part))
}

pub(super) fn is_held_out(name: &str) -> bool {
    let name = name.to_lowercase();
    let mut parts = name.split(|c: char| !c.is_alphanumeric());
    parts.any(|part| HELD_OUT.iter().any(|word| part.starts_with(word)))
}

/// Returns whether a value summarises others, such as the mean over folds.
pub(super) fn is_summary(name: &str) -> bool {
    has_word(name, &["mean", "average", "avg", "overall", "final"])
}

pub(super) fn is_level(word: &str) -> bool {
    LEVELS.contains(&word.trim_matches(|c: char| !c.is_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goal_follows_from_the_words_of_a_name() {
        for name in [
            "val_acc",
            "test_auc",
            "valid_0_auc",
            "f1",
            "mean_reward",
            "prec_1",
        ] {
            assert!(is_large_good(name), "{name}");
        }
        for name in [
            "val_loss",
            "binary_logloss",
            "validation_rmse",
            "perplexity",
            "x",
            "error",
        ] {
            assert!(!is_large_good(name), "{name}");
        }
    }
}
