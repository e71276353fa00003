//! Where the text comes from: pipes, devices, other encodings; and what ends too late.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use hoist_tests::host::binary;
use tempfile::TempDir;

use super::{Ended, Project};

const STACK: &str = "services:\n  a:\n    image: \"x:${TAG-none}\"\n";

/// Runs with bytes on standard input. What isn't read stays in the pipe.
fn piped(words: &[&str], input: Vec<u8>) -> Ended {
    let folder = TempDir::with_prefix("hoist-test-").unwrap();
    let mut command = Command::new(binary());
    command.current_dir(folder.path()).env_clear().args(words).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || _ = stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn what_never_ends_is_refused_at_the_limit() {
    let project = Project::with(&[("stack.yaml", STACK), ("many.yaml", "services:\n  a:\n    image: x\n")]);
    let named = |words: &[&str]| {
        let ended = project.hoist(words);
        assert_eq!(ended.code, 2, "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("larger than 16 MiB"), "{words:?}: {}", ended.stderr);
    };
    named(&["-f", "/dev/zero", "config", "-q"]);
    named(&["-f", "stack.yaml", "--env-file", "/dev/zero", "config", "-q"]);
    for (key, value) in
        [("env_file", "/dev/zero"), ("label_file", "/dev/zero"), ("extends", "{file: /dev/zero, service: a}")]
    {
        let text = format!("services:\n  a:\n    image: x\n    {key}: {value}\n");
        let project = Project::with(&[("stack.yaml", &text)]);
        let ended = project.hoist(&["config", "-q"]);
        assert!(ended.code == 2 && ended.stderr.contains("larger than 16 MiB"), "{key}: {}", ended.stderr);
    }
    let text = "include: [/dev/zero]\nservices: {}\n";
    let ended = Project::with(&[("stack.yaml", text)]).hoist(&["config", "-q"]);
    assert!(ended.code == 2 && ended.stderr.contains("larger than 16 MiB"), "{}", ended.stderr);
    let folder = TempDir::with_prefix("hoist-test-").unwrap();
    let mut command = Command::new(binary());
    command.current_dir(folder.path()).env_clear().args(["-f", "-", "config", "-q"]);
    let output = command.stdin(File::open("/dev/zero").unwrap()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && told.contains("larger than 16 MiB"), "{told}");
}

#[test]
fn a_stack_file_comes_through_a_pipe_in_both_encodings() {
    let utf16: Vec<u8> = format!("\u{feff}{STACK}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for input in [STACK.as_bytes().to_vec(), format!("\u{feff}{STACK}").into_bytes(), utf16] {
        let ended = piped(&["-p", "p", "-f", "-", "config"], input);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stdout.contains("image: x:none"), "{}", ended.stdout);
    }
    let ended = piped(&["-p", "p", "-f", "-", "config"], b"services: \xff\n".to_vec());
    assert!(ended.code == 2 && ended.stderr.contains("not UTF-8"), "{}", ended.stderr);
}

/// Variables are read twice, for Hoist itself and for the file: a pipe gives them once.
#[test]
fn variables_come_through_a_pipe() {
    let folder = TempDir::with_prefix("hoist-test-").unwrap();
    let stack = folder.path().join("stack.yaml");
    std::fs::write(&stack, STACK).unwrap();
    let words = ["-f", stack.to_str().unwrap(), "--env-file", "/dev/stdin", "config"];
    let ended = piped(&words, b"TAG=piped\nCOMPOSE_PROJECT_NAME=named\n".to_vec());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("image: x:piped"), "{}", ended.stdout);
    assert!(ended.stdout.contains("name: named"), "{}", ended.stdout);
}

#[test]
fn two_services_with_one_container_name_are_refused() {
    let file = |second: &str| {
        format!("services:\n  a: {{image: x, container_name: one}}\n  b: {{image: x, {second}}}\n")
    };
    let config = |text: String, words: &[&str]| {
        Project::with(&[("stack.yaml", &text)]).hoist(&[&["config", "-q"], words].concat())
    };
    let twice = config(file("container_name: one"), &[]);
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("want the same container name `one`"), "{}", twice.stderr);
    assert_eq!(config(file("container_name: one"), &["--no-consistency"]).code, 0);
    for other in ["container_name: two", "container_name: \"\"", "container_name: one, profiles: [p]"] {
        let ended = config(file(other), &[]);
        assert_eq!(ended.code, 0, "{other}: {}", ended.stderr);
    }
    for many in ["scale: 2", "deploy: {replicas: 3}"] {
        let ended = config(file(&format!("container_name: two, {many}")), &[]);
        assert!(ended.code == 2 && ended.stderr.contains("share `container_name`"), "{}", ended.stderr);
    }
}

#[test]
fn what_a_variable_leaves_empty_counts_as_not_given() {
    let text = "name: ${NONE-}\nservices:\n  a:\n    image: x\n    container_name: ${NONE-}\n    \
                hostname: ${NONE-}\n    user: \"\"\n    profiles: [\"${NONE-}\"]\n    ports:\n    \
                - {target: 80, published: \"8080\", host_ip: \"${NONE-}\"}\n    - \"${NONE-}:81:81\"\n";
    let ended = Project::with(&[("stack.yaml", text)]).hoist(&["config", "--services"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "a\n"), "{}", ended.stderr);
    let chosen = Project::with(&[("stack.yaml", text)]).hoist(&["--profile", "p", "config", "--services"]);
    assert_eq!((chosen.code, chosen.stdout.as_str()), (0, ""), "{}", chosen.stderr);
    let none = |line: &str| {
        let text = format!("services:\n  a:\n    image: x\n    {line}\n");
        Project::with(&[("stack.yaml", &text)]).hoist(&["config", "-q"]).code
    };
    assert_eq!(none("env_file: \"${NONE-}\""), 2);
    assert_eq!(none("env_file: [{path: \"${NONE-}\", required: false}]"), 0);
}
