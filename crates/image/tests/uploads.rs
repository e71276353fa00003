//! Pushes that break on their way go on, and what a registry has already is not sent.

#![allow(clippy::unwrap_used, reason = "test set-up")]

#[path = "support/registry.rs"]
mod server;
#[path = "support/stand_in.rs"]
mod stand_in;
mod support;

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hoist_image::Store;
use hoist_image::digest::Digest;
use hoist_image::platform::Platform;
use hoist_image::progress::Event;
use hoist_image::registry::{PushError, Registries, RegistryConfig, RegistryError};
use server::{Registry, layout};
use stand_in::{Answer, Asked, StandIn, answer};
use support::{have, sh};

const MIB: u64 = 1 << 20;

/// A store with an image `app` whose middle layer has `size` bytes that don't compress.
fn stored(at: &Path, size: u64) -> Store {
    layout(at, size);
    let store = Store::open(&at.join("store")).unwrap();
    store.import_layout(&at.join("oci"), Some("app"), &["app:1".parse().unwrap()], &()).unwrap();
    store
}

/// What a store has of an image after it was pulled anew is what was pushed.
fn pulls_the_same(registries: &Registries, name: &hoist_image::Reference, digest: Digest) {
    let tmp = tempfile::tempdir().unwrap();
    let fresh = Store::open(tmp.path()).unwrap();
    let pulled = fresh.pull(registries, name, &Platform::host(), &()).unwrap();
    assert_eq!(pulled.digest, digest);
    assert!(fresh.verify().unwrap().is_empty());
}

#[test]
fn a_registry_killed_in_the_middle_of_a_blob_gets_it_after_it_is_back() {
    let Some(registry) = Registry::start(true) else { return };
    let tmp = tempfile::tempdir().unwrap();
    let store = stored(tmp.path(), 40 * MIB);
    let image = store.find("app:1").unwrap().unwrap();
    let (registries, name) = (registry.registries(), registry.name("team/app:1"));
    let (registry, kills, sent_again) = (Mutex::new(registry), AtomicUsize::new(0), AtomicU64::new(0));
    let ends = AtomicUsize::new(0);
    let listen = |event| {
        let Event::Sent { bytes, .. } = event else { return };
        match kills.load(Ordering::SeqCst) {
            // In the middle: this registry forgets what it had of a request that broke, and gets pieces then.
            0 if bytes > 20 * MIB => {}
            // At the end of a piece, told once as it was read and once as it was taken: that it keeps.
            1 if bytes == 16 * MIB && ends.fetch_add(1, Ordering::SeqCst) == 1 => {}
            2 => {
                // The big blob alone is so far.
                if bytes > 2 * MIB && bytes < 16 * MIB {
                    sent_again.fetch_add(1, Ordering::SeqCst);
                }
                return;
            }
            _ => return,
        }
        kills.fetch_add(1, Ordering::SeqCst);
        registry.lock().unwrap().restart();
    };
    let pushed = store.push(&registries, &image, &name, &listen).unwrap();
    assert_eq!(kills.load(Ordering::SeqCst), 2, "it was killed twice");
    assert_eq!(sent_again.load(Ordering::SeqCst), 0, "what it had was not sent again");
    pulls_the_same(&registries, &name, pushed.digest);
}

/// Passes connections on to `to`, and cuts each after so many bytes that came in.
fn cutting_proxy(to: u16, most: u64) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, cuts) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&cuts);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, counted) = (client.unwrap(), Arc::clone(&counted));
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || io::copy(&mut answers, &mut back));
            std::thread::spawn(move || {
                let passed = io::copy(&mut (&client).take(most), &mut (&server)).unwrap_or(0);
                counted.fetch_add(usize::from(passed == most), Ordering::SeqCst);
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            });
        }
    });
    (port, cuts)
}

