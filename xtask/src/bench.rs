//! Benches: targets of kind `bench` in any crate, each a program that prints its own table.

use crate::metadata;
use crate::run::{Result, cargo, must};

pub(crate) fn run(arguments: &[String]) -> Result {
    let (name, rest) = arguments.split_first().map_or((None, &[][..]), |(name, rest)| (Some(name), rest));
    let packages = metadata::read()?.packages;
    let all =
        packages.iter().flat_map(|package| package.benches.iter().map(move |bench| (&package.name, bench)));
    let wanted: Vec<_> = all.clone().filter(|(_, bench)| name.is_none_or(|name| name == *bench)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = all.map(|(_, bench)| bench.as_str()).collect();
        return Err(format!("no such bench; there are: {}", names.join(" ")).into());
    }
    for (package, bench) in wanted {
        let mut command = cargo(&["bench", "--quiet", "--package", package, "--bench", bench, "--"]);
        must(command.args(rest))?;
    }
    Ok(())
}
