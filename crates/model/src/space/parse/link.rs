//! Combines all parameters into a space: resolves names, checks types, sorts by dependencies, reads
//! defaults, and lays out the axes.

use super::fact::Fact;
use super::range::{BoundDraft, RangeDraft};
use super::source_expr::SourceExpr;
use super::{Body, Draft, DraftCondition};
use super::{names, order};
use crate::source::{Diagnostic, Diagnostics};
use crate::space::domain::Domain;
use crate::space::expr::{Expr, Type};
use crate::space::lookup::Rows;
use crate::space::param::{Bounds, Condition, Param, Repeat, ValueSource};
use crate::space::{Axis, AxisKind, Name, Space};
use std::collections::HashMap;

/// Maximum length of a repeated parameter. A longer list can hardly be searched.
const MAX_REPEATS: f64 = 1000.0;
/// Maximum number of dimensions of a space. A larger number is a mistake.
const MAX_AXES: usize = 10_000;

/// Makes a space from the drafts and constraints. Returns `None` if a draft has a mistake.
pub(super) fn link(
    mut drafts: Vec<Draft>,
    constraints: Vec<(Name, SourceExpr)>,
    d: &mut Diagnostics,
) -> Option<Space> {
    let names = names::names_of(&drafts);
    let index: HashMap<Name, usize> = names.iter().cloned().zip(0..).collect();
    let setters = names::setters(&drafts, &index);
    names::report_clashes(&drafts, &names, &setters, d);
    let needs: Vec<_> = drafts
        .iter()
        .map(|draft| names::needs(draft, &index, &names, d))
        .collect();
    let order = order::order(&drafts, &needs, &setters, &index, d);
    let mut linker = Linker {
        facts: vec![Fact::default(); names.len()],
        names,
        index,
        axes: 0,
    };
    let mut linked: Vec<Option<Param>> = drafts.iter().map(|_| None).collect();
    for index in &order {
        linked[*index] = linker.link_param(&mut drafts[*index], d);
    }
    let constraints = linker.link_constraints(constraints, d);
    // Axes follow the order of the file, not the order of dependencies.
    let mut axes = Vec::new();
    for param in linked.iter_mut().flatten() {
        lay_axes(param, &mut axes);
    }
    let Linker { names, index, .. } = linker;
    let params: Option<Vec<_>> = order.iter().map(|index| linked[*index].take()).collect();
    let params = params.filter(|params| params.len() == drafts.len())?;
    let mut setters = vec![Vec::new(); names.len()];
    for (position, param) in params.iter().enumerate() {
        for (column, target) in param.targets.iter().enumerate() {
            setters[*target].push((position, column));
        }
    }
    Some(Space {
        axes,
        names,
        index,
        params,
        setters,
        constraints,
    })
}

/// State of linking: the names and the facts collected so far.
pub(super) struct Linker {
    pub(super) names: Vec<Name>,
    pub(super) index: HashMap<Name, usize>,
    pub(super) facts: Vec<Fact>,
    axes: usize,
}

impl Linker {
    /// Makes a parameter from a draft and records the facts about its names. Returns `None` after
    /// reporting mistakes.
    fn link_param(&mut self, draft: &mut Draft, d: &mut Diagnostics) -> Option<Param> {
        let before = d.list.len();
        let conditions = self.link_conditions(draft, d);
        let body = std::mem::replace(&mut draft.body, Body::Broken);
        let (source, facts) = match self.link_body(&draft.name, body, draft.repeat.as_ref(), d) {
            Some(resolved) => resolved,
            // A broken fact keeps expressions that use the name from causing further errors.
            None => (
                None,
                draft.targets.iter().map(|_| Fact::of_broken()).collect(),
            ),
        };
        let targets: Vec<_> = draft
            .targets
            .iter()
            .map(|(name, _)| self.index[name])
            .collect();
        for (target, fact) in targets.iter().zip(facts) {
            self.facts[*target].join(fact);
        }
        let mut param = Param {
            name: draft.name.clone(),
            targets,
            conditions: conditions?,
            source: source?,
            axes: 0..0,
            default: Vec::new(),
        };
        self.axes = self.axes.saturating_add(width(&param));
        // Reported only once, by the parameter that crosses the limit.
        if self.axes > MAX_AXES && self.axes - width(&param) <= MAX_AXES {
            let message = format!("the space has more than {MAX_AXES} dimensions");
            d.push(
                Diagnostic::error("too-many", message)
                    .at(draft.key.clone(), "beyond here")
                    .hint("repeat fewer times"),
            );
        }
        if let Some(node) = &draft.default {
            param.default = self.read_default(&param, node, d);
        }
        (d.list.len() == before).then_some(param)
    }

