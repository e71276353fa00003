//! A Dockerfile and a request to a [`Graph`]: pure, so that the same input always gives the same build.
//!
//! Two phases, since only the configuration of a base says its environment and triggers: [`needs`] names the images
//! that are still missing, the caller finds them (several at once), until there are none; then [`plan()`].

mod arguments;
mod config;
mod copy;
mod expose;
mod git;
mod mounts;
mod order;
mod paths;
mod platforms;
mod quote;
mod request;
mod run;
mod settings;
mod stages;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;

use arguments::Globals;
pub use request::{Base, Bases, NamedContext, Need, Request};
use stages::Stages;

use super::dockerfile::{Dockerfile, Problem, Warning};
use super::graph::{Graph, StepId};

/// A build, and what is likely not meant in its file.
#[derive(Clone, Debug)]
pub struct Planned {
    pub graph: Graph,
    pub warnings: Vec<Warning>,
    /// Build arguments that nothing asked for.
    pub unused_arguments: Vec<String>,
    /// Steps that take nothing from earlier builds, as [`Request::fresh`] has it.
    pub fresh: BTreeSet<StepId>,
    /// What [`Request::fresh`] names that is no stage.
    pub unknown_stages: Vec<String>,
}

/// The images that the target needs and `bases` doesn't have. A base that was found may have triggers that need
/// more: ask until there is nothing.
pub fn needs(file: &Dockerfile, request: &Request, bases: &Bases) -> Result<Vec<Need>, Vec<Problem>> {
    let globals = Globals::new(file, request)?;
    let stages = Stages::new(file, request, &globals)?;
    let target = stages.target().map_err(|problem| vec![problem])?;
    stages.order(target, bases).map(|(_, needs)| needs)
}

/// The build of the target.
pub fn plan(file: &Dockerfile, request: &Request, bases: &Bases) -> Result<Planned, Vec<Problem>> {
    let globals = Globals::new(file, request)?;
    let stages = Stages::new(file, request, &globals)?;
    let target = stages.target().map_err(|problem| vec![problem])?;
    let (order, needs) = stages.order(target, bases)?;
    if !needs.is_empty() {
        return Err(needs.iter().map(not_found).collect());
    }
    let mut built = walk::stages(&stages, bases, &order)?;
    let mut warnings = file.warnings().to_vec();
    warnings.append(&mut built.warnings);
    warnings.retain(|warning| !file.skips(warning.check));
    warnings.sort_by_key(|warning| warning.line);
    let fresh = std::mem::take(&mut built.fresh);
    Ok(Planned {
        graph: built.graph(target, request),
        warnings,
        unused_arguments: unused(file, request),
        fresh,
        unknown_stages: request.fresh.iter().filter(|name| !stages.has(name)).cloned().collect(),
    })
}

fn not_found(need: &Need) -> Problem {
    let message = format!("the image {} for {} is not at hand", need.reference, need.platform);
    Problem { line: need.line, column: 1, source: String::new(), message, help: need.help.clone() }
}

fn unused(file: &Dockerfile, request: &Request) -> Vec<String> {
    use super::dockerfile::instruction::Kind;
    let instructions = file.globals.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions));
    let asked: BTreeSet<&String> = instructions
        .filter_map(|instruction| match &instruction.kind {
            Kind::Arg(pairs) => Some(pairs.iter().map(|(name, _)| name)),
            _ => None,
        })
        .flatten()
        .collect();
    let names = request.arguments.keys();
    names.filter(|name| !asked.contains(name) && !arguments::is_predefined(name)).cloned().collect()
}
