//! Looks at all parameters together: names, types, order of dependencies, default values, axes.

use super::order;
use super::quote::Quote;
use super::range::{End, RangeDraft};
use super::{Body, Draft, Wish, choice};
use crate::source::{Diagnostic, Diagnostics, Node, NodeValue, Span};
use crate::space::domain::Domain;
use crate::space::expr::{Hull, Type};
use crate::space::param::{Bound, Bounds, Condition, Origin, Param, Repeat};
use crate::space::{Axis, AxisKind, Name, Space, Value};
use std::collections::HashMap;

/// A longer list than this is hardly searched.
const MOST_REPEATS: f64 = 1000.0;
/// More dimensions than this nobody searches.
const MOST_AXES: usize = 10_000;

/// Makes a space of what was read.
pub(super) fn link(
    mut drafts: Vec<Draft>,
    constraints: Vec<(Name, Quote)>,
    d: &mut Diagnostics,
) -> Option<Space> {
    let names = names_of(&drafts);
    let index: HashMap<Name, usize> = names.iter().cloned().zip(0..).collect();
    let setters = setters(&drafts, &index);
    find_clashes(&drafts, &names, &setters, d);
    let needs: Vec<_> = drafts.iter().map(|draft| needs(draft, &index, &setters, &names, d)).collect();
    let order = order::order(&drafts, &needs, d);
    let mut linker = Linker { facts: vec![Fact::default(); names.len()], names, index, axes: 0 };
    let mut made: Vec<Option<Param>> = drafts.iter().map(|_| None).collect();
    for at in &order {
        made[*at] = linker.param(&mut drafts[*at], d);
    }
    let constraints = linker.constraints(constraints, d);
    // Axes go in the order of the file.
    let mut axes = Vec::new();
    for param in made.iter_mut().flatten() {
        lay_axes(param, &mut axes);
    }
    let Linker { names, index, .. } = linker;
    let params: Option<Vec<_>> = order.iter().map(|at| made[*at].take()).collect();
    Some(Space {
        axes,
        names,
        index,
        params: params.filter(|params| params.len() == drafts.len())?,
        constraints,
    })
}

fn names_of(drafts: &[Draft]) -> Vec<Name> {
    let mut seen = std::collections::HashSet::new();
    let targets = drafts.iter().flat_map(|draft| &draft.targets);
    targets.map(|(name, _)| name).filter(|name| seen.insert((*name).clone())).cloned().collect()
}

/// Finds for each name the drafts that set it.
fn setters(drafts: &[Draft], index: &HashMap<Name, usize>) -> Vec<Vec<usize>> {
    let mut setters = vec![Vec::new(); index.len()];
    for (at, draft) in drafts.iter().enumerate() {
        for (name, _) in &draft.targets {
            setters[index[name]].push(at);
        }
    }
    setters
}

/// Reports names that are set twice in one configuration.
fn find_clashes(drafts: &[Draft], names: &[Name], setters: &[Vec<usize>], d: &mut Diagnostics) {
    for (name, setters) in names.iter().zip(setters) {
        for (at, later) in setters.iter().enumerate() {
            let Some(earlier) =
                setters[..at].iter().find(|earlier| !exclude(&drafts[**earlier], &drafts[*later]))
            else {
                continue;
            };
            let place = |draft: usize| {
                drafts[draft]
                    .targets
                    .iter()
                    .find(|(target, _)| target == name)
                    .map_or(0..0, |(_, span)| span.clone())
            };
            let remark = Diagnostic::error("duplicate-name", format!("`{name}` is set twice"))
                .at(place(*later), "again")
                .at(place(*earlier), "first");
            d.push(remark.hint("rename one; only branches of the same choice may share a name"));
        }
    }
}

/// Returns whether two drafts stand in different branches of one choice.
fn exclude(a: &Draft, b: &Draft) -> bool {
    a.conditions.iter().any(|a| {
        b.conditions.iter().any(|b| match (a, b) {
            (Wish::Branch { switch: a, value: x }, Wish::Branch { switch: b, value: y }) => a == b && x != y,
            _ => false,
        })
    })
}