    fn link_conditions(&self, draft: &Draft, d: &mut Diagnostics) -> Option<Vec<Condition>> {
        let conditions: Vec<_> = draft
            .conditions
            .iter()
            .map(|condition| match condition {
                DraftCondition::Branch { switch, value } => {
                    self.index.get(switch).map(|slot| Condition::Branch {
                        switch: *slot,
                        name: switch.clone(),
                        value: value.clone(),
                    })
                }
                DraftCondition::When(expr) => self
                    .check("when", expr, Some(Type::Bool), d)
                    .map(|_| Condition::When(expr.parsed.clone())),
            })
            .collect();
        conditions.into_iter().collect()
    }

    /// Determines the source of the values, and the facts about each name that the draft sets. The
    /// outer result is `None` if nothing is known; the inner if only the facts are.
    fn link_body(
        &self,
        name: &Name,
        body: Body,
        repeat: Option<&SourceExpr>,
        d: &mut Diagnostics,
    ) -> Option<(Option<ValueSource>, Vec<Fact>)> {
        let (range, fact) = match body {
            Body::Broken => return None,
            Body::Fixed(value) => {
                let fact = Fact::of_values(std::slice::from_ref(&value));
                return Some((Some(ValueSource::Fixed(value)), vec![fact]));
            }
            Body::Derived(expr) => {
                let kind = self.check("expr", &expr, None, d)?;
                let fact = Fact {
                    kind: Some(kind),
                    hull: self.hull(&expr),
                    integer: self.is_integer(&expr),
                    texts: None,
                    broken: false,
                };
                return Some((Some(ValueSource::Derived(expr.parsed)), vec![fact]));
            }
            Body::Rows { rows, cases } => {
                let width = rows.first().map_or(0, Vec::len);
                let facts = (0..width)
                    .map(|column| {
                        let values: Vec<_> = rows.iter().map(|row| row[column].clone()).collect();
                        Fact::of_values(&values)
                    })
                    .collect();
                let rows = Rows::new(rows, cases);
                return Some((Some(ValueSource::Rows(rows)), facts));
            }
            Body::Choice {
                values,
                cases,
                ordered,
            } => {
                let fact = Fact::of_values(&values);
                (
                    Some(Bounds::Known(Domain::choice(values, cases, ordered))),
                    fact,
                )
            }
            Body::Range(range) => self.link_range(range, d),
        };
        let Some(expr) = repeat else {
            return Some((
                range.map(|range| ValueSource::Drawn {
                    range,
                    repeat: None,
                }),
                vec![fact],
            ));
        };
        let list = Fact {
            kind: Some(Type::List),
            ..Fact::default()
        };
        let repeat = self.link_repeat(name, expr, d);
        let source = range.zip(repeat).map(|(range, repeat)| ValueSource::Drawn {
            range,
            repeat: Some(repeat),
        });
        Some((source, vec![list]))
    }

    /// Determines the bounds of a range, and the facts about its values.
    fn link_range(&self, draft: RangeDraft, d: &mut Diagnostics) -> (Option<Bounds>, Fact) {
        let mut shape = draft.shape;
        // A bound that is a number has determined `integer` already. Of two expressions, both must
        // be integers.
        if let (Some(BoundDraft::Expr(min)), Some(BoundDraft::Expr(max))) = (&draft.min, &draft.max)
        {
            shape.integer &= self.is_integer(min) && self.is_integer(max);
        }
        let mut fact = Fact {
            kind: Some(Type::Number),
            hull: None,
            integer: shape.integer,
            texts: None,
            broken: false,
        };
        if let Some(domain) = draft.domain {
            fact.hull = match &domain {
                Domain::Int(range) => Some((range.min() as f64, range.max() as f64)),
                Domain::Real(range) => Some((range.low(), range.high())),
                _ => draft
                    .min
                    .as_ref()
                    .and_then(BoundDraft::number)
                    .zip(draft.max.as_ref().and_then(BoundDraft::number)),
            };
            return (Some(Bounds::Known(domain)), fact);
        }
        let mut is_valid = true;
        for (key, bound) in [("min", &draft.min), ("max", &draft.max)] {
            if let Some(BoundDraft::Expr(expr)) = bound {
                is_valid &= self.check(key, expr, Some(Type::Number), d).is_some();
            }
        }
        let [min, max] = [&draft.min, &draft.max].map(|bound| match bound {
            None => None,
            Some(BoundDraft::Number { number, .. }) => Some((*number, *number)),
            Some(BoundDraft::Expr(expr)) => self.hull(expr),
        });
        // The widest range: from the smallest possible `min` to the largest possible `max`.
        let widest = match shape.normal {
            None => min
                .zip(max)
                .and_then(|(min, max)| Domain::range(Some(min.0), Some(max.1), &shape).ok()),
            Some(_) => Domain::range(min.map(|min| min.0), max.map(|max| max.1), &shape).ok(),
        };
        fact.hull = min.zip(max).map(|(min, max)| (min.0, max.1));
        let bounds = Bounds::Computed {
            min: draft.min.map(BoundDraft::into_bound),
            max: draft.max.map(BoundDraft::into_bound),
            shape,
            widest,
        };
        (is_valid.then_some(bounds), fact)
    }

