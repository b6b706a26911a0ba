//! Lexer: splits an expression into tokens.

use super::function::Function;
use super::names::Names;
use super::reducer::Ask;
use super::{ExprError, in_back_quotes};
use crate::space::Value;
use std::ops::Range;

/// A token of the language.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A number or a string.
    Literal(Value),
    /// A name or keyword.
    Word(String),
    /// A name in backticks, which is never a keyword.
    Quoted(String),
    /// An operator or bracket.
    Symbol(&'static str),
}

/// Operators and brackets. Longer ones come first, so that `**` is not read as two `*`.
const SYMBOLS: &[&str] = &[
    "**", "//", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", "[", "]", ",",
];

/// Operators of other languages, with their equivalents for the hint.
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

/// Words that cannot be names.
pub(super) const KEYWORDS: [&str; 8] = ["and", "or", "in", "not", "true", "True", "false", "False"];

type Tokens = Vec<(Token, Range<usize>)>;

/// Splits a text into tokens with their byte ranges.
///
/// With `names` the text is an expression over trials: names that are not words are recognised, and
/// `@` is an operator.
pub(super) fn lex(text: &str, names: Option<&Names>) -> Result<Tokens, ExprError> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    while let Some(first) = text[offset..].chars().next() {
        if first.is_whitespace() {
            offset += first.len_utf8();
            continue;
        }
        let rest = &text[offset..];
        let (token, length) =
            match names.map_or(Ok(None), |names| non_word_name(rest, offset, names))? {
                Some(name) => (Token::Quoted(name.to_owned()), name.len()),
                None if first == '@' && names.is_some() => (Token::Symbol("@"), 1),
                None => read_token(rest, offset, first)?,
            };
        tokens.push((token, offset..offset + length));
        offset += length;
    }
    Ok(tokens)
}

/// Reads the token at the start of `rest`, which begins at byte `offset` of the text.
fn read_token(rest: &str, offset: usize, first: char) -> Result<(Token, usize), ExprError> {
    Ok(match first {
        '0'..='9' => read_number(rest, offset)?,
        '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
            read_number(rest, offset)?
        }
        '\'' | '"' => {
            let (inner, length) = read_quoted(rest, first, offset)?;
            (Token::Literal(Value::Text(inner.into())), length)
        }
        '`' => {
            let (inner, length) = read_quoted(rest, first, offset)?;
            (Token::Quoted(inner.to_owned()), length)
        }
        _ if begins_word(first) => read_word(rest),
        _ => read_symbol(rest, offset, first)?,
    })
}

/// Returns the name at the start of `rest` that is not a word. Returns an error if it could also be
/// read as an expression.
fn non_word_name<'a>(
    rest: &str,
    offset: usize,
    names: &'a Names,
) -> Result<Option<&'a str>, ExprError> {
    let Some(name) = names.non_word_prefix(rest) else {
        return Ok(None);
    };
    if !is_expression(name, names) {
        return Ok(Some(name));
    }
    // A metric called `1` must not hide the number 1.
    if !name.starts_with(begins_word) {
        return Ok(None);
    }
    let message = format!("`{name}` is a name, and also an expression of other names");
    let hint = format!(
        "write {} for the name, or spaces between the parts of the expression",
        in_back_quotes(name)
    );
    Err(ExprError::new(&(offset..offset + name.len()), message).hint(hint))
}

/// Returns whether a name can also be read as an expression in which every word has a meaning.
fn is_expression(name: &str, names: &Names) -> bool {
    let Ok(tokens) = lex(name, Some(&Names::default())) else {
        return false;
    };
    tokens
        .iter()
        .enumerate()
        .all(|(index, (token, _))| match token {
            Token::Word(word) => {
                let is_called = matches!(tokens.get(index + 1), Some((Token::Symbol("("), _)));
                let is_function = Function::named(word).is_some() || Ask::named(word).is_some();
                names.contains(word)
                    || KEYWORDS.contains(&word.as_str())
                    || (is_called && is_function)
            }
            Token::Quoted(inner) => names.contains(inner),
            Token::Literal(_) | Token::Symbol(_) => true,
        })
}

/// Returns whether a name is a word of the language: letters, digits, `_`, and dots between them.
pub(super) fn is_word(name: &str) -> bool {
    name.starts_with(begins_word) && read_word(name).1 == name.len()
}

