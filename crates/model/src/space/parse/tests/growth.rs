//! Tests that the cost of a space grows in proportion to its length.

use super::space;
use crate::space::Space;
use std::time::{Duration, Instant};

/// Reads a space, counts its configurations, and draws and checks some.
fn use_space(text: &str) -> (Space, Option<u64>) {
    let space = space(text);
    let size = space.size();
    for draw in 0..40_u32 {
        let unit = vec![f64::from(draw) / 40.0; space.dims()];
        let params = space.decode(&unit);
        assert_eq!(space.admits(&params), Ok(()));
        assert_eq!(space.decode(&space.encode(&params)), params);
    }
    (space, size)
}

fn least_time(text: &str) -> Duration {
    let times = (0..5).map(|_| {
        let (started, cpu_time_before) = (Instant::now(), cpu_time());
        use_space(text);
        match (cpu_time_before, cpu_time()) {
            (Some(before), Some(after)) => after - before,
            _ => started.elapsed(),
        }
    });
    times.min().unwrap_or_default()
}

/// Returns the time that this thread was on a processor, which other processes do not lengthen.
/// Only Linux tells it.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Asserts that eight times the length takes far less than 64 times as long.
fn assert_linear(subject: &str, count: usize, text: impl Fn(usize) -> String) {
    let (short, long) = (least_time(&text(count)), least_time(&text(8 * count)));
    assert!(
        long < 24 * short + Duration::from_millis(60),
        "{subject}: {count} take {short:?}, {} take {long:?}",
        8 * count
    );
}

fn joined(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

fn choice(count: usize) -> String {
    let values = joined(count, |index| format!("\"v{index}\","));
    format!("[space]\n[space.c]\nchoice = [{values}]\n")
}

#[test]
fn choices_and_rows_cost_in_proportion_to_their_number() {
    assert_linear("choices", 2000, choice);
    assert_linear("rows", 2000, |count| {
        let rows = joined(count, |index| format!("{{ a = {index}, b = 0.5 }},"));
        format!("[space]\nr = {{ rows = [{rows}] }}\n")
    });
}

#[test]
fn branches_that_set_the_same_name_cost_in_proportion_to_their_number() {
    assert_linear("branches", 200, |count| {
        let branches = joined(count, |index| {
            format!("[space.c.v{index}]\nx = {{ min = 0.0, max = 1.0 }}\n")
        });
        format!("{}{branches}", choice(count))
    });
}

#[test]
fn conditions_on_a_name_of_many_branches_cost_in_proportion_to_their_number() {
    assert_linear("conditions", 100, |count| {
        let branches = joined(count, |index| {
            format!("[space.c.v{index}]\nx = {{ min = 0.0, max = 1.0 }}\n")
        });
        let uses = joined(count, |index| {
            format!("y{index} = {{ min = 0.0, max = 1.0, when = \"x > 0.5\" }}\n")
        });
        format!("{}{branches}[space.g]\n{uses}", choice(count))
    });
}

#[test]
fn independent_conditions_are_counted_apart_from_each_other() {
    let pairs = |count| {
        let pairs = joined(count, |index| {
            format!(
                "x{index} = [1, 2]\ny{index} = {{ choice = [1, 2], when = \"x{index} == 1\" }}\n"
            )
        });
        format!("[space]\n{pairs}")
    };
    // Together they are 3^20 combinations, which cannot be enumerated.
    assert_eq!(use_space(&pairs(20)).1, Some(3_u64.pow(20)));
    assert_linear("independent conditions", 100, pairs);
}

#[test]
fn nested_branches_are_counted_with_a_constant_that_all_of_them_use() {
    let tree = |depth: u32| {
        let mut text = "[space]\none = 1\n".to_owned();
        branch(&mut text, "space", 1, depth);
        text
    };
    // Each leaf has two values, and so has each inner choice, one subtree each.
    assert_eq!(use_space(&tree(8)).1, Some(2 * 2_u64.pow(7)));
    let (short, long) = (least_time(&tree(6)), least_time(&tree(9)));
    assert!(
        long < 24 * short + Duration::from_millis(60),
        "{short:?}, {long:?}"
    );
}

/// Appends a tree of choices, each with a choice in both of its branches.
fn branch(text: &mut String, path: &str, number: u32, depth: u32) {
    let path = format!("{path}.c{number}");
    let table = format!("[{path}]\nchoice = [\"a\", \"b\"]\nwhen = \"one == 1\"\n");
    text.push_str(&table);
    if depth > 1 {
        branch(text, &format!("{path}.a"), 2 * number, depth - 1);
        branch(text, &format!("{path}.b"), 2 * number + 1, depth - 1);
    }
}

#[test]
fn a_chain_of_thousands_of_conditions_overflows_no_stack() {
    let chain = |count| {
        let links = joined(count, |index| {
            format!(
                "x{} = {{ choice = [1, 2], when = \"x{index} == 1\" }}\n",
                index + 1
            )
        });
        format!("[space]\nx0 = [1, 2]\n{links}")
    };
    assert_eq!(space(&chain(300)).size(), Some(302));
    assert_eq!(space(&chain(9000)).size(), None);
}
