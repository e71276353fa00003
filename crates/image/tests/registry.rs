//! Images are pulled from and pushed to the registry that Debian packages, with skopeo on the other side.

#![allow(clippy::unwrap_used, reason = "test set-up")]

#[path = "support/registry.rs"]
mod server;
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hoist_image::Reference;
use hoist_image::digest::Digest;
use hoist_image::platform::Platform;
use hoist_image::progress::Event;
use hoist_image::registry::{Credentials, PullError, Registries, RegistryConfig, RegistryError};
use hoist_image::store::Store;
use server::{Registry, layout};
use support::{sh, tree};

struct Side {
    tmp: tempfile::TempDir,
    store: Store,
}

fn side() -> Side {
    let tmp = tempfile::tempdir().unwrap();
    let store = Store::open(&tmp.path().join("store")).unwrap();
    Side { tmp, store }
}

fn sound(store: &Store) {
    let faults = store.verify().unwrap();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn skopeo_pushes_and_we_pull_and_the_other_way_round() {
    let Some(registry) = Registry::start(true) else { return };
    let Side { tmp, store } = side();
    let at = tmp.path();
    layout(at, 100_000);
    let name = registry.name("team/app:1");
    sh(&format!("skopeo copy -q {} oci:{}/oci:app docker://{name}", registry.skopeo("dest"), at.display()));
    let registries = registry.registries();
    registries.check_login(name.registry()).unwrap();
    let pulled = store.pull(&registries, &name, &Platform::host(), &()).unwrap();
    assert!(!pulled.up_to_date);
    let image = store.resolve(&name).unwrap().unwrap();
    assert_eq!((image.id, image.manifest), (pulled.id, pulled.digest));
    let imported = store.import_layout(&at.join("oci"), Some("app"), &[], &()).unwrap();
    assert_eq!(imported.id, pulled.id, "the configuration is the layout's, byte for byte");
    assert_eq!(store.list().unwrap().len(), 1, "and so is the manifest");
    sound(&store);

    // By digest, and again: nothing is fetched.
    let events = Mutex::new(Vec::new());
    let listen = |event| events.lock().unwrap().push(event);
    let pinned = name.with_digest(pulled.digest);
    assert!(store.pull(&registries, &pinned, &Platform::host(), &listen).unwrap().up_to_date);
    assert!(store.pull(&registries, &name, &Platform::host(), &listen).unwrap().up_to_date);
    assert_eq!(*events.lock().unwrap(), []);

    // To another repository the blobs are taken over, not sent; skopeo reads it.
    let other = registry.name("other:2");
    let pushed = store.push(&registries, &image, &other, &listen).unwrap();
    assert_eq!(pushed.digest, pulled.digest);
    assert!(
        events.lock().unwrap().iter().all(|event| matches!(event, Event::Present { .. })),
        "{:?}",
        events.lock().unwrap()
    );
    sh(&format!("skopeo copy -q {} docker://{other} oci:{}/back:x", registry.skopeo("src"), at.display()));
    let back = store.import_layout(&at.join("back"), None, &[], &()).unwrap();
    assert_eq!(back.id, pulled.id);
    assert!(store.resolve(&other.with_digest(pushed.digest)).unwrap().is_some());
    sound(&store);
}

#[test]
fn what_docker_saved_uncompressed_is_pushed_compressed_and_pulled_the_same() {
    let Some(registry) = Registry::start(true) else { return };
    let Side { tmp, store } = side();
    let at = tmp.path();
    layout(at, 300_000);
    let at_text = at.display();
    sh(&format!(
        "skopeo copy -q --insecure-policy oci:{at_text}/oci:app docker-archive:{at_text}/app.tar:app:1"
    ));
    store.load(fs::File::open(at.join("app.tar")).unwrap(), &()).unwrap();
    let image = store.find("app:1").unwrap().unwrap();
    let name = registry.name("a/b/c");
    let registries = registry.registries();
    let sent = AtomicU64::new(0);
    let count = |event| {
        if let Event::Sending { total, .. } = event {
            sent.fetch_add(total, Ordering::Relaxed);
        }
    };
    let pushed = store.push(&registries, &image, &name, &count).unwrap();
    assert!(sent.load(Ordering::Relaxed) > 300_000);
    assert_eq!(
        store.push(&registries, &image, &name, &()).unwrap(),
        pushed,
        "compressing gives the same bytes"
    );
    sound(&store);

    let fresh = side();
    let pulled = fresh.store.pull(&registries, &name, &Platform::host(), &()).unwrap();
    assert_eq!((pulled.id, pulled.digest), (image.id, pushed.digest));
    let there = fresh.store.resolve(&name).unwrap().unwrap();
    for (a, b) in there.layers.iter().zip(&image.layers) {
        assert_eq!(tree(a), tree(b));
    }
    let inspected = sh(&format!(
        "skopeo inspect --creds me:secret --cert-dir {}/certs docker://{name}",
        registry.tmp.path().display()
    ));
    assert!(inspected.contains(&pushed.digest.to_string()), "{inspected}");
}

#[test]
fn a_registry_killed_midway_and_started_again_is_gone_on_with() {
    let Some(registry) = Registry::start(true) else { return };
    let Side { tmp, store } = side();
    layout(tmp.path(), 40 << 20);
    let name = registry.name("app");
    sh(&format!(
        "skopeo copy -q {} oci:{}/oci:app docker://{name}",
        registry.skopeo("dest"),
        tmp.path().display()
    ));
    let registries = registry.registries();
    let fetched = AtomicU64::new(0);
    let (running, restarted) = (Mutex::new(Some(registry)), Mutex::new(None));
    let listen = |event| {
        let Event::Fetched { bytes, .. } = event else { return };
        fetched.fetch_add(1, Ordering::Relaxed);
        let mut running = running.lock().unwrap();
        if let Some(mut registry) = running.take_if(|_| bytes > 10 << 20) {
            registry.restart();
            *restarted.lock().unwrap() = Some(registry);
        }
    };
    store.pull(&registries, &name, &Platform::host(), &listen).unwrap();
    assert!(running.lock().unwrap().is_none(), "the registry was killed");
    let events = fetched.load(Ordering::Relaxed);
    assert!(events < 40 * 4 + 40, "what had come was not fetched again: {events} events");
    sound(&store);
}

#[test]
fn a_corrupted_blob_is_refused_and_fetched_again() {
    let Some(registry) = Registry::start(false) else { return };
    let Side { tmp, store } = side();
    layout(tmp.path(), 200_000);
    let name = registry.name("app");
    sh(&format!(
        "skopeo copy -q {} oci:{}/oci:app docker://{name}",
        registry.skopeo("dest"),
        tmp.path().display()
    ));
    let registries = registry.registries();
    let layers = sh(&format!(
        "skopeo inspect --tls-verify=false docker://{name} | grep -o 'sha256:[0-9a-f]*' | tail -3"
    ));
    let layer: Digest = layers.lines().nth(1).unwrap().parse().unwrap();
    let good = fs::read(registry.blob_file(layer)).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(registry.blob_file(layer), &bad).unwrap();
    let error = store.pull(&registries, &name, &Platform::host(), &()).unwrap_err();
    assert!(
        matches!(&error, PullError::Registry(RegistryError::Digest { wanted, .. }) if *wanted == layer),
        "{error:?}"
    );
    assert!(store.resolve(&name).unwrap().is_none());
    sound(&store);

    // Wrong once, as a cache on the way may be: right the second time.
    let tries = AtomicU64::new(0);
    let listen = |event| {
        if matches!(event, Event::Fetching { blob, .. } if blob == layer)
            && tries.fetch_add(1, Ordering::Relaxed) == 1
        {
            fs::write(registry.blob_file(layer), &good).unwrap();
        }
    };
    store.pull(&registries, &name, &Platform::host(), &listen).unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    sound(&store);
}

#[test]
fn faults_are_told_by_what_to_do() {
    let Some(registry) = Registry::start(true) else { return };
    let Side { store, .. } = side();
    let name = registry.name("app");
    let host = name.registry().to_owned();
    let pull = |config| {
        let registries = Registries::new(config).unwrap();
        store.pull(&registries, &name, &Platform::host(), &()).unwrap_err().to_string()
    };
    assert_eq!(pull(registry.config()), format!("registry {host} has no {host}/app:latest"));
    let nobody = RegistryConfig { credentials: Default::default(), ..registry.config() };
    assert_eq!(
        pull(nobody),
        format!("registry {host} wants a login for {host}/app:latest; there are no credentials for it")
    );
    let mut wrong = registry.config();
    wrong
        .credentials
        .insert(host.clone(), Credentials::Password { user: "me".into(), password: "wrong".into() });
    assert_eq!(
        pull(wrong.clone()),
        format!("registry {host} does not accept the credentials for {host}/app:latest")
    );
    assert!(Registries::new(wrong).unwrap().check_login(&host).is_err());
    let untrusting = RegistryConfig { authorities: Vec::new(), ..registry.config() };
    assert_eq!(pull(untrusting), format!("registry {host} can't be reached"));
    let nowhere: Reference = "nowhere.invalid/app".parse().unwrap();
    let error = store.pull(&registry.registries(), &nowhere, &Platform::host(), &()).unwrap_err();
    assert_eq!(error.to_string(), "registry nowhere.invalid can't be reached");
}

#[test]
fn mirrors_are_asked_first_and_the_registry_last() {
    let (Some(origin), Some(mirror)) = (Registry::start(false), Registry::start(false)) else { return };
    let Side { tmp, store } = side();
    layout(tmp.path(), 1000);
    let name = origin.name("app");
    sh(&format!(
        "skopeo copy -q {} oci:{}/oci:app docker://{name}",
        origin.skopeo("dest"),
        tmp.path().display()
    ));
    let mirrors = vec!["127.0.0.1:1".to_owned(), format!("http://127.0.0.1:{}", mirror.port)];
    let config = RegistryConfig {
        mirrors: [(name.registry().to_owned(), mirrors)].into(),
        ..RegistryConfig::default()
    };
    let registries = Registries::new(config).unwrap();
    store.pull(&registries, &name, &Platform::host(), &()).unwrap();
    let only_there = mirror.name("only");
    sh(&format!(
        "skopeo copy -q {} oci:{}/oci:app docker://{only_there}",
        mirror.skopeo("dest"),
        tmp.path().display()
    ));
    store.pull(&registries, &origin.name("only"), &Platform::host(), &()).unwrap();
}

/// A stand-in that answers what the real registry can't be made to say.
fn answers(answers: Vec<String>) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            requests.push(String::from_utf8_lossy(&request).into_owned());
            stream.write_all(answer.replace("PORT", &port.to_string()).as_bytes()).unwrap();
        }
        requests
    };
    (port, std::thread::spawn(serve))
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

