//! Recursive-descent parser: builds the tree from tokens, with Python's precedence.

use super::function::Function;
use super::lexer::{self, KEYWORDS, Token};
use super::names::Names;
use super::reducer::Ask;
use super::tree::{Comparison, ExprNode, NodeKind, Operator};
use super::{Expr, ExprError};
use crate::source::diagnostic;
use crate::space::Value;
use std::ops::Range;

/// Maximum length of an expression in bytes.
const LONGEST: usize = 4096;
/// Maximum nesting depth. Bounds the recursion of the parser and of everything that walks the tree.
const MAX_DEPTH: usize = 100;

/// Variant of the language, by the subject of the expression.
#[derive(Clone, Copy)]
pub(super) enum Dialect<'a> {
    /// The expression is about one configuration, in a sweep file.
    Sweep,
    /// The expression is about one trial. It can refer to the trial's reports, and names need no
    /// backticks where that is unambiguous.
    Trial(&'a Names),
    /// The expression is about several trials. Functions such as `mean` run over the trials and
    /// contain an expression over one trial.
    Trials(&'a Names),
}

impl<'a> Dialect<'a> {
    fn names(self) -> Option<&'a Names> {
        match self {
            Self::Sweep => None,
            Self::Trial(names) | Self::Trials(names) => Some(names),
        }
    }
}

/// Parses a complete text. Trailing tokens are an error.
pub(super) fn parse(text: &str, dialect: Dialect<'_>) -> Result<ExprNode, ExprError> {
    if text.len() > LONGEST {
        return Err(ExprError::new(
            &(0..0),
            format!("an expression has at most {LONGEST} bytes"),
        ));
    }
    let tokens = lexer::lex(text, dialect.names())?;
    let mut parser = Parser {
        text,
        dialect,
        tokens,
        position: 0,
        nesting: 0,
    };
    let root = parser.disjunction()?;
    match parser.tokens.get(parser.position) {
        None => Ok(root),
        Some((_, span)) => Err(ExprError::new(span, "expected the end of the expression")),
    }
}

struct Parser<'a> {
    text: &'a str,
    dialect: Dialect<'a>,
    tokens: Vec<(Token, Range<usize>)>,
    position: usize,
    nesting: usize,
}

type ParseResult = Result<ExprNode, ExprError>;

