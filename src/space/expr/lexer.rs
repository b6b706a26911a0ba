//! The words of an expression.

use super::ExprError;
use crate::space::Value;
use std::ops::Range;

/// A word of the language.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A number or a string.
    Literal(Value),
    /// A name or keyword.
    Word(String),
    /// A name in backticks, never a keyword.
    Quoted(String),
    /// An operator or bracket.
    Symbol(&'static str),
}

/// Longer ones first, so that `**` is not read as two `*`.
const SYMBOLS: &[&str] =
    &["**", "//", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", "[", "]", ","];

/// Symbols of other languages, with what to write here.
const FOREIGN: &[(&str, &str)] = &[
    ("&&", "and"),
    ("||", "or"),
    ("<>", "!="),
    ("=", "=="),
    ("!", "not"),
    ("^", "**"),
    ("&", "and"),
    ("|", "or"),
];

/// Splits a text into words with their places.
pub(super) fn lex(text: &str) -> Result<Vec<(Token, Range<usize>)>, ExprError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let (token, length) = match first {
            '0'..='9' => number(rest, at)?,
            '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => number(rest, at)?,
            '\'' | '"' => {
                let (inner, length) = quoted(rest, first, at)?;
                (Token::Literal(Value::Text(inner.into())), length)
            }
            '`' => {
                let (inner, length) = quoted(rest, first, at)?;
                (Token::Quoted(inner.to_owned()), length)
            }
            _ if begins_word(first) => word(rest),
            _ => symbol(rest, at, first)?,
        };
        tokens.push((token, at..at + length));
        at += length;
    }
    Ok(tokens)
}

fn begins_word(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

fn word(rest: &str) -> (Token, usize) {
    let mut end = 0;
    loop {
        let part = rest[end..].find(|next: char| !(next.is_alphanumeric() || next == '_'));
        end = part.map_or(rest.len(), |length| end + length);
        if !(rest[end..].starts_with('.') && rest[end + 1..].starts_with(begins_word)) {
            return (Token::Word(rest[..end].to_owned()), end);
        }
        end += 1;
    }
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(&str, usize), ExprError> {
    match rest[1..].find(quote) {
        Some(length) => Ok((&rest[1..=length], length + 2)),
        None => Err(ExprError::new(&(at..at + rest.len()), format!("this {quote} is never closed"))),
    }
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), ExprError> {
    let mut end = 0;
    let mut before = ' ';
    for (offset, next) in rest.char_indices() {
        let sign_of_exponent = matches!(next, '+' | '-') && matches!(before, 'e' | 'E');
        if !(next.is_ascii_alphanumeric() || matches!(next, '.' | '_') || sign_of_exponent) {
            break;
        }
        end = offset + 1;
        before = next;
    }
    let digits = rest[..end].replace('_', "");
    if let Ok(number) = digits.parse() {
        return Ok((Token::Literal(Value::Int(number)), end));
    }
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Literal(Value::Float(number)), end)),
        Ok(_) => Err(ExprError::new(&(at..at + end), "this number is too large")),
        Err(_) => Err(ExprError::new(&(at..at + end), format!("`{}` is not a number", &rest[..end]))),
    }
}

fn symbol(rest: &str, at: usize, first: char) -> Result<(Token, usize), ExprError> {
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        return Ok((Token::Symbol(symbol), symbol.len()));
    }
    if let Some((foreign, ours)) = FOREIGN.iter().find(|(foreign, _)| rest.starts_with(foreign)) {
        let error = ExprError::new(&(at..at + foreign.len()), format!("there is no `{foreign}` here"));
        return Err(error.hint(format!("write `{ours}`")));
    }
    let span = at..at + first.len_utf8();
    Err(ExprError::new(&span, format!("`{}` means nothing here", first.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Token> {
        lex(text).unwrap().into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn numbers_strings_names_and_operators_are_told_apart() {
        let expected = vec![
            Token::Word("model.lr2".into()),
            Token::Symbol("**"),
            Token::Literal(Value::Float(1e-3)),
            Token::Symbol("-"),
            Token::Literal(Value::Int(1000)),
            Token::Literal(Value::Text("it's".into())),
            Token::Quoted("weight-decay".into()),
        ];
        assert_eq!(words("model.lr2**1e-3-1_000 \"it's\" `weight-decay`"), expected);
    }

    #[test]
    fn symbols_of_other_languages_are_translated() {
        let error = lex("a && b").unwrap_err();
        assert_eq!((error.span, error.hint), (2..4, Some("write `and`".into())));
        assert_eq!(lex("a = 1").unwrap_err().hint, Some("write `==`".into()));
    }

    #[test]
    fn an_open_string_is_an_error_to_its_end() {
        assert_eq!(lex("a == 'sgd").unwrap_err().span, 5..9);
    }
}