fn begins_word(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

/// Returns whether a word goes on with this character.
pub(super) fn continues_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn read_word(rest: &str) -> (Token, usize) {
    let mut end = 0;
    loop {
        let part = rest[end..].find(|next: char| !continues_word(next));
        end = part.map_or(rest.len(), |length| end + length);
        if !(rest[end..].starts_with('.') && rest[end + 1..].starts_with(begins_word)) {
            return (Token::Word(rest[..end].to_owned()), end);
        }
        end += 1;
    }
}

fn read_quoted(rest: &str, quote: char, offset: usize) -> Result<(&str, usize), ExprError> {
    match rest[1..].find(quote) {
        Some(length) => Ok((&rest[1..=length], length + 2)),
        None => Err(ExprError::new(
            &(offset..offset + rest.len()),
            format!("this {quote} is never closed"),
        )),
    }
}

fn read_number(rest: &str, offset: usize) -> Result<(Token, usize), ExprError> {
    let mut end = 0;
    let mut before = ' ';
    for (position, next) in rest.char_indices() {
        let is_exponent_sign = matches!(next, '+' | '-') && matches!(before, 'e' | 'E');
        if !(next.is_ascii_alphanumeric() || matches!(next, '.' | '_') || is_exponent_sign) {
            break;
        }
        end = position + 1;
        before = next;
    }
    let digits = rest[..end].replace('_', "");
    if let Ok(number) = digits.parse() {
        return Ok((Token::Literal(Value::Int(number)), end));
    }
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Literal(Value::Float(number)), end)),
        Ok(_) => Err(ExprError::new(
            &(offset..offset + end),
            "this number is too large",
        )),
        Err(_) => Err(ExprError::new(
            &(offset..offset + end),
            format!("`{}` is not a number", &rest[..end]),
        )),
    }
}

fn read_symbol(rest: &str, offset: usize, first: char) -> Result<(Token, usize), ExprError> {
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        return Ok((Token::Symbol(symbol), symbol.len()));
    }
    if let Some((foreign, ours)) = FOREIGN
        .iter()
        .find(|(foreign, _)| rest.starts_with(foreign))
    {
        let error = ExprError::new(
            &(offset..offset + foreign.len()),
            format!("`{foreign}` is not an operator of expressions"),
        );
        return Err(error.hint(format!("write `{ours}`")));
    }
    let span = offset..offset + first.len_utf8();
    Err(ExprError::new(
        &span,
        format!("unexpected character `{}`", first.escape_debug()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        lex(text, None)
            .unwrap()
            .into_iter()
            .map(|(token, _)| token)
            .collect()
    }

    #[test]
    fn numbers_strings_names_and_operators_are_separate_tokens() {
        let expected = vec![
            Token::Word("model.lr2".into()),
            Token::Symbol("**"),
            Token::Literal(Value::Float(1e-3)),
            Token::Symbol("-"),
            Token::Literal(Value::Int(1000)),
            Token::Literal(Value::Text("it's".into())),
            Token::Quoted("weight-decay".into()),
        ];
        assert_eq!(
            tokens("model.lr2**1e-3-1_000 \"it's\" `weight-decay`"),
            expected
        );
    }

    #[test]
    fn symbols_of_other_languages_are_translated() {
        let error = lex("a && b", None).unwrap_err();
        assert_eq!((error.span, error.hint), (2..4, Some("write `and`".into())));
        assert_eq!(
            lex("a = 1", None).unwrap_err().hint,
            Some("write `==`".into())
        );
    }

    #[test]
    fn an_open_string_is_an_error_to_its_end() {
        assert_eq!(lex("a == 'sgd", None).unwrap_err().span, 5..9);
    }

    fn with_names(text: &str, names: &[&str]) -> Result<Vec<Token>, ExprError> {
        let names: Names = names.iter().copied().collect();
        Ok(lex(text, Some(&names))?
            .into_iter()
            .map(|(token, _)| token)
            .collect())
    }

    #[test]
    fn a_name_in_the_list_needs_no_backticks_whatever_characters_it_has() {
        for name in [
            "val/AR@100",
            "n-estimators",
            "timing(s)/gen",
            "huber[delta=1.3]",
            "acc, top-5 %",
            "3d/iou",
            "a.2b",
        ] {
            let tokens = with_names(&format!("{name} > 1"), &[name, "lr"]);
            let expected = [
                Token::Quoted(name.into()),
                Token::Symbol(">"),
                Token::Literal(Value::Int(1)),
            ];
            assert_eq!(tokens.as_deref(), Ok(&expected[..]), "{name}");
        }
        let tokens = with_names("n-estimators2", &["n-estimators", "n"]).unwrap();
        assert_eq!(tokens[0], Token::Word("n".into()));
        assert_eq!(
            with_names("a-b-c", &["a-b", "a-b-c"]).unwrap(),
            [Token::Quoted("a-b-c".into())]
        );
    }

    #[test]
    fn a_name_that_is_also_an_expression_of_names_has_to_be_written_in_back_quotes() {
        let error = with_names("a-b > 0", &["a-b", "a", "b"]).unwrap_err();
        assert_eq!(
            (error.span, error.message.as_str()),
            (
                0..3,
                "`a-b` is a name, and also an expression of other names"
            )
        );
        assert_eq!(
            error.hint.as_deref(),
            Some("write `a-b` for the name, or spaces between the parts of the expression")
        );
        assert_eq!(with_names("a - b", &["a-b", "a", "b"]).unwrap().len(), 3);
        assert_eq!(
            with_names("`a-b`", &["a-b", "a", "b"]).unwrap(),
            [Token::Quoted("a-b".into())]
        );
        assert!(with_names("acc@10", &["acc@10", "acc"]).is_err());
        assert!(with_names("log(lr)", &["log(lr)", "lr"]).is_err());
        assert_eq!(
            with_names("lr > 1", &["1", "lr"]).unwrap()[2],
            Token::Literal(Value::Int(1))
        );
    }
}