/// Lists the expressions of a draft with the key each stands under.
fn quotes(draft: &Draft) -> Vec<(&'static str, &Quote)> {
    let mut quotes = Vec::new();
    for condition in &draft.conditions {
        if let Wish::When(quote) = condition {
            quotes.push(("when", quote));
        }
    }
    match &draft.body {
        Body::Derived(quote) => quotes.push(("expr", quote)),
        Body::Range(range) => {
            for (key, end) in [("min", &range.min), ("max", &range.max)] {
                if let Some(End::Expr(quote)) = end {
                    quotes.push((key, quote));
                }
            }
        }
        _ => {}
    }
    quotes.extend(draft.repeat.as_ref().map(|quote| ("repeat", quote)));
    quotes
}

/// Finds the drafts that one depends on; reports names that do not exist.
fn needs(
    draft: &Draft,
    index: &HashMap<Name, usize>,
    setters: &[Vec<usize>],
    names: &[Name],
    d: &mut Diagnostics,
) -> Vec<usize> {
    let mut needs = Vec::new();
    let switches = draft.conditions.iter().filter_map(|condition| match condition {
        Wish::Branch { switch, .. } => index.get(switch),
        Wish::When(_) => None,
    });
    for slot in switches {
        needs.extend(&setters[*slot]);
    }
    for (_, quote) in quotes(draft) {
        for (name, place) in quote.expr.mentions() {
            match index.get(name) {
                Some(slot) => needs.extend(&setters[*slot]),
                None => report_unknown(d, unknown_name(name, quote.place(place), names)),
            }
        }
    }
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// Adds a remark unless it is there: the `when` of a group is read once for each of its parameters.
fn report_unknown(d: &mut Diagnostics, remark: Diagnostic) {
    if !d.list.contains(&remark) {
        d.push(remark);
    }
}

fn unknown_name(name: &str, span: Span, names: &[Name]) -> Diagnostic {
    let remark =
        Diagnostic::error("unknown-name", format!("there is no parameter `{name}`")).at(span, "unknown");
    let dashed = names.iter().find(|known| known.contains('-') && known.split('-').next() == Some(name));
    match dashed {
        Some(dashed) => remark.hint(format!("a name with a dash stands in backticks: `{dashed}`")),
        None => remark.did_you_mean(name, names.iter().map(|name| &**name)),
    }
}

/// What is known about a name before any configuration is drawn.
#[derive(Debug, Clone, Default)]
struct Fact {
    /// `None` until something sets it.
    kind: Option<Type>,
    /// The numbers between which it lies; `None` if it is none or that is not known.
    hull: Option<Hull>,
    whole: bool,
    /// All it can be, if that is a list of choices.
    values: Option<Vec<Value>>,
    /// Something about it was wrong and has been reported; nothing that uses it is judged.
    broken: bool,
}

impl Fact {
    fn of_values(values: &[Value]) -> Self {
        let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
        let hull = numbers.map(|numbers| {
            numbers.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
                (low.min(number), high.max(number))
            })
        });
        Self {
            kind: values.iter().map(Type::of).reduce(Type::or),
            hull,
            whole: values.iter().all(|value| matches!(value, Value::Int(_))),
            values: Some(values.to_vec()),
            broken: false,
        }
    }

    fn of_broken() -> Self {
        Self { kind: Some(Type::Any), broken: true, ..Self::default() }
    }

    /// Joins what two branches say about one name.
    fn join(&mut self, other: Self) {
        let Some(kind) = self.kind else {
            *self = other;
            return;
        };
        self.kind = other.kind.map(|other| other.or(kind));
        self.hull = self.hull.zip(other.hull).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1)));
        self.whole &= other.whole;
        self.broken |= other.broken;
        self.values = self.values.take().zip(other.values).map(|(mut a, b)| {
            a.extend(b);
            a
        });
    }
}

struct Linker {
    names: Vec<Name>,
    index: HashMap<Name, usize>,
    facts: Vec<Fact>,
    axes: usize,
}

impl Linker {
    fn fact(&self, name: &str) -> Option<&Fact> {
        self.index.get(name).map(|slot| &self.facts[*slot])
    }

    fn hull(&self, quote: &Quote) -> Option<Hull> {
        quote.expr.hull(&|name| self.fact(name)?.hull)
    }

    fn is_whole(&self, quote: &Quote) -> bool {
        quote.expr.is_whole(&|name| self.fact(name).is_some_and(|fact| fact.whole))
    }