#[test]
fn a_line_that_is_cut_again_and_again_carries_a_large_blob_in_pieces() {
    let Some(registry) = Registry::start(false) else { return };
    let tmp = tempfile::tempdir().unwrap();
    let store = stored(tmp.path(), 40 * MIB);
    let image = store.find("app:1").unwrap().unwrap();
    let (port, cuts) = cutting_proxy(registry.port, 12 * MIB);
    let name = format!("localhost:{port}/app:1").parse().unwrap();
    let registries = Registries::new(RegistryConfig::default()).unwrap();
    let pushed = store.push(&registries, &image, &name, &()).unwrap();
    assert!(cuts.load(Ordering::SeqCst) > 0, "the line was cut");
    pulls_the_same(
        &Registries::new(RegistryConfig::default()).unwrap(),
        &registry.name("app:1"),
        pushed.digest,
    );
}

/// Uploads as the distribution specification has them: what came before a break is kept.
#[derive(Default)]
struct Uploading {
    /// Bytes of each upload, by its number.
    parts: Mutex<HashMap<usize, Vec<u8>>>,
    blobs: Mutex<HashMap<String, Vec<u8>>>,
    next: AtomicUsize,
    /// Body bytes that came in, whatever became of them.
    received: AtomicU64,
    breaks: AtomicUsize,
}

impl Uploading {
    fn handle(&self, asked: &Asked, body: &mut dyn Read) -> Option<Answer> {
        let last = asked.path.rsplit('/').next().unwrap().to_owned();
        let (id, query) = last.split_once('?').unwrap_or((&last, ""));
        match &asked.method[..] {
            "HEAD" if self.blobs.lock().unwrap().contains_key(&last) => Some(answer("200 OK")),
            "HEAD" => Some(answer("404 Not Found")),
            "POST" => {
                let id = self.next.fetch_add(1, Ordering::SeqCst);
                self.parts.lock().unwrap().insert(id, Vec::new());
                Some(answer("202 Accepted").with("Location", format!("/v2/app/blobs/uploads/{id}")))
            }
            "PUT" if asked.path.contains("/manifests/") => Some(answer("201 Created")),
            "GET" if asked.path == "/v2/" => Some(answer("200 OK")),
            "GET" => Some(self.told(id, "204 No Content")),
            "PATCH" | "PUT" => self.take(asked, id, query, body),
            _ => Some(answer("404 Not Found")),
        }
    }

    fn told(&self, id: &str, status: &'static str) -> Answer {
        let had = self.parts.lock().unwrap()[&id.parse().unwrap()].len();
        let location = format!("/v2/app/blobs/uploads/{id}");
        answer(status).with("Location", location).with("Range", format!("0-{}", had.saturating_sub(1)))
    }

    fn take(&self, asked: &Asked, id: &str, query: &str, body: &mut dyn Read) -> Option<Answer> {
        let number: usize = id.parse().unwrap();
        let had = self.parts.lock().unwrap()[&number].len();
        let range = asked.header("content-range");
        if !range.is_empty() && range.split('-').next() != Some(&had.to_string()) {
            return Some(self.told(id, "416 Range Not Satisfiable"));
        }
        // Big requests break twice.
        let breaks = asked.length() > 4 * MIB && self.breaks.fetch_add(1, Ordering::SeqCst) < 2;
        let mut bytes = Vec::new();
        body.take(if breaks { 3 * MIB } else { u64::MAX }).read_to_end(&mut bytes).unwrap();
        self.received.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        self.parts.lock().unwrap().get_mut(&number).unwrap().extend(&bytes);
        if breaks {
            return None;
        }
        let Some(digest) = query.strip_prefix("digest=") else { return Some(self.told(id, "202 Accepted")) };
        let whole = self.parts.lock().unwrap().remove(&number).unwrap();
        let digest = digest.replace("%3A", ":");
        assert_eq!(Digest::of(&whole).to_string(), digest, "what was put together is the blob");
        self.blobs.lock().unwrap().insert(digest, whole);
        Some(answer("201 Created"))
    }
}