    /// Checks the length of a repeated parameter. It must be an integer with a known maximum, since
    /// every draw needs an axis.
    fn link_repeat(&self, name: &Name, expr: &SourceExpr, d: &mut Diagnostics) -> Option<Repeat> {
        self.check("repeat", expr, Some(Type::Number), d)?;
        if !self.is_integer(expr) {
            let error = bad_repeat(
                format!("`{name}` is not repeated a whole number of times"),
                expr,
                "this can be a fraction",
            );
            d.push(error.hint("use an integer parameter, or `floor(…)`"));
            return None;
        }
        let Some((least, most)) = self.hull(expr) else {
            let error = bad_repeat(
                format!("the length of `{name}` has no known maximum"),
                expr,
                "this has no known maximum",
            );
            d.push(error.hint("bound it: `min(…, 8)`"));
            return None;
        };
        if least < 0.0 {
            d.push(bad_repeat(
                format!("`{name}` may be repeated a negative number of times"),
                expr,
                &format!("can be {least}"),
            ));
            return None;
        }
        if most > MAX_REPEATS {
            d.push(bad_repeat(
                format!("`{name}` is repeated more than {MAX_REPEATS} times"),
                expr,
                &format!("can be {most}"),
            ));
            return None;
        }
        Some(Repeat {
            count: expr.parsed.clone(),
            max_count: most as usize,
        })
    }

    /// Checks the constraints and returns the valid ones.
    fn link_constraints(
        &self,
        constraints: Vec<(Name, SourceExpr)>,
        d: &mut Diagnostics,
    ) -> Vec<(Name, Expr)> {
        let mut valid = Vec::new();
        for (name, expr) in constraints {
            for (mention, span) in expr.parsed.mentions() {
                if !self.index.contains_key(mention) {
                    names::report_once(
                        d,
                        names::unknown_name(mention, expr.span_of(span), &self.names),
                    );
                }
            }
            if self.check(&name, &expr, Some(Type::Bool), d).is_some() {
                valid.push((name, expr.parsed));
            }
        }
        valid
    }
}

fn bad_repeat(message: String, expr: &SourceExpr, label: &str) -> Diagnostic {
    Diagnostic::error("bad-repeat", message).at(expr.span(), label)
}

/// Returns the number of axes that a parameter needs.
fn width(param: &Param) -> usize {
    match &param.source {
        ValueSource::Fixed(_) | ValueSource::Derived(_) => 0,
        ValueSource::Rows(_) | ValueSource::Drawn { repeat: None, .. } => 1,
        ValueSource::Drawn {
            repeat: Some(repeat),
            ..
        } => repeat.max_count,
    }
}

/// Appends the axes of a parameter and records their range.
fn lay_axes(param: &mut Param, axes: &mut Vec<Axis>) {
    let start = axes.len();
    let kind = match &param.source {
        ValueSource::Rows(rows) => AxisKind::Choice(rows.cases.probabilities().to_vec()),
        _ => param.widest_domain().map_or(AxisKind::Real, Domain::kind),
    };
    let repeated = matches!(
        &param.source,
        ValueSource::Drawn {
            repeat: Some(_),
            ..
        }
    );
    for draw in 0..width(param) {
        let name = if repeated {
            format!("{}[{draw}]", param.name).into()
        } else {
            param.name.clone()
        };
        axes.push(Axis {
            name,
            kind: kind.clone(),
        });
    }
    param.axes = start..axes.len();
}