    /// Checks an expression; `None` after reporting what is wrong.
    fn check(&self, key: &str, quote: &Quote, wanted: Option<Type>, d: &mut Diagnostics) -> Option<Type> {
        let judged = |(name, _): &(Name, _)| self.fact(name).is_some_and(|fact| !fact.broken);
        if !quote.expr.mentions().iter().all(judged) {
            return None;
        }
        let scope = |name: &str| self.fact(name).map(|fact| fact.kind.unwrap_or(Type::Any));
        let found = match quote.expr.check(&scope) {
            Ok(found) => found,
            Err(error) => {
                report_unknown(d, quote.remark(&error, key));
                return None;
            }
        };
        if let Some(wanted) = wanted
            && found != wanted
            && found != Type::Any
        {
            let message = format!("`{key}` must be {wanted}");
            report_unknown(
                d,
                Diagnostic::error("wrong-type", message).at(quote.span(), format!("this is {found}")),
            );
            return None;
        }
        self.check_literals(quote, d);
        Some(found)
    }

    /// Reports comparisons with a string that a choice never is.
    fn check_literals(&self, quote: &Quote, d: &mut Diagnostics) {
        for (name, value, place) in quote.expr.equalities() {
            let (Value::Text(text), Some(values)) =
                (&value, self.fact(&name).and_then(|fact| fact.values.as_ref()))
            else {
                continue;
            };
            let texts: Vec<&str> = values
                .iter()
                .filter_map(|known| if let Value::Text(text) = known { Some(&**text) } else { None })
                .collect();
            if !texts.contains(&&**text) {
                let remark = Diagnostic::error("unknown-choice", format!("`{name}` is never `{text}`"))
                    .at(quote.place(&place), "not one of its choices")
                    .did_you_mean(text, texts.iter().copied());
                let listed = format!("it is one of {}", texts.join(", "));
                report_unknown(d, if remark.hints.is_empty() { remark.hint(listed) } else { remark });
            }
        }
    }

    /// Makes a parameter of a draft and notes what is known about its names; `None` after reporting what is wrong.
    fn param(&mut self, draft: &mut Draft, d: &mut Diagnostics) -> Option<Param> {
        let before = d.list.len();
        let conditions = self.conditions(draft, d);
        let body = std::mem::replace(&mut draft.body, Body::Broken);
        let (origin, facts) = match self.origin(&draft.name, body, draft.repeat.as_ref(), d) {
            Some(found) => found,
            None => (None, draft.targets.iter().map(|_| Fact::of_broken()).collect()),
        };
        let targets: Vec<_> = draft.targets.iter().map(|(name, _)| self.index[name]).collect();
        for (target, fact) in targets.iter().zip(facts) {
            self.facts[*target].join(fact);
        }
        let mut param = Param {
            name: draft.name.clone(),
            targets,
            conditions: conditions?,
            origin: origin?,
            axes: 0..0,
            default: Vec::new(),
        };
        self.axes = self.axes.saturating_add(width(&param));
        if self.axes > MOST_AXES && self.axes - width(&param) <= MOST_AXES {
            let message = format!("the space has more than {MOST_AXES} dimensions");
            d.push(
                Diagnostic::error("too-many", message)
                    .at(draft.key.clone(), "beyond here")
                    .hint("repeat fewer times"),
            );
        }
        if let Some(node) = &draft.default {
            param.default = self.default(&param, node, d);
        }
        (d.list.len() == before).then_some(param)
    }

    fn conditions(&self, draft: &Draft, d: &mut Diagnostics) -> Option<Vec<Condition>> {
        let conditions: Vec<_> = draft
            .conditions
            .iter()
            .map(|wish| match wish {
                Wish::Branch { switch, value } => self.index.get(switch).map(|slot| Condition::Branch {
                    switch: *slot,
                    name: switch.clone(),
                    value: value.clone(),
                }),
                Wish::When(quote) => self
                    .check("when", quote, Some(Type::Bool), d)
                    .map(|_| Condition::When(quote.expr.clone())),
            })
            .collect();
        conditions.into_iter().collect()
    }