impl Parser<'_> {
    fn disjunction(&mut self) -> ParseResult {
        self.chain("or", Self::conjunction, NodeKind::Any)
    }

    fn conjunction(&mut self) -> ParseResult {
        self.chain("and", Self::negation, NodeKind::All)
    }

    /// Parses operands joined by a word, such as `or`.
    fn chain(
        &mut self,
        word: &str,
        operand: fn(&mut Self) -> ParseResult,
        kind: fn(Vec<ExprNode>) -> NodeKind,
    ) -> ParseResult {
        let first = operand(self)?;
        let mut operands = vec![first];
        while self.take_word(word).is_some() {
            operands.push(operand(self)?);
        }
        match operands.len() {
            1 => Ok(operands.remove(0)),
            count => {
                let span = operands[0].span.start..operands[count - 1].span.end;
                node(span, kind(operands))
            }
        }
    }

    fn negation(&mut self) -> ParseResult {
        let Some(span) = self.take_word("not") else {
            return self.comparison();
        };
        let operand = self.nested(&span, Self::negation)?;
        node(
            span.start..operand.span.end,
            NodeKind::Not(Box::new(operand)),
        )
    }

    fn comparison(&mut self) -> ParseResult {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison_sign()? {
            rest.push((comparison, self.sum()?));
        }
        match rest.last() {
            None => Ok(first),
            Some((_, last)) => node(
                first.span.start..last.span.end,
                NodeKind::Compare(Box::new(first), rest),
            ),
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
        if self.take_word("in").is_some() {
            return Ok(Some(Comparison::In));
        }
        if let Some(span) = self.take_word("not") {
            return match self.take_word("in") {
                Some(_) => Ok(Some(Comparison::NotIn)),
                None => Err(ExprError::new(&span, "`not` stands between two values")
                    .hint("write `not in`, or `and not`")),
            };
        }
        Ok(SIGNS
            .iter()
            .find(|(sign, _)| self.take_symbol(sign).is_some())
            .map(|(_, comparison)| *comparison))
    }

    fn sum(&mut self) -> ParseResult {
        const SIGNS: &[(&str, Operator)] = &[("+", Operator::Add), ("-", Operator::Subtract)];
        self.operators(SIGNS, Self::product)
    }

    fn product(&mut self) -> ParseResult {
        const SIGNS: &[(&str, Operator)] = &[
            ("*", Operator::Multiply),
            ("//", Operator::FloorDivide),
            ("/", Operator::Divide),
            ("%", Operator::Modulo),
        ];
        self.operators(SIGNS, Self::unary)
    }

    fn operators(
        &mut self,
        signs: &[(&str, Operator)],
        operand: fn(&mut Self) -> ParseResult,
    ) -> ParseResult {
        let mut left = operand(self)?;
        while let Some((_, operator)) = signs
            .iter()
            .find(|(sign, _)| self.take_symbol(sign).is_some())
        {
            let right = operand(self)?;
            let span = left.span.start..right.span.end;
            left = node(
                span,
                NodeKind::Arithmetic(*operator, Box::new(left), Box::new(right)),
            )?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> ParseResult {
        if let Some(span) = self.take_symbol("-") {
            let operand = self.nested(&span, Self::unary)?;
            return node(
                span.start..operand.span.end,
                NodeKind::Negate(Box::new(operand)),
            );
        }
        if let Some(span) = self.take_symbol("+") {
            return self.nested(&span, Self::unary);
        }
        self.power()
    }

    fn power(&mut self) -> ParseResult {
        let base = self.indexed()?;
        let Some(span) = self.take_symbol("**") else {
            return Ok(base);
        };
        // As in Python, `-2 ** 2` is -4 and `2 ** -1` is 0.5: the exponent may have a sign, the
        // base not.
        let exponent = self.nested(&span, Self::unary)?;
        let span = base.span.start..exponent.span.end;
        node(
            span,
            NodeKind::Arithmetic(Operator::Power, Box::new(base), Box::new(exponent)),
        )
    }

    fn indexed(&mut self) -> ParseResult {
        let mut base = self.primary()?;
        while let Some(open) = self.take_symbol("[") {
            let index = self.nested(&open, Self::disjunction)?;
            let close = self.expect_closing("]", &open)?;
            base = node(
                base.span.start..close.end,
                NodeKind::Index(Box::new(base), Box::new(index)),
            )?;
        }
        Ok(base)
    }

    fn primary(&mut self) -> ParseResult {
        let Some((token, span)) = self.tokens.get(self.position).cloned() else {
            let end = self.text.len();
            return Err(ExprError::new(&(end..end), "a value is missing at the end"));
        };
        self.position += 1;
        match token {
            Token::Literal(value) => node(span, NodeKind::Literal(value)),
            Token::Quoted(name) => self.name(name, span),
            Token::Symbol("(") => {
                let inner = self.nested(&span, Self::disjunction)?;
                self.expect_closing(")", &span)?;
                Ok(inner)
            }
            Token::Symbol("[") => {
                let (items, close) = self.items("]", &span)?;
                node(span.start..close.end, NodeKind::List(items))
            }
            Token::Symbol(symbol) => Err(ExprError::new(
                &span,
                format!("expected a value, not `{symbol}`"),
            )),
            Token::Word(word) => self.name_or_call(word, span),
        }
    }

    fn name_or_call(&mut self, word: String, span: Range<usize>) -> ParseResult {
        match word.as_str() {
            "true" | "True" => return node(span, NodeKind::Literal(Value::Bool(true))),
            "false" | "False" => return node(span, NodeKind::Literal(Value::Bool(false))),
            _ if KEYWORDS.contains(&word.as_str()) => {
                return Err(ExprError::new(
                    &span,
                    format!("expected a value, not `{word}`"),
                ));
            }
            _ => {}
        }
        let Some(open) = self.take_symbol("(") else {
            return self.name(word, span);
        };
        // A function over reports or trials takes precedence, as in `min(val_loss)`.
        if let Some(ask) = Ask::named(&word)
            && let Some(node) = self.reduction(&word, ask, &span, &open)?
        {
            return Ok(node);
        }
        let Some(function) = Function::named(&word) else {
            return Err(self.unknown_function(&word, &span));
        };
        let (arguments, close) = self.items(")", &open)?;
        let span = span.start..close.end;
        if !function.arity().contains(&arguments.len()) {
            let message = format!(
                "`{word}` takes {}, not {}",
                argument_count(&function.arity()),
                arguments.len()
            );
            return Err(ExprError::new(&span, message));
        }
        node(span, NodeKind::Call(function, arguments))
    }

    /// Reads the rest of a name: an optional `@` and a step.
    fn name(&mut self, name: String, span: Range<usize>) -> ParseResult {
        if self.take_symbol("@").is_none() {
            return node(span, NodeKind::Name(name.into()));
        }
        let step = match self.tokens.get(self.position) {
            Some((Token::Literal(step), span)) => step.as_f64().map(|step| (step, span.end)),
            _ => None,
        };
        let Some((step, end)) = step else {
            let message = "expected a step after `@`";
            return Err(ExprError::new(&span, message).hint(format!("write `{name}@10`")));
        };
        self.position += 1;
        node(
            span.start..end,
            NodeKind::Reports(Ask::At(step), name.into()),
        )
    }

    /// Reads the arguments of a function over reports or over trials, after its opening bracket.
    ///
    /// Returns `None` if it can only be a function of the language, as in `min(1, 2)`.
    fn reduction(
        &mut self,
        word: &str,
        ask: Ask,
        span: &Range<usize>,
        open: &Range<usize>,
    ) -> Result<Option<ExprNode>, ExprError> {
        match self.dialect {
            Dialect::Sweep => Ok(None),
            Dialect::Trial(_) => self.over_reports(word, ask, span),
            Dialect::Trials(names) => self.over_trials(word, ask, span, open, names),
        }
    }

    fn over_reports(
        &mut self,
        word: &str,
        ask: Ask,
        span: &Range<usize>,
    ) -> Result<Option<ExprNode>, ExprError> {
        if let Some((Token::Word(name) | Token::Quoted(name), _)) = self.tokens.get(self.position)
            && let Some((Token::Symbol(")"), close)) = self.tokens.get(self.position + 1)
        {
            let kind = NodeKind::Reports(ask, name.as_str().into());
            let span = span.start..close.end;
            self.position += 2;
            return node(span, kind).map(Some);
        }
        // The argument is no metric, so this is a function of the language, as in `min(1, 2)`.
        if Function::named(word).is_some() {
            return Ok(None);
        }
        let message = format!("`{word}` takes the name of a metric");
        let argument = self.argument().trim();
        let near = diagnostic::nearest(
            argument,
            self.dialect.names().into_iter().flat_map(Names::iter),
        );
        let hint = match near {
            Some(near) => format!("did you mean `{}`?", ask.of(near)),
            None => format!("write `{}`", ask.of("val_loss")),
        };
        Err(ExprError::new(span, message).hint(hint))
    }

    /// Returns the text from the current token to the end of a single argument.
    fn argument(&self) -> &str {
        let start = self.token_start(self.position).unwrap_or(self.text.len());
        let end = self
            .end_of_single_argument()
            .and_then(|token| self.token_start(token))
            .unwrap_or(start);
        &self.text[start..end]
    }

    /// Returns the offset in the text at which a token begins.
    fn token_start(&self, index: usize) -> Option<usize> {
        self.tokens.get(index).map(|(_, span)| span.start)
    }

    fn over_trials(
        &mut self,
        word: &str,
        ask: Ask,
        span: &Range<usize>,
        open: &Range<usize>,
        names: &Names,
    ) -> Result<Option<ExprNode>, ExprError> {
        // Several arguments: this is a function of the language, as in `min(1, 2)`.
        let Some(close) = self.end_of_single_argument() else {
            return Ok(None);
        };
        let Ask::Reduce(reducer) = ask else {
            let message = format!("`{word}` applies to one trial");
            return Err(ExprError::new(span, message).hint(format!("write `mean({word}(…))`")));
        };
        let end = self.tokens[close].1.clone();
        let text = &self.text[open.end..end.start];
        let begin = open.end + (text.len() - text.trim_start().len());
        let column = Expr::parse_over_trial(text.trim(), names).map_err(|error| ExprError {
            span: begin + error.span.start..begin + error.span.end,
            ..error
        })?;
        self.position = close + 1;
        node(span.start..end.end, NodeKind::Trials(reducer, column)).map(Some)
    }

    /// Returns the index of the token that closes the open bracket, if exactly one argument stands
    /// in it.
    fn end_of_single_argument(&self) -> Option<usize> {
        let mut depth = 0;
        for (index, (token, _)) in self.tokens.iter().enumerate().skip(self.position) {
            match token {
                Token::Symbol(")") if depth == 0 => {
                    return (index > self.position).then_some(index);
                }
                Token::Symbol(",") if depth == 0 => return None,
                Token::Symbol("(" | "[") => depth += 1,
                Token::Symbol(")" | "]") => depth -= 1,
                _ => {}
            }
        }
        None
    }

    fn unknown_function(&self, word: &str, span: &Range<usize>) -> ExprError {
        let over_trials = match self.dialect {
            Dialect::Sweep => &[][..],
            Dialect::Trial(_) | Dialect::Trials(_) => &Ask::WORDS[..],
        };
        let mut names: Vec<&str> = Function::names().collect();
        names.extend(
            over_trials
                .iter()
                .filter(|word| Function::named(word).is_none()),
        );
        let hint = match diagnostic::nearest(word, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the functions are {}", names.join(", ")),
        };
        ExprError::new(span, format!("there is no function `{word}`")).hint(hint)
    }

    fn items(
        &mut self,
        close: &'static str,
        open: &Range<usize>,
    ) -> Result<(Vec<ExprNode>, Range<usize>), ExprError> {
        let mut items = Vec::new();
        loop {
            if let Some(span) = self.take_symbol(close) {
                return Ok((items, span));
            }
            items.push(self.nested(open, Self::disjunction)?);
            if self.take_symbol(",").is_none() {
                return self.expect_closing(close, open).map(|span| (items, span));
            }
        }
    }

    /// Parses one nesting level deeper. Fails beyond the maximum depth.
    fn nested(&mut self, span: &Range<usize>, inner: fn(&mut Self) -> ParseResult) -> ParseResult {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return Err(too_deep(span));
        }
        let parsed = inner(self);
        self.nesting -= 1;
        parsed
    }

    fn expect_closing(
        &mut self,
        symbol: &'static str,
        open: &Range<usize>,
    ) -> Result<Range<usize>, ExprError> {
        if let Some(span) = self.take_symbol(symbol) {
            return Ok(span);
        }
        match self.tokens.get(self.position) {
            None => Err(ExprError::new(
                open,
                format!("`{symbol}` is missing at the end"),
            )),
            Some((_, span)) => Err(ExprError::new(span, format!("expected `{symbol}`"))),
        }
    }

    fn take_symbol(&mut self, symbol: &str) -> Option<Range<usize>> {
        self.take_if(|token| matches!(token, Token::Symbol(other) if *other == symbol))
    }

    fn take_word(&mut self, word: &str) -> Option<Range<usize>> {
        self.take_if(|token| matches!(token, Token::Word(other) if other == word))
    }

    fn take_if(&mut self, is_expected: impl Fn(&Token) -> bool) -> Option<Range<usize>> {
        let (token, span) = self.tokens.get(self.position)?;
        is_expected(token).then(|| {
            self.position += 1;
            span.clone()
        })
    }
}

fn node(span: Range<usize>, kind: NodeKind) -> ParseResult {
    let mut node = ExprNode {
        span,
        depth: 0,
        kind,
    };
    node.depth = node
        .children()
        .iter()
        .map(|child| child.depth + 1)
        .max()
        .unwrap_or(0);
    if node.depth > MAX_DEPTH {
        Err(too_deep(&node.span))
    } else {
        Ok(node)
    }
}

fn too_deep(span: &Range<usize>) -> ExprError {
    ExprError::new(span, format!("this is nested more than {MAX_DEPTH} deep"))
        .hint("split it with a derived parameter: { expr = \"…\" }")
}

fn argument_count(arity: &std::ops::RangeInclusive<usize>) -> String {
    match (arity.start(), arity.end()) {
        (1, 1) => "one value".into(),
        (1, 2) => "one or two values".into(),
        _ => "values".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ParseResult {
        super::parse(text, Dialect::Sweep)
    }

    fn error(text: &str) -> (Range<usize>, String) {
        let error = parse(text).unwrap_err();
        (error.span, error.message)
    }

    #[test]
    fn a_syntax_error_has_the_span_of_the_mistake() {
        assert_eq!(error("1 +"), (3..3, "a value is missing at the end".into()));
        assert_eq!(error("(1 + 2"), (0..1, "`)` is missing at the end".into()));
        assert_eq!(
            error("1 2"),
            (2..3, "expected the end of the expression".into())
        );
        assert_eq!(
            error("a and or b"),
            (6..8, "expected a value, not `or`".into())
        );
        assert_eq!(
            error("sqrt(1, 2)"),
            (0..10, "`sqrt` takes one value, not 2".into())
        );
    }

    #[test]
    fn the_hint_for_an_unknown_function_names_the_nearest() {
        assert_eq!(
            parse("sqr(2)").unwrap_err().hint,
            Some("did you mean `sqrt`?".into())
        );
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
            assert!(
                parse(&text).unwrap_err().message.contains("deep"),
                "{}",
                &text[..10]
            );
        }
        assert!(parse(&"1".repeat(5000)).is_err());
    }

    #[test]
    fn a_function_name_without_a_call_is_an_ordinary_name() {
        assert!(matches!(parse("min").unwrap().kind, NodeKind::Name(_)));
    }
}
