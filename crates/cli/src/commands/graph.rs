//! `hoist graph`: the dependency graph in the DOT language (Graphviz).

use std::fmt::Write as _;

use crate::out::out;
use hoist_model::{Condition, Stack};

/// Prints the graph: an arrow from each service to what it waits for, labelled with the condition.
pub(crate) fn run(stack: &Stack) {
    out!("{}", dot(stack));
}

fn dot(stack: &Stack) -> String {
    let mut text = format!("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", stack.id);
    for (name, service) in &stack.services {
        let replicas =
            if service.replicas == 1 { String::new() } else { format!("\\n×{}", service.replicas) };
        let _ = writeln!(text, "  \"{name}\" [label=\"{name}{replicas}\"];");
    }
    for (name, service) in &stack.services {
        for (dependency, edge) in &service.depends_on {
            let style = if edge.required { "solid" } else { "dashed" };
            let label = match edge.condition {
                Condition::ServiceStarted => "started",
                Condition::ServiceHealthy => "healthy",
                Condition::ServiceCompletedSuccessfully => "completed",
            };
            let _ = writeln!(text, "  \"{name}\" -> \"{dependency}\" [label=\"{label}\", style={style}];");
        }
    }
    text.push_str("}\n");
    text
}
