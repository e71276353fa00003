//! Where names and addresses lead: to the host, to a name server of the stack's own, from localhost into the stack.

use hoist_tests::command::{Outcome, wait_for_outcome};
use hoist_tests::{Host, SOON, Stack};

const PROGRAMS: [&str; 2] = ["python3", "dig"];

fn ask(host: &Host, kind: &str, address: &str, port: &str) -> Outcome {
    host.shell(&format!("python3 {}/names/ask.py {kind} {address} {port}", env!("CARGO_MANIFEST_DIR")))
}

fn inside(stack: &Stack<'_>, service: &str, words: &[&str]) -> Outcome {
    stack.hoist(&[&["exec", "-T", service], words].concat())
}

#[track_caller]
fn says(what: &str, text: &str, ask: impl FnMut() -> Outcome) {
    wait_for_outcome(what, SOON, ask, |got| got.code == 0 && got.text() == text);
}

#[test]
fn ports_answer_on_both_localhosts() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let stack = host.stack("names");
    stack.up(&["four", "six"]).ok();
    for (service, port) in [("four", "8070"), ("six", "8071")] {
        for address in ["127.0.0.1", "::1", "localhost"] {
            for kind in ["tcp", "udp"] {
                says(&format!("{kind} {address} {port}"), service, || ask(&host, kind, address, port));
            }
        }
    }
    says("the port of ::1 alone", "six", || ask(&host, "tcp", "::1", "8072"));
    assert_ne!(ask(&host, "tcp", "127.0.0.1", "8072").code, 0, "published on ::1 alone");
    stack.down().ok();
}

#[test]
fn the_host_is_reached_by_its_names() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let stack = host.stack("names");
    let mut server = std::process::Command::new("python3");
    server.args([concat!(env!("CARGO_MANIFEST_DIR"), "/names/serve.py"), "host", "8079"]);
    let server = host.start(server);
    stack.up(&["four", "asker", "beside"]).ok();
    for name in ["declared", "host.docker.internal"] {
        let get = |port| inside(&stack, "asker", &["python3", "ask.py", "tcp", name, port]);
        says(&format!("a server of the host's by {name}"), "host", || get("8079"));
        says(&format!("a published port by {name}"), "four", || get("8070"));
    }
    let beside = || inside(&stack, "beside", &["python3", "ask.py", "tcp", "declared", "8079"]);
    says("a server of the host's, on the host's network", "host", beside);
    drop(server);
    stack.down().ok();
}

#[test]
fn a_name_server_on_an_internal_network_answers_those_on_it_and_nobody_else() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let stack = host.stack("names");
    stack.up(&["resolver", "client", "stranger"]).ok();
    let dig = |service: &str| {
        inside(&stack, service, &["dig", "+short", "+tries=1", "+time=9", "name.example.com"])
    };
    says("the client gets its server's answer", "203.0.113.7", || dig("client"));
    let refused = inside(&stack, "stranger", &["dig", "+tries=1", "+time=9", "name.example.com"]);
    assert!(refused.stdout.contains("status: SERVFAIL"), "{refused}");
    stack.down().ok();
}
