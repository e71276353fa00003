//! `hoist logs`.

use std::sync::Arc;

use futures_util::StreamExt;
use hoist_wire::StackStatus;

use crate::args;
use crate::error::CommandError;
use crate::out;
use crate::project::Target;
use crate::steady::Steady;
use crate::tail::{Item, LineStyle, Range, Tail};
use crate::time;

/// Runs the command. With `--follow`, instances that come later are read as well, until the stack is gone.
///
/// # Errors
/// When the stack isn't up, or a log can't be read.
pub(crate) async fn run(target: &Target, args: &args::Logs) -> Result<(), CommandError> {
    let tail =
        match args.tail.as_str() {
            "all" | "-1" => None,
            number => Some(number.parse().map_err(|_| {
                CommandError::usage(format!("--tail takes a number or `all`, not {number:?}"))
            })?),
        };
    let range = Range {
        follow: args.follow,
        tail,
        since: args.since.as_deref().map(time::parse).transpose()?,
        until: args.until.as_deref().map(time::parse).transpose()?,
    };
    let style =
        LineStyle { timestamps: args.timestamps, no_prefix: args.no_log_prefix, no_color: args.no_color };
    let (agent, status) = target.up_status().await?;
    let steady = Steady::new(target.root.clone(), agent);
    let mut tail = Tail::new(Arc::clone(&steady), range, style);
    add(&mut tail, target, args, &status);
    if !args.follow {
        return drain(&mut tail).await;
    }
    let mut changes = steady.watch(target.id.clone());
    let mut watching = true;
    let unread = out::unread();
    tokio::pin!(unread);
    while watching || tail.is_open() {
        tokio::select! {
            item = tail.next() => show(&mut tail, item)?,
            () = &mut unread => return out::finish(),
            change = changes.next(), if watching => match change {
                Some(Ok(status)) => add(&mut tail, target, args, &status),
                Some(Err(error)) => return Err(error.into()),
                None => watching = false,
            },
        }
    }
    tail.end_line()
}

fn add(tail: &mut Tail, target: &Target, args: &args::Logs, status: &StackStatus) {
    for instance in &status.instances {
        let slot = &instance.report.slot;
        let named = target.services.is_empty() || target.services.contains(&slot.service);
        if named && args.index.is_none_or(|index| index == slot.index) {
            tail.add(instance.uid, slot.short(), instance.report.starts);
        }
    }
}

async fn drain(tail: &mut Tail) -> Result<(), CommandError> {
    while tail.is_open() {
        let item = tail.next().await;
        show(tail, item)?;
    }
    tail.end_line()
}

fn show(tail: &mut Tail, item: Item) -> Result<(), CommandError> {
    match item {
        Item::Line(line) => tail.print(&line),
        Item::RunEnd(..) | Item::End(_) => Ok(()),
        Item::Broken(_, error) => Err(error.into()),
    }
}
