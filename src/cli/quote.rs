//! Shell quoting of command lines that are shown to users.

use std::borrow::Cow;

/// Joins arguments with blanks and quotes them so that a shell reads the same arguments back.
pub(crate) fn line(args: &[String]) -> String {
    args.iter()
        .map(|arg| word(arg))
        .collect::<Vec<_>>()
        .join(" ")
}

fn word(arg: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        return Cow::Borrowed(arg);
    }
    Cow::Owned(format!("'{}'", arg.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_change_is_quoted() {
        let args = ["train", "--lr=1e-3", "--units=[1,2]", "it's", ""].map(str::to_owned);
        assert_eq!(line(&args), r"train --lr=1e-3 '--units=[1,2]' 'it'\''s' ''");
    }
}
