//! From words to a tree, with Python's precedence.

use super::ExprError;
use super::function::Function;
use super::lexer::{self, Token};
use super::tree::{Comparison, Kind, Node, Operator};
use crate::source::diagnostic;
use crate::space::Value;
use std::ops::Range;

const LONGEST: usize = 4096;
/// Bounds the recursion of the parser and of everything that walks the tree.
const DEEPEST: usize = 100;

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Node, ExprError> {
    if text.len() > LONGEST {
        return Err(ExprError::new(&(0..0), format!("an expression has at most {LONGEST} bytes")));
    }
    let mut parser = Parser { tokens: lexer::lex(text)?, at: 0, nesting: 0, end: text.len() };
    let root = parser.any()?;
    match parser.tokens.get(parser.at) {
        None => Ok(root),
        Some((_, span)) => Err(ExprError::new(span, "the expression should end here")),
    }
}

struct Parser {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    nesting: usize,
    end: usize,
}

type Parsed = Result<Node, ExprError>;

impl Parser {
    fn any(&mut self) -> Parsed {
        self.chain("or", Self::all, Kind::Any)
    }

    fn all(&mut self) -> Parsed {
        self.chain("and", Self::not, Kind::All)
    }

    fn chain(&mut self, word: &str, operand: fn(&mut Self) -> Parsed, kind: fn(Vec<Node>) -> Kind) -> Parsed {
        let first = operand(self)?;
        let mut operands = vec![first];
        while self.word(word).is_some() {
            operands.push(operand(self)?);
        }
        match operands.len() {
            1 => Ok(operands.remove(0)),
            many => {
                let span = operands[0].span.start..operands[many - 1].span.end;
                node(span, kind(operands))
            }
        }
    }

    fn not(&mut self) -> Parsed {
        let Some(span) = self.word("not") else { return self.comparison() };
        let operand = self.nested(&span, Self::not)?;
        node(span.start..operand.span.end, Kind::Not(Box::new(operand)))
    }

    fn comparison(&mut self) -> Parsed {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison_sign()? {
            rest.push((comparison, self.sum()?));
        }
        match rest.last() {
            None => Ok(first),
            Some((_, last)) => node(first.span.start..last.span.end, Kind::Compare(Box::new(first), rest)),
        }
    }

