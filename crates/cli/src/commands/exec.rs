//! `hoist exec`: a command inside a running instance, with a terminal when there is one.

mod session;

use std::collections::BTreeMap;
use std::io;

use hoist_model::{Parting, ServiceName};
use hoist_wire::{ExecRequest, StackStatus};
use rustix::termios::isatty;

use crate::args::{self, Global};
use crate::error::CommandError;
use crate::project::Target;
use crate::select::is_file;
use crate::terminal::size;

/// Runs the command; its exit code is the program's.
///
/// # Errors
/// When the instance doesn't run, or the program can't be started.
pub(crate) async fn run(global: &Global, args: &args::Exec) -> Result<u8, CommandError> {
    let (file, service, command) = split(global, &args.words)?;
    let target = Target::resolve(global, &[], &[file, vec![service.to_string()]].concat())?;
    let (agent, status) = target.up_status().await?;
    let tty = wants_terminal(args, isatty(io::stdin()), isatty(io::stdout()));
    let request = ExecRequest {
        instance: instance(&status, &service, args.index)?,
        command,
        environment: environment(&args.env)?,
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
        tty: tty.then(size),
        stdin: !args.detach && args.interactive != Some(false),
        privileged: args.privileged,
        detach: args.detach,
    };
    session::run(&agent, request).await
}

/// Whether the program gets a terminal. As with docker compose, `-t` asks for nothing where standard input is none, so
/// that scripts may say `-it` too. What is redirected must arrive unchanged, so output that goes elsewhere has none
/// unless it is asked for. A detached program has nobody to keep its terminal open.
fn wants_terminal(args: &args::Exec, input: bool, output: bool) -> bool {
    let refused = args.no_tty == Some(true) || args.tty == Some(false) || args.detach;
    let asked = args.no_tty == Some(false) || args.tty == Some(true);
    input && !refused && (asked || output)
}

type Words = (Vec<String>, ServiceName, Vec<String>);

/// `[FILE] SERVICE COMMAND [ARG]...`
fn split(global: &Global, words: &[String]) -> Result<Words, CommandError> {
    let (file, rest) = match words.split_first() {
        Some((first, rest)) if global.files.is_empty() && is_file(first) => (vec![first.clone()], rest),
        _ => (Vec::new(), words),
    };
    if let Some(option) = rest.first().filter(|word| word.starts_with('-')) {
        let hint =
            if file.is_empty() { "`hoist exec --help` lists them" } else { "options go before the file" };
        return Err(CommandError::usage(format!("exec has no option {option} here")).hint(hint));
    }
    let Some((service, command)) = rest.split_first().filter(|(_, command)| !command.is_empty()) else {
        return Err(CommandError::usage("exec takes a service and a command").hint("hoist exec web ls /"));
    };
    let service =
        ServiceName::new(service.as_str()).map_err(|error| CommandError::usage(error.to_string()))?;
    Ok((file, service, command.to_vec()))
}

fn instance(
    status: &StackStatus,
    service: &ServiceName,
    index: u32,
) -> Result<hoist_model::InstanceUid, CommandError> {
    let of_service = status.instances.iter().filter(|row| row.report.slot.service == *service);
    let mut running: Vec<_> = of_service.filter(|row| row.report.pid.is_some()).collect();
    // Of two in one slot the one that has its traffic is meant.
    running.sort_by_key(|row| match row.report.parting {
        Some(Parting::Serves) => 0,
        None => 1,
        Some(Parting::Drains) => 2,
    });
    // Without --index the first that runs will do: number 1 may just be restarting.
    let exact = running.iter().find(|row| row.report.slot.index == index);
    let found = exact.or_else(|| running.first().filter(|_| index == 1));
    found.map(|row| row.uid).ok_or_else(|| {
        CommandError::failed(format!("service {service} has no running instance {index}"))
            .hint("`hoist ps -a` shows why")
    })
}

fn environment(words: &[String]) -> Result<BTreeMap<String, String>, CommandError> {
    let one = |word: &String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        // As with docker: a name alone passes this process's value on.
        None => std::env::var(word)
            .map(|value| (word.clone(), value))
            .map_err(|_| CommandError::usage(format!("{word} is not set here")).hint("write NAME=VALUE")),
    };
    words.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_terminal_is_given_where_there_is_one_to_pass_on() {
        let wanted = |flags: &str, input, output| {
            let line = format!("hoist exec {flags} web sh");
            let cli = args::Cli::try_parse_from(line.split_whitespace()).unwrap();
            let args::Command::Exec(exec) = cli.command else { panic!("{line} is exec") };
            wants_terminal(&exec, input, output)
        };
        assert!(wanted("", true, true) && wanted("-it", true, true) && wanted("-i", true, true));
        assert!(!wanted("", true, false), "what is redirected arrives unchanged");
        assert!(wanted("-t", true, false) && wanted("--no-tty=false", true, false));
        assert!(!wanted("", false, true) && !wanted("-it", false, false), "there is no terminal to pass on");
        assert!(
            !wanted("-T", true, true) && !wanted("-itT", true, true) && !wanted("--tty=false", true, true)
        );
        assert!(!wanted("-d", true, true), "nobody would keep it open");
    }
}
