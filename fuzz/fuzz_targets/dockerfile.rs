//! A Dockerfile, a target and a base's triggers to a plan: no panic, no path outside its tree, no step that depends on
//! a later one, and the same plan again for the same input. The parts are separated by NUL.
#![no_main]

use hoist_image::builder::dockerfile::Dockerfile;
use hoist_image::builder::graph::{Action, Graph, Source, Tree};
use hoist_image::builder::plan::{Base, Bases, Request, needs, plan};
use hoist_image::digest::Digest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split('\0');
    let Ok(file) = Dockerfile::parse(parts.next().unwrap_or_default()) else { return };
    let target = parts.next().filter(|target| !target.is_empty()).map(str::to_owned);
    let triggers: Vec<&str> = parts.collect();
    let request = Request { target, ..Request::default() };
    let config = serde_json::json!({ "config": { "OnBuild": triggers, "Env": ["A=1"] } });
    let mut bases = Bases::default();
    // A trigger may ask for more once; what that brings has the same triggers, of which none is new.
    for _ in 0..3 {
        let Ok(needed) = needs(&file, &request, &bases) else { return };
        for need in needed {
            bases.insert(&need, Base { id: Digest::of(need.reference.as_bytes()), config: config.clone() });
        }
    }
    let Ok(planned) = plan(&file, &request, &bases) else { return };
    check(&planned.graph);
    let again = plan(&file, &request, &bases).expect("it was planned before");
    assert_eq!(again.graph, planned.graph);
});

fn check(graph: &Graph) {
    for (at, step) in graph.steps.iter().enumerate() {
        let before = |tree: &Tree| !matches!(tree, Tree::Step(step) if step.0 >= at);
        assert!(before(&step.base));
        match &step.action {
            Action::Copy(copy) => {
                inside(&copy.destination);
                for source in &copy.sources {
                    if let Source::Files { from, path, .. } = source {
                        assert!(before(from));
                        inside(path);
                    }
                }
            }
            Action::Run(run) => {
                inside(&run.working_dir);
                run.mounts
                    .iter()
                    .filter(|mount| !mount.target.is_empty())
                    .for_each(|mount| inside(&mount.target));
                run.files.keys().for_each(|path| inside(path));
            }
            Action::Folder { path, .. } => inside(path),
        }
    }
}

fn inside(path: &str) {
    assert!(path.starts_with('/') && path.split('/').all(|part| part != ".."), "{path:?}");
}
