//! Replacing words of an expression, but not what stands in quotes.

/// What a word and some of the text behind it become.
pub(crate) struct Found {
    /// The new text.
    pub(crate) text: String,
    /// How many bytes behind the word it stands for.
    pub(crate) length: usize,
}

/// Offers every word, also one in backticks, together with what stands behind it; puts in what is made of it.
pub(crate) fn rewrite(text: &str, each: &mut dyn FnMut(&str, &str) -> Option<Found>) -> String {
    let mut made = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' | '`' => rest[1..].find(first).map_or(rest.len(), |at| at + 2),
            _ if starts_word(first) => rest.find(|char| !in_word(char)).unwrap_or(rest.len()),
            // A number takes its letters along, so that the `e` of `1e5` is no word.
            _ if first.is_ascii_digit() => rest.find(|char| !in_word(char)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (word, behind) = rest.split_at(length);
        let found = if starts_word(first) || first == '`' { each(word, behind) } else { None };
        rest = behind;
        match found {
            Some(found) => {
                made.push_str(&found.text);
                rest = &behind[found.length..];
            }
            None => made.push_str(word),
        }
    }
    made
}

fn starts_word(char: char) -> bool {
    char.is_alphabetic() || char == '_'
}

fn in_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '.')
}
