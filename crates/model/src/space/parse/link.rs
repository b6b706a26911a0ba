//! Combines all parameters into a space: resolves names, checks types, sorts by dependencies, reads
//! defaults, and lays out the axes.

use super::fact::Fact;
use super::quote::Quote;
use super::range::{End, RangeDraft};
use super::{Body, Draft, Wish};
use super::{names, order};
use crate::source::{Diagnostic, Diagnostics};
use crate::space::domain::Domain;
use crate::space::expr::Type;
use crate::space::param::{Bound, Bounds, Condition, Origin, Param, Repeat};
use crate::space::{Axis, AxisKind, Name, Space};
use std::collections::HashMap;

/// Maximum length of a repeated parameter. A longer list can hardly be searched.
const MOST_REPEATS: f64 = 1000.0;
/// Maximum number of dimensions of a space. A larger number is a mistake.
const MOST_AXES: usize = 10_000;

/// Makes a space from the drafts and constraints. Returns `None` if a draft has a mistake.
pub(super) fn link(
    mut drafts: Vec<Draft>,
    constraints: Vec<(Name, Quote)>,
    d: &mut Diagnostics,
) -> Option<Space> {
    let names = names::names_of(&drafts);
    let index: HashMap<Name, usize> = names.iter().cloned().zip(0..).collect();
    let setters = names::setters(&drafts, &index);
    names::find_clashes(&drafts, &names, &setters, d);
    let needs: Vec<_> = drafts
        .iter()
        .map(|draft| names::needs(draft, &index, &setters, &names, d))
        .collect();
    let order = order::order(&drafts, &needs, d);
    let mut linker = Linker {
        facts: vec![Fact::default(); names.len()],
        names,
        index,
        axes: 0,
    };
    let mut made: Vec<Option<Param>> = drafts.iter().map(|_| None).collect();
    for at in &order {
        made[*at] = linker.param(&mut drafts[*at], d);
    }
    let constraints = linker.constraints(constraints, d);
    // Axes follow the order of the file, not the order of dependencies.
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
    fn param(&mut self, draft: &mut Draft, d: &mut Diagnostics) -> Option<Param> {
        let before = d.list.len();
        let conditions = self.conditions(draft, d);
        let body = std::mem::replace(&mut draft.body, Body::Broken);
        let (origin, facts) = match self.origin(&draft.name, body, draft.repeat.as_ref(), d) {
            Some(found) => found,
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
            origin: origin?,
            axes: 0..0,
            default: Vec::new(),
        };
        self.axes = self.axes.saturating_add(width(&param));
        // Reported only once, by the parameter that crosses the limit.
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
                Wish::Branch { switch, value } => {
                    self.index.get(switch).map(|slot| Condition::Branch {
                        switch: *slot,
                        name: switch.clone(),
                        value: value.clone(),
                    })
                }
                Wish::When(quote) => self
                    .check("when", quote, Some(Type::Bool), d)
                    .map(|_| Condition::When(quote.expr.clone())),
            })
            .collect();
        conditions.into_iter().collect()
    }

    /// Determines the origin of the values, and the facts about each name that the draft sets. The
    /// outer result is `None` if nothing is known; the inner if only the facts are.
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
            Body::Range(range) => self.range(range, d),
        };
        let Some(quote) = repeat else {
            return Some((
                range.map(|range| Origin::Drawn {
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
        let repeat = self.repeat(name, quote, d);
        let origin = range.zip(repeat).map(|(range, repeat)| Origin::Drawn {
            range,
            repeat: Some(repeat),
        });
        Some((origin, vec![list]))
    }

    /// Determines the bounds of a range, and the facts about its values.
    fn range(&self, draft: RangeDraft, d: &mut Diagnostics) -> (Option<Bounds>, Fact) {
        let mut shape = draft.shape;
        let quoted = |end: &Option<End>| matches!(end, Some(End::Expr(_)));
        // A bound that is a number has determined `whole` already. Of two expressions, both must be
        // integers.
        if shape.whole && quoted(&draft.min) && quoted(&draft.max) {
            let whole = |end: &Option<End>| {
                if let Some(End::Expr(quote)) = end {
                    self.is_whole(quote)
                } else {
                    true
                }
            };
            shape.whole = whole(&draft.min) && whole(&draft.max);
        }
        let mut fact = Fact {
            kind: Some(Type::Number),
            hull: None,
            whole: shape.whole,
            values: None,
            broken: false,
        };
        if let Some(domain) = draft.domain {
            fact.hull = match &domain {
                Domain::Whole(range) => Some((range.min() as f64, range.max() as f64)),
                Domain::Real(range) => Some((range.low(), range.high())),
                _ => draft
                    .min
                    .as_ref()
                    .and_then(End::number)
                    .zip(draft.max.as_ref().and_then(End::number)),
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
        // The widest range: from the smallest possible `min` to the largest possible `max`.
        let outer = match shape.bell {
            None => min
                .zip(max)
                .and_then(|(min, max)| Domain::range(Some(min.0), Some(max.1), &shape).ok()),
            Some(_) => Domain::range(min.map(|min| min.0), max.map(|max| max.1), &shape).ok(),
        };
        fact.hull = min.zip(max).map(|(min, max)| (min.0, max.1));
        let bound = |end: Option<End>| {
            end.map(|end| match end {
                End::Number { number, .. } => Bound::Number(number),
                End::Expr(quote) => Bound::Expr(quote.expr),
            })
        };
        let bounds = Bounds::Computed {
            min: bound(draft.min),
            max: bound(draft.max),
            shape,
            outer,
        };
        (sound.then_some(bounds), fact)
    }

    /// Checks the length of a repeated parameter. It must be an integer with a known maximum, since
    /// every draw needs an axis.
    fn repeat(&self, name: &Name, quote: &Quote, d: &mut Diagnostics) -> Option<Repeat> {
        self.check("repeat", quote, Some(Type::Number), d)?;
        let error = |message: String, label: &str| {
            Diagnostic::error("bad-repeat", message).at(quote.span(), label)
        };
        if !self.is_whole(quote) {
            let remark = error(
                format!("`{name}` is not repeated a whole number of times"),
                "this can be a fraction",
            );
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
        Some(Repeat {
            count: quote.expr.clone(),
            most: most as usize,
        })
    }

    /// Checks the constraints and returns the valid ones.
    fn constraints(
        &self,
        constraints: Vec<(Name, Quote)>,
        d: &mut Diagnostics,
    ) -> Vec<(Name, crate::space::expr::Expr)> {
        let mut sound = Vec::new();
        for (name, quote) in constraints {
            for (mention, place) in quote.expr.mentions() {
                if !self.index.contains_key(mention) {
                    names::report_once(
                        d,
                        names::unknown_name(mention, quote.place(place), &self.names),
                    );
                }
            }
            if self.check(&name, &quote, Some(Type::Bool), d).is_some() {
                sound.push((name, quote.expr));
            }
        }
        sound
    }
}

/// Returns the number of axes that a parameter needs.
fn width(param: &Param) -> usize {
    match &param.origin {
        Origin::Fixed(_) | Origin::Derived(_) => 0,
        Origin::Rows { .. } | Origin::Drawn { repeat: None, .. } => 1,
        Origin::Drawn {
            repeat: Some(repeat),
            ..
        } => repeat.most,
    }
}

/// Appends the axes of a parameter and records their range.
fn lay_axes(param: &mut Param, axes: &mut Vec<Axis>) {
    let start = axes.len();
    let kind = match &param.origin {
        Origin::Rows { cases, .. } => AxisKind::Choice(cases.probabilities().to_vec()),
        _ => param.outer().map_or(AxisKind::Real, Domain::kind),
    };
    let repeated = matches!(
        &param.origin,
        Origin::Drawn {
            repeat: Some(_),
            ..
        }
    );
    for at in 0..width(param) {
        let name = if repeated {
            format!("{}[{at}]", param.name).into()
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