    /// Finds where values come from, and what is known about each name that is set.
    #[expect(clippy::type_complexity, reason = "an origin may be broken while its type is known")]
    fn origin(
        &self,
        name: &Name,
        body: Body,
        repeat: Option<&Quote>,
        d: &mut Diagnostics,
    ) -> Option<(Option<Origin>, Vec<Fact>)> {
        let (range, fact) = match body {
            Body::Broken => return None,
            Body::Fixed(value) => {
                let fact = Fact::of_values(std::slice::from_ref(&value));
                return Some((Some(Origin::Fixed(value)), vec![fact]));
            }
            Body::Derived(quote) => {
                let kind = self.check("expr", &quote, None, d)?;
                let fact = Fact {
                    kind: Some(kind),
                    hull: self.hull(&quote),
                    whole: self.is_whole(&quote),
                    values: None,
                    broken: false,
                };
                return Some((Some(Origin::Derived(quote.expr)), vec![fact]));
            }
            Body::Rows { rows, cases } => {
                let width = rows.first().map_or(0, Vec::len);
                let column = |at: usize| rows.iter().map(|row| row[at].clone()).collect::<Vec<_>>();
                let facts = (0..width).map(|at| Fact::of_values(&column(at))).collect();
                return Some((Some(Origin::Rows { rows, cases }), facts));
            }
            Body::Choice { values, cases, ordered } => {
                let fact = Fact::of_values(&values);
                (Some(Bounds::Known(Domain::choice(values, cases, ordered))), fact)
            }
            Body::Range(range) => self.range(range, d),
        };
        let Some(quote) = repeat else {
            return Some((range.map(|range| Origin::Drawn { range, repeat: None }), vec![fact]));
        };
        let list = Fact { kind: Some(Type::List), ..Fact::default() };
        let repeat = self.repeat(name, quote, d);
        let origin = range.zip(repeat).map(|(range, repeat)| Origin::Drawn { range, repeat: Some(repeat) });
        Some((origin, vec![list]))
    }

    fn range(&self, draft: RangeDraft, d: &mut Diagnostics) -> (Option<Bounds>, Fact) {
        let mut shape = draft.shape;
        let quoted = |end: &Option<End>| matches!(end, Some(End::Expr(_)));
        if shape.whole && quoted(&draft.min) && quoted(&draft.max) {
            let whole = |end: &Option<End>| {
                if let Some(End::Expr(quote)) = end { self.is_whole(quote) } else { true }
            };
            shape.whole = whole(&draft.min) && whole(&draft.max);
        }
        let mut fact =
            Fact { kind: Some(Type::Number), hull: None, whole: shape.whole, values: None, broken: false };
        if let Some(domain) = draft.domain {
            fact.hull = match &domain {
                Domain::Whole(range) => Some((range.min() as f64, range.max() as f64)),
                Domain::Real(range) => Some((range.low(), range.high())),
                _ => draft.min.as_ref().and_then(End::number).zip(draft.max.as_ref().and_then(End::number)),
            };
            return (Some(Bounds::Known(domain)), fact);
        }
        let mut sound = true;
        for (key, end) in [("min", &draft.min), ("max", &draft.max)] {
            if let Some(End::Expr(quote)) = end {
                sound &= self.check(key, quote, Some(Type::Number), d).is_some();
            }
        }
        let hull_of = |end: &Option<End>| match end {
            None => None,
            Some(End::Number { number, .. }) => Some((*number, *number)),
            Some(End::Expr(quote)) => self.hull(quote),
        };
        let (min, max) = (hull_of(&draft.min), hull_of(&draft.max));
        let outer = match shape.bell {
            None => min.zip(max).and_then(|(min, max)| Domain::range(Some(min.0), Some(max.1), &shape).ok()),
            Some(_) => Domain::range(min.map(|min| min.0), max.map(|max| max.1), &shape).ok(),
        };
        fact.hull = min.zip(max).map(|(min, max)| (min.0, max.1));
        let bound = |end: Option<End>| {
            end.map(|end| match end {
                End::Number { number, .. } => Bound::Number(number),
                End::Expr(quote) => Bound::Expr(quote.expr),
            })
        };
        let bounds = Bounds::Computed { min: bound(draft.min), max: bound(draft.max), shape, outer };
        (sound.then_some(bounds), fact)
    }

    fn repeat(&self, name: &Name, quote: &Quote, d: &mut Diagnostics) -> Option<Repeat> {
        self.check("repeat", quote, Some(Type::Number), d)?;
        let error =
            |message: String, label: &str| Diagnostic::error("bad-repeat", message).at(quote.span(), label);
        if !self.is_whole(quote) {
            let remark =
                error(format!("`{name}` is not repeated a whole number of times"), "this can be a fraction");
            d.push(remark.hint("use an integer parameter, or `floor(…)`"));
            return None;
        }
        let Some((least, most)) = self.hull(quote) else {
            let remark = error(
                format!("nobody can tell how often `{name}` may be repeated"),
                "this has no known maximum",
            );
            d.push(remark.hint("bound it: `min(…, 8)`"));
            return None;
        };
        if least < 0.0 {
            d.push(error(
                format!("`{name}` may be repeated a negative number of times"),
                &format!("can be {least}"),
            ));
            return None;
        }
        if most > MOST_REPEATS {
            d.push(error(
                format!("`{name}` is repeated more than {MOST_REPEATS} times"),
                &format!("can be {most}"),
            ));
            return None;
        }
        Some(Repeat { count: quote.expr.clone(), most: most as usize })
    }

