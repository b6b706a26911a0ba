//! Shell quoting of command lines that are shown to users.

use std::borrow::Cow;

/// Joins arguments with blanks and quotes them so that a shell reads the same arguments back.
pub(crate) fn line(args: &[String]) -> String {
    args.iter()
        .map(|arg| quoted(arg))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(arg: &str) -> Cow<'_, str> {
    if !arg.is_empty() && arg.chars().all(is_literal) {
        return Cow::Borrowed(arg);
    }
    Cow::Owned(format!("'{}'", arg.replace('\'', r"'\''")))
}

/// Returns whether every shell takes the character literally.
fn is_literal(char: char) -> bool {
    char.is_alphanumeric() || "-_./:=,+@%^".contains(char)
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
