//! Standard streams that are closed, full, or read by nobody.

use std::process::{Command, Stdio};

use hoist_tests::command::Outcome;
use hoist_tests::{Host, SOON, Stack};

/// Runs `command | reader`: what the reader prints, and how the command ends.
pub(crate) fn in_a_pipe(host: &Host, command: &Command, reader: &str) -> Outcome {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let script = format!("{} | {reader}; exit ${{PIPESTATUS[0]}}", words.join(" "));
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).stdin(Stdio::null());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    host.run_for(shell, SOON)
}

/// Commands that print something of a stack that is up.
const PRINTING: [&[&str]; 13] = [
    &["ps"],
    &["ps", "--format", "json"],
    &["logs"],
    &["logs", "--no-log-prefix"],
    &["config"],
    &["config", "--services"],
    &["graph"],
    &["images"],
    &["version"],
    &["--help"],
    &["agent", "status"],
    &["image", "ls"],
    &["system", "df"],
];

fn up(host: &Host) -> Stack<'_> {
    let stack = host.stack("cli");
    stack.up(&["talker"]).ok();
    hoist_tests::eventually("the talker has talked", SOON, || stack.logs("talker").lines().count() == 6);
    stack
}

/// Runs a command with its standard output in a shell's redirection.
fn redirected(host: &Host, stack: &Stack<'_>, words: &[&str], redirection: &str) -> Outcome {
    let command = stack.command(words);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    host.shell(&format!("{} {redirection}", words.join(" ")))
}

#[test]
fn a_full_output_is_an_error() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    for words in PRINTING.iter().copied().chain([&["exec", "-T", "talker", "echo", "x"][..]]) {
        let full = redirected(&host, &stack, words, "> /dev/full").ended_with(1);
        let told = full.stderr.contains("can't write to standard output: No space left on device");
        assert!(told || words == ["--help"], "{full}");
    }
    stack.down().ok();
}

#[test]
fn an_output_that_nobody_reads_ends_a_command_silently() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    for words in PRINTING {
        // The pipe's reader is gone for certain before the command begins.
        let command = stack.command(words);
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        drop(reader);
        let ended = host.inside(move || {
            let mut command = command;
            command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap()
        });
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(said, "", "{words:?}");
        assert!(words == ["--help"] || ended.status.code() == Some(141), "{words:?}: {}", ended.status);
    }
    stack.down().ok();
}

#[test]
fn closed_or_full_streams_keep_nothing_from_being_done() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    redirected(&host, &stack, &["up", "-d", "talker"], "2> /dev/full").ok();
    assert_eq!(stack.instance("talker").state, "running");
    let inside = redirected(&host, &stack, &["exec", "talker", "cat"], "<&-").success();
    assert_eq!(inside.stdout, "", "what isn't there has ended");
    redirected(&host, &stack, &["stop"], "<&- >&- 2>&-").ok();
    assert_eq!(stack.instance("talker").state, "exited");
    redirected(&host, &stack, &["down", "-v"], "2> /dev/full >&-").ok();
    assert!(stack.ps().is_empty());
}
