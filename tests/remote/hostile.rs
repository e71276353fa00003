//! What names and repositories may not do: run something, or read what was not fetched.

use hoist_tests::Host;

use crate::site::{PROGRAMS, SHOP, Site};

#[test]
fn no_name_and_no_submodule_runs_anything() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    let harm = site.path("harm");
    let touch = format!("touch {}", harm.display());
    for (name, why) in [
        (format!("ext::sh -c {touch}"), "ext is not a protocol"),
        (format!("file://{}", site.path("served/shop.git").display()), "file is not a protocol"),
        (format!("{SHOP}#--upload-pack={}", harm.display()), "not a branch, tag or commit"),
        (format!("ssh://-oProxyCommand={}/x", harm.display()), "names no host"),
        (format!("git@-oProxyCommand={}:x.git", harm.display()), "names no host"),
    ] {
        site.refused(&name, why);
        let included = site.write("stack.yaml", &format!("include: [\"{name}\"]\n"));
        site.refused(&included, why);
    }
    for evil in ["evil1", "evil2", "evil3"] {
        site.refused(&format!("http://127.0.0.1:8081/smart/{evil}.git"), "git says: ");
        assert!(site.cached("git").is_empty(), "nothing half made is kept");
    }
    assert!(!harm.exists());
}

#[test]
fn nothing_leads_out_of_what_was_fetched() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let site = Site::start(&host);
    site.refused(&format!("{SHOP}#main:../outside"), "leads out of the repository");
    site.refused(&format!("{SHOP}#main:out"), "a link that leads out of it");
    site.refused(&format!("{SHOP}#main:app/out/compose.yaml"), "a link that leads out of it");
    site.refused(&format!("{SHOP}#main:leak.yaml"), "a link that leads out of what was fetched");
    let config =
        site.stack(&format!("{SHOP}#main:config.yaml")).hoist(&["-p", "x", "up", "-d"]).ended_with(2);
    assert!(config.stderr.contains("a link that leads out of what was fetched"), "{config}");
    let part = site.write("stack.yaml", &format!("include: ['{SHOP}#main:leak.yaml']"));
    site.refused(&part, "a link that leads out of what was fetched");
    let build = format!(
        "name: x\nservices: {{ a: {{ build: {{ context: '{SHOP}#main:app', dockerfile: Leak }} }} }}\n"
    );
    let build = site.stack(&site.write("build.yaml", &build)).hoist(&["build"]).ended_with(2);
    assert!(build.stderr.contains("a link that leads out") && !build.stderr.contains("SECRET"), "{build}");
}
