//! Masks passwords in URLs before a text is printed or stored.

use std::borrow::Cow;

/// Returns the text with `user:password` in `http://user:password@host` replaced by stars. Each
/// byte becomes one star, so byte offsets stay valid.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(colon) = rest.find("://") {
        let (before, after) = rest.split_at(colon + 3);
        masked.push_str(before);
        let login = after[..authority_end(after)].rfind('@').unwrap_or(0);
        masked.extend(std::iter::repeat_n('*', login));
        rest = &after[login..];
    }
    if masked.contains('*') {
        masked.push_str(rest);
        return masked.into();
    }
    text.into()
}

/// Returns the offset at which the authority part (login and host) ends. An apostrophe ends it only
/// if it can be the closing quote of a TOML string; otherwise it belongs to the password.
fn authority_end(text: &str) -> usize {
    text.char_indices()
        .find(|(offset, letter)| match letter {
            '/' | '"' => true,
            '\'' => text[offset + 1..]
                .chars()
                .next()
                .is_none_or(|next| ",]}#".contains(next) || next.is_whitespace()),
            other => other.is_whitespace(),
        })
        .map_or(text.len(), |(offset, _)| offset)
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn a_login_is_masked_at_its_length_and_nothing_else_is() {
        let cases = [
            (
                "uri = \"http://us%40er:pé'w@d@host:5/x\"\nnext = 1",
                "uri = \"http://***************@host:5/x\"\nnext = 1",
            ),
            ("uri = 'http://u:p@h'", "uri = 'http://***@h'"),
            ("['http://h','x@y']", "['http://h','x@y']"),
            (
                "http://h/a@b ssh://h x@y * ://",
                "http://h/a@b ssh://h x@y * ://",
            ),
            ("a://u@b c://v:w@d", "a://*@b c://***@d"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text), expected);
            assert_eq!(masked(text).len(), text.len());
        }
    }
}
