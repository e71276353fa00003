//! Cycles of `depends_on`: found in linear time, shown with every edge.

use crate::diagnostic::{Diagnostic, Report};
use crate::node::Node;
use crate::source::Span;
use std::collections::BTreeMap;

/// Service to the services it needs, with the place that says so.
type Graph<'a> = BTreeMap<&'a str, Vec<(&'a str, Span)>>;

/// Reports every cycle among the services once.
pub fn check_cycles(services: &Node, report: &mut Report) {
    let services = services.as_map();
    let graph: Graph<'_> = services
        .into_iter()
        .flatten()
        .map(|(name, service)| {
            let needs = service.get("depends_on").and_then(Node::as_map).into_iter().flatten();
            (name.as_str(), needs.map(|(need, node)| (need.as_str(), node.place())).collect())
        })
        .collect();
    for cycle in cycles(&graph) {
        report.push(describe(&cycle));
    }
}

fn describe(cycle: &[(&str, &str, Span)]) -> Diagnostic {
    let mut names: Vec<&str> = cycle.iter().map(|(from, ..)| *from).collect();
    names.extend(cycle.last().map(|(_, to, _)| *to));
    let message = format!("services depend on each other in a circle: {}", names.join(" -> "));
    let finding = Diagnostic::error("dependency-cycle", message);
    cycle.iter().fold(finding, |finding, (from, to, span)| {
        finding.label(*span, format!("`{from}` depends on `{to}`"))
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Open,
    Done,
}

/// One cycle per back edge of a depth-first walk, without recursion.
fn cycles<'a>(graph: &Graph<'a>) -> Vec<Vec<(&'a str, &'a str, Span)>> {
    let mut marks: BTreeMap<&str, Mark> = BTreeMap::new();
    let mut found = Vec::new();
    for start in graph.keys() {
        if marks.contains_key(start) {
            continue;
        }
        // The path walked so far: service, index of its next edge.
        let mut path: Vec<(&'a str, usize)> = vec![(start, 0)];
        marks.insert(start, Mark::Open);
        while let Some((name, next)) = path.last_mut() {
            let edges = graph.get(*name).map_or(&[][..], Vec::as_slice);
            let Some((need, _)) = edges.get(*next) else {
                marks.insert(name, Mark::Done);
                path.pop();
                continue;
            };
            *next += 1;
            match marks.get(need) {
                Some(Mark::Open) => found.push(unwind(&path, need, graph)),
                None if graph.contains_key(need) => {
                    marks.insert(need, Mark::Open);
                    path.push((need, 0));
                }
                _ => {}
            }
        }
    }
    found
}

/// The edges from `back` along the path and back to it.
fn unwind<'a>(path: &[(&'a str, usize)], back: &str, graph: &Graph<'a>) -> Vec<(&'a str, &'a str, Span)> {
    let from = path.iter().position(|(name, _)| *name == back).unwrap_or(0);
    path[from..]
        .iter()
        .filter_map(|(name, next)| {
            let (need, span) = graph.get(name)?.get(next.checked_sub(1)?)?;
            Some((*name, *need, *span))
        })
        .collect()
}
