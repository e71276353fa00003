//! A store that comes out of a backup: what it wants is done, and nothing is refused for ever.

use std::fs;

use hoist_tests::command::Signal;
use hoist_tests::{Host, SOON, Stack, eventually};

/// Ends keeper and agent at once, so that neither starts the other; instances run on.
fn end_daemons(host: &Host, stack: &Stack<'_>) {
    let [agent, keeper, _] = stack.daemons();
    for pid in [keeper, agent] {
        host.kill(pid, Signal::KILL);
    }
    eventually("both have ended", SOON, || {
        host.shell(&format!("kill -0 {agent}")).code != 0
            && host.shell(&format!("kill -0 {keeper}")).code != 0
    });
}

fn mode(stack: &Stack<'_>) -> String {
    stack.hoist(&["exec", "-T", "web", "sh", "-c", "echo $MODE"]).success().stdout.trim().to_owned()
}

fn incarnation(stack: &Stack<'_>) -> u64 {
    let text = fs::read(stack.root().join("ledger.json")).unwrap();
    let ledger: serde_json::Value = serde_json::from_slice(&text).unwrap();
    ledger["generation"]["incarnation"].as_u64().unwrap()
}

#[test]
fn an_older_store_takes_over_again() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash/restored.yaml");
    let store = stack.root().join("store.redb");
    stack.up(&[]).ok();
    end_daemons(&host, &stack);
    let backup = fs::read(&store).unwrap();
    for later in ["b", "c"] {
        stack.with("MODE", later).up(&[]).ok();
        end_daemons(&host, &stack);
    }
    assert_eq!(incarnation(&stack), 1);
    for leading in [2, 3] {
        fs::write(&store, &backup).unwrap();
        stack.up(&[]).ok();
        assert_eq!(mode(&stack), "a");
        assert_eq!(incarnation(&stack), leading, "a new incarnation leads");
        stack.with("MODE", "d").up(&[]).ok();
        assert_eq!(mode(&stack), "d", "what is asked afterwards is done");
        end_daemons(&host, &stack);
    }
    stack.up(&[]).ok();
    stack.down().ok();
}