#[test]
fn tokens_are_got_for_the_scope_and_rate_limits_explained() {
    let limit = answer(
        "429 Too Many Requests",
        "Retry-After: 3600\r\n",
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#,
    );
    let (port, served) = answers(vec![
        answer(
            "401 Unauthorized",
            "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:PORT/token\",service=\"svc\"\r\n",
            "",
        ),
        answer("200 OK", "", r#"{"access_token":"abc"}"#),
        limit,
    ]);
    let host = format!("127.0.0.1:{port}");
    let credentials = Credentials::Password { user: "me".into(), password: "secret".into() };
    let config = RegistryConfig {
        credentials: [(host.clone(), credentials)].into(),
        plain_http: vec![host.clone()],
        ..RegistryConfig::default()
    };
    let name: Reference = format!("{host}/team/app").parse().unwrap();
    let error =
        side().store.pull(&Registries::new(config).unwrap(), &name, &Platform::host(), &()).unwrap_err();
    let told = format!("registry {host} limits how often it may be asked; it may be asked again in 60 min");
    assert_eq!(error.to_string(), told, "a HEAD request's answer has no text");
    let requests = served.join().unwrap();
    assert!(
        requests[1].starts_with("GET /token?service=svc&scope=repository%3Ateam%2Fapp%3Apull HTTP/1.1\r\n"),
        "{}",
        requests[1]
    );
    assert!(requests[1].to_lowercase().contains("authorization: basic"), "{}", requests[1]);
    assert!(requests[2].contains("Bearer abc"), "{}", requests[2]);
}

#[test]
fn credentials_are_not_sent_where_a_registry_redirects_or_points() {
    let (elsewhere, other) = answers(vec![answer("200 OK", "Docker-Content-Digest: nonsense\r\n", "")]);
    let (port, served) = answers(vec![
        answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", ""),
        answer("307 Temporary Redirect", &format!("Location: http://127.0.0.1:{elsewhere}/x\r\n"), ""),
    ]);
    let host = format!("127.0.0.1:{port}");
    let credentials = Credentials::Password { user: "me".into(), password: "secret".into() };
    let config = RegistryConfig {
        credentials: [(host.clone(), credentials)].into(),
        plain_http: vec![host.clone()],
        ..RegistryConfig::default()
    };
    let name: Reference = format!("{host}/app").parse().unwrap();
    let error =
        side().store.pull(&Registries::new(config).unwrap(), &name, &Platform::host(), &()).unwrap_err();
    assert!(matches!(error, PullError::Registry(RegistryError::BadDigest(_))), "{error:?}");
    assert!(served.join().unwrap()[1].to_lowercase().contains("authorization"));
    assert!(!other.join().unwrap()[0].to_lowercase().contains("authorization"));
}

#[test]
fn a_digest_is_asked_for_without_the_manifest_where_the_registry_says_it() {
    let of = |byte: u8| Digest::of(&[byte]);
    let (port, served) = answers(vec![
        answer("404 Not Found", "", ""),
        answer("200 OK", &format!("Docker-Content-Digest: {}\r\n", of(1)), ""),
        answer("200 OK", "", ""),
        answer("200 OK", "", "\u{2}"),
        answer("404 Not Found", "", ""),
        answer("404 Not Found", "", ""),
    ]);
    let host = format!("127.0.0.1:{port}");
    let mirrors = [(host.clone(), vec![format!("http://127.0.0.1:{port}/")])].into();
    let config = RegistryConfig { plain_http: vec![host.clone()], mirrors, ..RegistryConfig::default() };
    let registries = Registries::new(config).unwrap();
    let name: Reference = format!("{host}/app:1").parse().unwrap();
    assert_eq!(registries.resolve(&name).unwrap(), of(1), "the mirror has none");
    assert_eq!(registries.resolve(&name).unwrap(), of(2), "a manifest without its digest is fetched");
    let error = registries.resolve(&name).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");
    let asked = served.join().unwrap();
    let methods: Vec<&str> = asked.iter().map(|request| request.split(' ').next().unwrap()).collect();
    assert_eq!(methods, ["HEAD", "HEAD", "HEAD", "GET", "HEAD", "HEAD"]);
    assert_eq!(name.pinned(of(1)).to_string(), format!("{host}/app:1@{}", of(1)));
}