    fn comparison_sign(&mut self) -> Result<Option<Comparison>, ExprError> {
        const SIGNS: &[(&str, Comparison)] = &[
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::LessEqual),
            ("<", Comparison::Less),
            (">=", Comparison::GreaterEqual),
            (">", Comparison::Greater),
        ];
        if self.word("in").is_some() {
            return Ok(Some(Comparison::In));
        }
        if let Some(span) = self.word("not") {
            return match self.word("in") {
                Some(_) => Ok(Some(Comparison::NotIn)),
                None => Err(ExprError::new(&span, "`not` stands between two values")
                    .hint("write `not in`, or `and not`")),
            };
        }
        Ok(SIGNS.iter().find(|(sign, _)| self.symbol(sign).is_some()).map(|(_, comparison)| *comparison))
    }

    fn sum(&mut self) -> Parsed {
        const SIGNS: &[(&str, Operator)] = &[("+", Operator::Add), ("-", Operator::Subtract)];
        self.operators(SIGNS, Self::product)
    }

    fn product(&mut self) -> Parsed {
        const SIGNS: &[(&str, Operator)] = &[
            ("*", Operator::Multiply),
            ("//", Operator::FloorDivide),
            ("/", Operator::Divide),
            ("%", Operator::Modulo),
        ];
        self.operators(SIGNS, Self::unary)
    }

    fn operators(&mut self, signs: &[(&str, Operator)], operand: fn(&mut Self) -> Parsed) -> Parsed {
        let mut left = operand(self)?;
        while let Some((_, operator)) = signs.iter().find(|(sign, _)| self.symbol(sign).is_some()) {
            let right = operand(self)?;
            let span = left.span.start..right.span.end;
            left = node(span, Kind::Arithmetic(*operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        if let Some(span) = self.symbol("-") {
            let operand = self.nested(&span, Self::unary)?;
            return node(span.start..operand.span.end, Kind::Negate(Box::new(operand)));
        }
        if let Some(span) = self.symbol("+") {
            return self.nested(&span, Self::unary);
        }
        self.power()
    }

    fn power(&mut self) -> Parsed {
        let base = self.indexed()?;
        let Some(span) = self.symbol("**") else { return Ok(base) };
        let exponent = self.nested(&span, Self::unary)?;
        let span = base.span.start..exponent.span.end;
        node(span, Kind::Arithmetic(Operator::Power, Box::new(base), Box::new(exponent)))
    }

    fn indexed(&mut self) -> Parsed {
        let mut base = self.primary()?;
        while let Some(open) = self.symbol("[") {
            let index = self.nested(&open, Self::any)?;
            let close = self.close("]", &open)?;
            base = node(base.span.start..close.end, Kind::Index(Box::new(base), Box::new(index)))?;
        }
        Ok(base)
    }

    fn primary(&mut self) -> Parsed {
        let Some((token, span)) = self.tokens.get(self.at).cloned() else {
            return Err(ExprError::new(&(self.end..self.end), "a value is missing at the end"));
        };
        self.at += 1;
        match token {
            Token::Literal(value) => node(span, Kind::Literal(value)),
            Token::Quoted(name) => node(span, Kind::Name(name.into())),
            Token::Symbol("(") => {
                let inner = self.nested(&span, Self::any)?;
                self.close(")", &span)?;
                Ok(inner)
            }
            Token::Symbol("[") => {
                let (items, close) = self.items("]", &span)?;
                node(span.start..close.end, Kind::List(items))
            }
            Token::Symbol(symbol) => {
                Err(ExprError::new(&span, format!("a value should stand here, not `{symbol}`")))
            }
            Token::Word(word) => self.name_or_call(word, span),
        }
    }

    fn name_or_call(&mut self, word: String, span: Range<usize>) -> Parsed {
        match word.as_str() {
            "true" | "True" => return node(span, Kind::Literal(Value::Bool(true))),
            "false" | "False" => return node(span, Kind::Literal(Value::Bool(false))),
            "and" | "or" | "in" | "not" => {
                return Err(ExprError::new(&span, format!("a value should stand here, not `{word}`")));
            }
            _ => {}
        }
        let Some(open) = self.symbol("(") else { return node(span, Kind::Name(word.into())) };
        let Some(function) = Function::named(&word) else {
            let hint = match diagnostic::nearest(&word, Function::names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the functions are {}", Function::names().collect::<Vec<_>>().join(", ")),
            };
            return Err(ExprError::new(&span, format!("there is no function `{word}`")).hint(hint));
        };
        let (arguments, close) = self.items(")", &open)?;
        let span = span.start..close.end;
        if !function.arity().contains(&arguments.len()) {
            let found = arguments.len();
            let message = format!("`{word}` takes {}, not {found}", counted(&function.arity()));
            return Err(ExprError::new(&span, message));
        }
        node(span, Kind::Call(function, arguments))
    }

    fn items(
        &mut self,
        close: &'static str,
        open: &Range<usize>,
    ) -> Result<(Vec<Node>, Range<usize>), ExprError> {
        let mut items = Vec::new();
        loop {
            if let Some(span) = self.symbol(close) {
                return Ok((items, span));
            }
            items.push(self.nested(open, Self::any)?);
            if self.symbol(",").is_none() {
                return self.close(close, open).map(|span| (items, span));
            }
        }
    }

    /// Goes one level down, unless that is too deep.
    fn nested(&mut self, span: &Range<usize>, inner: fn(&mut Self) -> Parsed) -> Parsed {
        self.nesting += 1;
        if self.nesting > DEEPEST {
            return Err(too_deep(span));
        }
        let parsed = inner(self);
        self.nesting -= 1;
        parsed
    }

    fn close(&mut self, symbol: &'static str, open: &Range<usize>) -> Result<Range<usize>, ExprError> {
        if let Some(span) = self.symbol(symbol) {
            return Ok(span);
        }
        match self.tokens.get(self.at) {
            None => Err(ExprError::new(open, format!("`{symbol}` is missing at the end"))),
            Some((_, span)) => Err(ExprError::new(span, format!("`{symbol}` should stand here"))),
        }
    }

    fn symbol(&mut self, symbol: &str) -> Option<Range<usize>> {
        self.accept(|token| matches!(token, Token::Symbol(found) if *found == symbol))
    }

    fn word(&mut self, word: &str) -> Option<Range<usize>> {
        self.accept(|token| matches!(token, Token::Word(found) if found == word))
    }

    fn accept(&mut self, wanted: impl Fn(&Token) -> bool) -> Option<Range<usize>> {
        let (token, span) = self.tokens.get(self.at)?;
        wanted(token).then(|| {
            self.at += 1;
            span.clone()
        })
    }
}

fn node(span: Range<usize>, kind: Kind) -> Parsed {
    let mut node = Node { span, depth: 0, kind };
    node.depth = node.children().iter().map(|child| child.depth + 1).max().unwrap_or(0);
    if node.depth > DEEPEST { Err(too_deep(&node.span)) } else { Ok(node) }
}

fn too_deep(span: &Range<usize>) -> ExprError {
    ExprError::new(span, format!("this is nested more than {DEEPEST} deep"))
        .hint("split it with a derived parameter: { expr = \"…\" }")
}

fn counted(arity: &std::ops::RangeInclusive<usize>) -> String {
    match (arity.start(), arity.end()) {
        (1, 1) => "one value".into(),
        (1, 2) => "one or two values".into(),
        _ => "values".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (Range<usize>, String) {
        let error = parse(text).unwrap_err();
        (error.span, error.message)
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        assert_eq!(error("1 +"), (3..3, "a value is missing at the end".into()));
        assert_eq!(error("(1 + 2"), (0..1, "`)` is missing at the end".into()));
        assert_eq!(error("1 2"), (2..3, "the expression should end here".into()));
        assert_eq!(error("a and or b"), (6..8, "a value should stand here, not `or`".into()));
        assert_eq!(error("sqrt(1, 2)"), (0..10, "`sqrt` takes one value, not 2".into()));
    }

    #[test]
    fn an_unknown_function_is_answered_with_the_nearest() {
        assert_eq!(parse("sqr(2)").unwrap_err().hint, Some("did you mean `sqrt`?".into()));
    }

    #[test]
    fn nesting_and_length_are_bounded() {
        for text in [
            "(".repeat(2000),
            "-".repeat(4000),
            "not ".repeat(1000),
            "a[".repeat(1500),
            "1+".repeat(2000) + "1",
        ] {
            assert!(parse(&text).unwrap_err().message.contains("deep"), "{}", &text[..10]);
        }
        assert!(parse(&"1".repeat(5000)).is_err());
    }

    #[test]
    fn a_function_name_without_a_call_is_an_ordinary_name() {
        assert!(matches!(parse("min").unwrap().kind, Kind::Name(_)));
    }
}
