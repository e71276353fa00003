//! `hoist plan` says what `up` then does, and changes nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hoist_tests::{Host, Outcome, SOON, Stack, wait_for};
use serde_json::Value;

/// The ids of the instances of each place.
fn ids(stack: &Stack<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in stack.ps() {
        let place = row.name.split_once('-').map_or("", |(_, place)| place).to_owned();
        found.entry(place).or_default().insert(row.id);
    }
    found
}

fn told(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

fn json(stack: &Stack<'_>, words: &[&str], code: i32) -> Value {
    told(&stack.hoist(&[&["plan", "--format", "json"], words].concat()).ended_with(code))
}

/// What is done with each place, by a plan: `web-1: replace`.
fn foreseen(plan: &Value) -> BTreeMap<String, String> {
    let services = plan["services"].as_object().expect("a plan has services");
    let slots = services.iter().flat_map(|(name, service)| {
        let slots = service["slots"].as_array().expect("a service has slots").iter();
        slots.map(move |slot| {
            let action = slot["action"].as_str().expect("a slot has an action");
            (format!("{name}-{}", slot["index"]), action.to_owned())
        })
    });
    slots.collect()
}

/// What was done with each place, by the ids before and after.
fn seen(
    before: &BTreeMap<String, BTreeSet<String>>,
    after: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeMap<String, String> {
    let places: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let word = |place: &String| match (before.get(place), after.get(place)) {
        (None, _) => "create",
        (Some(_), None) => "remove",
        (was, is) if was == is => "keep",
        _ => "replace",
    };
    places.into_iter().map(|place| (place.clone(), word(place).to_owned())).collect()
}

/// Foresees an `up`, does it, and compares.
fn foresee_and_do(stack: &Stack<'_>, words: &[&str]) -> Value {
    let before = ids(stack);
    let plan = json(stack, words, 3);
    assert_eq!(ids(stack), before, "a plan changes nothing");
    stack.up(words).ok();
    stack.wait_for_drains();
    // Who is removed may drain until after the verdict.
    let expected = foreseen(&plan);
    let gone = |place: &str| expected.get(place).is_some_and(|action| action == "remove");
    let after = wait_for("the removed are gone", SOON, || {
        Some(ids(stack)).filter(|ids| !ids.keys().any(|place| gone(place)))
    });
    assert_eq!(expected, seen(&before, &after), "{plan:#}");
    assert_eq!(json(stack, words, 0)["changes"], false, "all is done");
    plan
}

fn line(stack: &Stack<'_>, words: &[&str]) -> String {
    stack.hoist(words).ended_with(3).stdout
}

#[test]
fn what_a_plan_says_is_what_up_does() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("plan");
    let first = foresee_and_do(&stack, &[]);
    assert_eq!(first["volumes"][0]["name"], "plan_data");
    assert!(stack.hoist(&["plan"]).success().stdout.contains("nothing to do"));
    assert!(stack.hoist(&["up", "--dry-run"]).success().stdout.contains("nothing to do"));

    let changed = stack.with("VERSION", "2");
    let text = line(&changed, &["plan"]);
    for part in
        ["services.web.environment.VERSION: 1 => 2", "stack.yaml:17", "no downtime", "replace web-1 web-2"]
    {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    assert!(!text.contains("replace store"), "{text}");
    let web = &foresee_and_do(&changed, &[])["services"]["web"];
    assert_eq!((&web["order"], &web["downtime"]["class"]), (&"start-first".into(), &"none".into()), "{web}");

    let changed = changed.with("STORE", "2").with("HOST_VERSION", "2").with("WORKER", "2");
    let services = &foresee_and_do(&changed, &[])["services"];
    let class =
        |service: &str| services[service]["downtime"]["class"].as_str().unwrap_or_default().to_owned();
    let why = |service: &str| services[service]["stop_first"].to_string();
    assert_eq!(class("store"), "held", "{services:#}");
    assert_eq!(services["store"]["downtime"]["stop_millis"], 3000);
    assert!(services["store"]["downtime"]["hold_millis"].as_u64().is_some_and(|bound| bound > 0));
    assert!(why("store").contains("plan_data"), "{services:#}");
    assert!(why("host").contains("host"), "{services:#}");
    assert!(why("worker").contains("nobody connects to it"), "{services:#}");
    assert_eq!(["host", "worker"].map(class), ["refused", "none"], "{services:#}");

    let fewer = foresee_and_do(&changed, &["--scale", "web=1"]);
    assert_eq!(foreseen(&fewer)["web-2"], "remove");
    let down = line(&changed, &["down", "--dry-run", "-v"]);
    assert!(
        down.contains("remove web-1") && down.contains("destroys the data in volume plan_data"),
        "{down}"
    );
    assert_eq!(ids(&changed).len(), 5, "a dry run changes nothing");
    stack.down().ok();
}

#[test]
fn a_plan_is_kept_and_done_unless_something_has_changed() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("plan");
    stack.up(&[]).ok();
    let before = ids(&stack);
    let path = host.folder().join("plan.json");
    let file = path.to_str().expect("a text");
    fs::write(&path, "an older plan").expect("a file can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("its mode can be set");
    let two = stack.with("VERSION", "2");
    let _ = two.hoist(&["plan", "-o", file]).ended_with(3);
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let other = stack.with("VERSION", "3").hoist(&["up", "-d", "--plan", file]).ended_with(1);
    assert!(other.stderr.contains("service web"), "it says what differs: {other}");
    assert_eq!(ids(&stack), before, "nothing was changed");
    two.up(&["--plan", file]).ok();
    two.wait_for_drains();
    let after = ids(&two);
    assert_ne!(after["web-1"], before["web-1"]);
    assert_eq!(after["store-1"], before["store-1"]);

    let three = stack.with("VERSION", "3");
    let _ = three.hoist(&["plan", "-o", file]).ended_with(3);
    two.with("WORKER", "2").up(&[]).ok();
    let between = three.with("WORKER", "2").hoist(&["up", "-d", "--plan", file]).ended_with(1);
    assert!(between.stderr.contains("what is wanted"), "{between}");
    fs::write(&path, "{\"version\": 99}").expect("a file can be written");
    let newer = three.hoist(&["up", "-d", "--plan", file]).ended_with(2);
    assert!(newer.stderr.contains("version 99"), "{newer}");
    stack.down().ok();
}

#[test]
fn data_is_not_destroyed_unless_that_is_permitted() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("plan");
    stack.up(&[]).ok();
    stack.up(&["--force-recreate", "worker"]).ok();
    stack.wait_for_drains();
    let before = ids(&stack);
    let words = ["-V", "--force-recreate", "worker"];
    let text = line(&stack, &[&["plan"], &words[..]].concat());
    assert!(text.contains("destroys the data in the anonymous volume of worker-1 at /scratch"), "{text}");
    let refused = stack.hoist(&[&["up", "-d"], &words[..]].concat()).ended_with(1);
    assert!(refused.stderr.contains("nothing was changed") && refused.stderr.contains("-y"), "{refused}");
    assert_eq!(ids(&stack), before);
    for (answer, code) in [("n\n", 1), ("y\n", 0)] {
        let up = stack.command(&[&["up", "-d"], &words[..]].concat());
        let (running, mut terminal) = host.start_on_terminal(up);
        terminal.wait_for("[y/N]", SOON);
        terminal.keys(answer);
        let _ = running.finish(SOON).ended_with(code);
    }
    stack.wait_for_drains();
    let asked = ids(&stack);
    assert_ne!(asked["worker-1"], before["worker-1"]);
    stack.up(&[&["-y"], &words[..]].concat()).ok();
    stack.wait_for_drains();
    assert_ne!(ids(&stack)["worker-1"], asked["worker-1"]);
    let bad = stack.hoist(&["plan", "nothing"]);
    assert!(bad.code == 1 || bad.code == 2, "{bad}");
    stack.down().ok();
}