#[test]
fn what_a_registry_kept_of_a_broken_upload_is_not_sent_again() {
    if !have("uploads", "umoci") {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let store = stored(tmp.path(), 20 * MIB);
    let image = store.find("app:1").unwrap().unwrap();
    let uploading = Arc::new(Uploading::default());
    let handle = Arc::clone(&uploading);
    let registry = StandIn::start(move |asked, body| handle.handle(asked, body));
    let config = RegistryConfig { plain_http: vec![registry.host()], ..RegistryConfig::default() };
    let registries = Registries::new(config).unwrap();
    store.push(&registries, &image, &registry.name("app:1"), &()).unwrap();
    assert!(uploading.breaks.load(Ordering::SeqCst) > 2, "two requests broke");
    let whole: usize = uploading.blobs.lock().unwrap().values().map(Vec::len).sum();
    assert!(whole as u64 > 20 * MIB);
    assert_eq!(uploading.received.load(Ordering::SeqCst), whole as u64, "each byte came once");

    // All of it is there now: the next push asks, and sends the manifest alone.
    let before = registry.asked().len();
    store.push(&registries, &image, &registry.name("app:2"), &()).unwrap();
    let methods: Vec<String> = registry.asked()[before..].iter().map(|asked| asked.method.clone()).collect();
    assert!(methods.iter().all(|method| method == "HEAD" || method == "PUT"), "{methods:?}");
    assert_eq!(methods.iter().filter(|method| *method == "PUT").count(), 1);
}

#[test]
fn a_registry_that_refuses_for_good_is_not_asked_again() {
    if !have("uploads", "umoci") {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let store = stored(tmp.path(), 2 * MIB);
    let image = store.find("app:1").unwrap().unwrap();
    let registry = StandIn::start(|asked, _| {
        Some(match &asked.method[..] {
            "POST" => answer("403 Forbidden")
                .body(r#"{"errors":[{"code":"DENIED","message":"requested access is denied"}]}"#),
            "HEAD" => answer("404 Not Found"),
            _ => answer("200 OK"),
        })
    });
    let config = RegistryConfig { plain_http: vec![registry.host()], ..RegistryConfig::default() };
    let registries = Registries::new(config).unwrap();
    let error = store.push(&registries, &image, &registry.name("app:1"), &()).unwrap_err();
    assert!(
        matches!(&error, PushError::Registry(RegistryError::Denied { message, .. }) if message.contains("denied")),
        "{error:?}"
    );
    let posts = registry.asked().iter().filter(|asked| asked.method == "POST").count();
    assert!(posts <= 3, "once for each blob under way: {posts}");
}

#[test]
fn layers_of_a_base_are_taken_over_from_its_repository() {
    let Some(registry) = Registry::start(true) else { return };
    let tmp = tempfile::tempdir().unwrap();
    let at = tmp.path();
    layout(at, 3 * MIB);
    let (base, registries) = (registry.name("team/base:1"), registry.registries());
    sh(&format!("skopeo copy -q {} oci:{}/oci:app docker://{base}", registry.skopeo("dest"), at.display()));
    let store = Store::open(&at.join("store")).unwrap();
    store.pull(&registries, &base, &Platform::host(), &()).unwrap();
    sh(&format!(
        "cd {}; echo own > own; umoci tag --image oci:app derived; umoci insert --image oci:derived own /own",
        at.display()
    ));
    store.import_layout(&at.join("oci"), Some("derived"), &["derived".parse().unwrap()], &()).unwrap();
    let image = store.find("derived").unwrap().unwrap();
    let events = Mutex::new(Vec::new());
    let listen = |event| events.lock().unwrap().push(event);
    let name = registry.name("other/derived:1");
    let pushed = store.push(&registries, &image, &name, &listen).unwrap();
    let events = events.into_inner().unwrap();
    let sizes: Vec<u64> = events
        .iter()
        .filter_map(|event| if let Event::Sending { total, .. } = event { Some(*total) } else { None })
        .collect();
    assert_eq!(sizes.len(), 2, "its own layer and its configuration: {events:?}");
    assert!(sizes.iter().all(|size| *size < 100_000), "{sizes:?}");
    pulls_the_same(&registries, &name, pushed.digest);
}
