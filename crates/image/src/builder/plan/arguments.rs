//! Build arguments: those of the file's head and those that every build has.

use std::collections::BTreeMap;

use super::platforms;
use super::request::Request;
use crate::builder::dockerfile::expand::Expander;
use crate::builder::dockerfile::instruction::Kind;
use crate::builder::dockerfile::{Dockerfile, Problem};
use crate::platform::Platform;

/// Proxy settings, which commands have without asking.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// What holds in FROM lines, and for stages that ask for it by ARG.
#[derive(Debug)]
pub(super) struct Globals {
    values: BTreeMap<String, String>,
    pub(super) target: Platform,
}

impl Globals {
    pub(super) fn new(file: &Dockerfile, request: &Request) -> Result<Self, Vec<Problem>> {
        let target = request.platform.clone().unwrap_or_else(|| request.build_platform.clone());
        let last = file.stages.last().and_then(|stage| stage.from.name.clone());
        let stage = request.target.clone().or(last).unwrap_or_else(|| "default".to_owned());
        let known = platforms::arguments(&request.build_platform, &target, &stage).into_iter();
        let given = |(name, value): (String, String)| {
            let value = request.arguments.get(&name).cloned().unwrap_or(value);
            (name, value)
        };
        let mut globals = Self { values: known.map(given).collect(), target };
        let problems: Vec<Problem> =
            file.globals.iter().filter_map(|arg| globals.add(arg, file, request).err()).collect();
        if problems.is_empty() { Ok(globals) } else { Err(problems) }
    }

    fn add(
        &mut self,
        instruction: &crate::builder::dockerfile::instruction::Instruction,
        file: &Dockerfile,
        request: &Request,
    ) -> Result<(), Problem> {
        let Kind::Arg(pairs) = &instruction.kind else { return Ok(()) };
        for (name, default) in pairs {
            let value = match (request.arguments.get(name), default) {
                (Some(given), _) => given.clone(),
                (None, None) => continue,
                (None, Some(text)) => {
                    let lookup = |name: &str| self.get(name);
                    let expander = Expander::new(file.escape, &lookup);
                    expander.word(text).map_err(|error| instruction.line.problem(text, error.to_string()))?
                }
            };
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }
}

/// The proxy settings among the arguments, in both cases of letters.
pub(super) fn proxies(request: &Request) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in &request.arguments {
        let lower = name.to_ascii_lowercase();
        if PROXIES.contains(&&lower[..]) {
            found.insert(lower.to_ascii_uppercase(), value.clone());
            found.insert(lower, value.clone());
        }
    }
    found
}

/// Whether an argument is one that nobody has to declare.
pub(super) fn is_predefined(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    PROXIES.contains(&&name.to_ascii_lowercase()[..])
        || upper.starts_with("BUILDKIT_")
        || upper == "SOURCE_DATE_EPOCH"
        || ["BUILD", "TARGET"].iter().any(|prefix| {
            let rest = upper.strip_prefix(prefix);
            rest.is_some_and(|rest| {
                ["PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT", "STAGE"].contains(&rest)
            })
        })
}
