//! `hoist system df`, `prune` and `check`.

use std::io::{self, BufRead, Write};
use std::path::Path;

use hoist_wire::{DiskUsage, ImageApi, ImageQuery, PruneImages, UsageRow};
use serde_json::json;

use crate::args::{ListFormat, Prune, PruneAll, SystemCommand};
use crate::commands::removed::tell;
use crate::connect;
use crate::error::{CommandError, code};
use crate::out::{err, errln, outln};
use crate::{size, time};

/// Runs the command.
///
/// # Errors
/// When the agent can't be asked; `check`: when something is damaged.
pub(crate) async fn run(root: &Path, command: SystemCommand) -> Result<(), CommandError> {
    match command {
        SystemCommand::Df { format } => {
            let usage = connect::connect(root).await?.disk_usage(ImageQuery::default()).await?;
            print(&rows(&usage), format);
            Ok(())
        }
        SystemCommand::Prune(args) => prune_all(root, &args).await,
        SystemCommand::Check => check(root).await,
    }
}

async fn check(root: &Path) -> Result<(), CommandError> {
    let faults = connect::connect(root).await?.check_store().await?;
    if faults.is_empty() {
        outln!("the image store is sound");
        return Ok(());
    }
    faults.iter().for_each(|fault| outln!("{fault}"));
    let message = format!("{} things in the image store are not as they must be", faults.len());
    Err(CommandError::failed(message).hint("pull or load the images named again: that mends them"))
}

async fn prune_all(root: &Path, args: &PruneAll) -> Result<(), CommandError> {
    if args.volumes && !args.prune.filter.is_empty() {
        return Err(CommandError::usage("volumes have no time of last use, so --volumes takes no filter"));
    }
    if args.volumes && !args.prune.all {
        let text = "an anonymous volume goes with its instance: without -a, there is no volume to remove";
        errln!("note: {text}");
    }
    let request = PruneImages { builds: true, volumes: args.volumes, ..PruneImages::default() };
    prune(root, &args.prune, request).await
}

/// `prune`, of images or of everything.
///
/// # Errors
/// When it is refused at the terminal, or can't be done.
pub(crate) async fn prune(root: &Path, args: &Prune, request: PruneImages) -> Result<(), CommandError> {
    let request = PruneImages { all: args.all, older_than: age(&args.filter)?, ..request };
    if !args.force && !agreed(&going(&request))? {
        return Err(CommandError::silent(code::FAILED));
    }
    let removed = connect::connect(root).await?.prune_images(request).await?;
    tell(&removed);
    removed.volumes.iter().for_each(|id| outln!("Deleted volume: {id}"));
    if removed.builds > 0 {
        outln!("Deleted build cache objects: {}", removed.builds);
    }
    outln!("Total reclaimed space: {}", size::text(removed.bytes));
    Ok(())
}

/// What will be removed, each a line.
fn going(request: &PruneImages) -> Vec<&'static str> {
    let mut going = vec![match request.all {
        true => "all images that nothing needs",
        false => "all images without a tag that nothing needs",
    }];
    match (request.builds, request.all) {
        (true, true) => going.push("the whole build cache, cache mounts too"),
        (true, false) => going.push("all build cache that no image has"),
        (false, _) => {}
    }
    if request.volumes && request.all {
        going.push("all volumes that no stack names, with their data");
    }
    going
}

/// Seconds of the filter `until`.
fn age(filters: &[String]) -> Result<Option<u64>, CommandError> {
    let mut age = None;
    for filter in filters {
        let Some(("until", text)) = filter.split_once('=') else {
            return Err(
                CommandError::usage(format!("there is no filter {filter:?}")).hint("there is `until=24h`")
            );
        };
        let now = time::now();
        age = Some(time::seconds_since(time::parse(text)?, now));
    }
    Ok(age)
}

fn agreed(going: &[&str]) -> Result<bool, CommandError> {
    if !rustix::termios::isatty(io::stdin()) {
        return Err(CommandError::usage("there is no terminal to ask on").hint("`-f` prunes without asking"));
    }
    errln!("This will remove:");
    going.iter().for_each(|what| errln!("  - {what}"));
    err!("Continue? [y/N] ");
    let mut line = String::new();
    let answer = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut line));
    answer.map_err(|error| CommandError::failed(format!("the terminal: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn rows(usage: &DiskUsage) -> [(&'static str, UsageRow); 5] {
    let active = usage.images.iter().filter(|(image, _, _)| image.in_use).count();
    let images = UsageRow {
        count: usage.images.len() as u64,
        active: active as u64,
        bytes: usage.layers,
        reclaimable: usage.reclaimable,
    };
    let blobs = UsageRow { bytes: usage.blobs, ..UsageRow::default() };
    [
        ("Images", images),
        ("Compressed layers", blobs),
        ("Containers", usage.instances),
        ("Local Volumes", usage.volumes),
        ("Build Cache", usage.builds),
    ]
}

fn print(rows: &[(&str, UsageRow)], format: ListFormat) {
    let percent = |row: &UsageRow| (row.reclaimable * 100).checked_div(row.bytes).unwrap_or(0);
    let reclaimable = |row: &UsageRow| format!("{} ({}%)", size::text(row.reclaimable), percent(row));
    if format == ListFormat::Json {
        for (kind, row) in rows {
            let json = json!({
                "Type": kind, "TotalCount": row.count.to_string(), "Active": row.active.to_string(),
                "Size": size::text(row.bytes), "Reclaimable": reclaimable(row),
            });
            outln!("{json}");
        }
        return;
    }
    let head = ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"].map(str::to_owned);
    let cells = rows.iter().map(|(kind, row)| {
        let (count, active) = (row.count.to_string(), row.active.to_string());
        [(*kind).to_owned(), count, active, size::text(row.bytes), reclaimable(row)]
    });
    crate::table::print(&std::iter::once(head).chain(cells).collect::<Vec<_>>());
}