    /// Reads a default value as far as the range is known.
    fn default(&self, param: &Param, node: &Node, d: &mut Diagnostics) -> Vec<Value> {
        if let Origin::Rows { rows, .. } = &param.origin {
            return self.default_row(param, rows, node, d);
        }
        let Some(value) = choice::value_of(&param.name, node, d) else { return Vec::new() };
        let repeated = matches!(&param.origin, Origin::Drawn { repeat: Some(_), .. });
        let accept = |value: &Value, span: &Span, d: &mut Diagnostics| match param
            .outer()
            .map(|domain| domain.accept(value))
        {
            None => Some(value.clone()),
            Some(Ok(value)) => Some(value),
            Some(Err(misfit)) => {
                let message = format!("the default of `{}` is outside its range", param.name);
                let remark = Diagnostic::error("bad-default", message).at(span.clone(), misfit.why);
                d.push(if let Some(hint) = misfit.hint { remark.hint(hint) } else { remark });
                None
            }
        };
        match (repeated, &value, &node.value) {
            (true, Value::List(items), NodeValue::Array(nodes)) => {
                let items: Vec<_> =
                    items.iter().zip(nodes).map(|(item, node)| accept(item, &node.span, d)).collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(Value::List).into_iter().collect()
            }
            (true, one, _) => {
                accept(one, &node.span, d).map(|one| Value::List(vec![one])).into_iter().collect()
            }
            (false, one, _) => accept(one, &node.span, d).into_iter().collect(),
        }
    }

    fn default_row(
        &self,
        param: &Param,
        rows: &[Vec<Value>],
        node: &Node,
        d: &mut Diagnostics,
    ) -> Vec<Value> {
        let NodeValue::Table(table) = &node.value else {
            d.push(super::wrong_type("default", "a table like one of the rows", node));
            return Vec::new();
        };
        let column = |target: &usize| {
            let full = &*self.names[*target];
            table
                .entries
                .iter()
                .find(|(key, _)| full.rsplit('.').next() == Some(&key.name) || full == key.name)
        };
        let row: Option<Vec<_>> =
            param.targets.iter().map(|target| choice::value_of(&param.name, &column(target)?.1, d)).collect();
        match row.filter(|row| rows.contains(row)) {
            Some(row) => row,
            None => {
                let message = format!("the default of `{}` is not one of its rows", param.name);
                d.push(Diagnostic::error("bad-default", message).at(node.span.clone(), "no such row"));
                Vec::new()
            }
        }
    }

    fn constraints(
        &self,
        constraints: Vec<(Name, Quote)>,
        d: &mut Diagnostics,
    ) -> Vec<(Name, crate::space::expr::Expr)> {
        let mut sound = Vec::new();
        for (name, quote) in constraints {
            for (mention, place) in quote.expr.mentions() {
                if !self.index.contains_key(mention) {
                    report_unknown(d, unknown_name(mention, quote.place(place), &self.names));
                }
            }
            if self.check(&name, &quote, Some(Type::Bool), d).is_some() {
                sound.push((name, quote.expr));
            }
        }
        sound
    }
}

/// Returns how many axes a parameter needs.
fn width(param: &Param) -> usize {
    match &param.origin {
        Origin::Fixed(_) | Origin::Derived(_) => 0,
        Origin::Rows { .. } | Origin::Drawn { repeat: None, .. } => 1,
        Origin::Drawn { repeat: Some(repeat), .. } => repeat.most,
    }
}

fn lay_axes(param: &mut Param, axes: &mut Vec<Axis>) {
    let start = axes.len();
    let kind = match &param.origin {
        Origin::Rows { cases, .. } => AxisKind::Choice(cases.probabilities().to_vec()),
        _ => param.outer().map_or(AxisKind::Real, Domain::kind),
    };
    let repeated = matches!(&param.origin, Origin::Drawn { repeat: Some(_), .. });
    for at in 0..width(param) {
        let name = if repeated { format!("{}[{at}]", param.name).into() } else { param.name.clone() };
        axes.push(Axis { name, kind: kind.clone() });
    }
    param.axes = start..axes.len();
}
