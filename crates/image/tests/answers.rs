//! What registries, mirrors, proxies and token servers answer, odd and hostile answers included, and what comes of it.

#![allow(clippy::unwrap_used, reason = "test set-up")]

#[path = "support/stand_in.rs"]
mod stand_in;
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hoist_image::digest::Digest;
use hoist_image::platform::Platform;
use hoist_image::registry::{Credentials, PullError, Pulled, Registries, RegistryConfig};
use hoist_image::{Reference, Store};
use serde_json::json;
use stand_in::{Answer, Asked, Small, StandIn, answer};
use support::{archive, chain, file};

fn small() -> Small {
    let architecture = Platform::host().architecture;
    Small::of(&architecture, &[archive(&[file("a", "content")]), archive(&[file("b", "more")])])
}

fn config(registry: &StandIn) -> RegistryConfig {
    RegistryConfig { plain_http: vec![registry.host()], ..RegistryConfig::default() }
}

fn pull_as(config: RegistryConfig, name: &Reference, platform: &Platform) -> Result<Pulled, PullError> {
    let tmp = tempfile::tempdir().unwrap();
    let store = Store::open(tmp.path()).unwrap();
    let pulled = store.pull(&Registries::new(config).unwrap(), name, platform, &());
    assert!(store.verify().unwrap().is_empty());
    assert_eq!(store.list().unwrap().len(), usize::from(pulled.is_ok()), "nothing is kept of a failure");
    pulled
}

fn pull(config: RegistryConfig, name: &Reference) -> Result<Pulled, PullError> {
    pull_as(config, name, &Platform::host())
}

fn bearer(port: u16) -> Answer {
    let challenge = format!(r#"Bearer realm="http://127.0.0.1:{port}/token",service="svc""#);
    answer("401 Unauthorized").with("WWW-Authenticate", challenge)
}

/// A registry that wants tokens; each is good for three requests.
fn with_tokens(
    accepts: impl Fn(&Asked, &str) -> bool + Send + Sync + 'static,
) -> (StandIn, Arc<AtomicUsize>) {
    let image = Small::of(&Platform::host().architecture, &[archive(&[file("a", "content")])]);
    let (given, used) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let tokens = Arc::clone(&given);
    let registry = StandIn::start(move |asked, body| {
        let mut text = String::new();
        body.read_to_string(&mut text).unwrap();
        if asked.path.starts_with("/token") {
            if !accepts(asked, &text) {
                return Some(answer("401 Unauthorized").body(r#"{"details":"who are you"}"#));
            }
            used.store(0, Ordering::SeqCst);
            let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
            return Some(answer("200 OK").body(json!({ "token": format!("t{number}") }).to_string()));
        }
        let current = format!("Bearer t{}", tokens.load(Ordering::SeqCst));
        let good = asked.header("authorization") == current && used.fetch_add(1, Ordering::SeqCst) < 3;
        let port = asked.header("host").rsplit(':').next().unwrap().parse().unwrap();
        Some(if good { image.answer(asked) } else { bearer(port) })
    });
    (registry, given)
}

#[test]
fn tokens_are_got_by_password_or_identity_and_again_when_they_run_out() {
    let (registry, given) = with_tokens(|asked, _| {
        asked.method == "GET" && asked.header("authorization") == "Basic bWU6c2VjcmV0"
    });
    let with = |credentials: Option<Credentials>| RegistryConfig {
        credentials: credentials.map(|credentials| (registry.host(), credentials)).into_iter().collect(),
        ..config(&registry)
    };
    let password = |password: &str| Credentials::Password { user: "me".into(), password: password.into() };
    pull(with(Some(password("secret"))), &registry.name("team/app")).unwrap();
    assert!(given.load(Ordering::SeqCst) > 1, "the first one ran out");
    let wrong = pull(with(Some(password("wrong"))), &registry.name("team/app")).unwrap_err().to_string();
    assert!(wrong.contains("does not accept the credentials") && wrong.ends_with("who are you"), "{wrong}");
    let nobody = pull(with(None), &registry.name("team/app")).unwrap_err().to_string();
    assert!(nobody.contains("wants a login for repository:team/app:pull"), "{nobody}");

    let (registry, _) = with_tokens(|asked, form| {
        let scope = "scope=repository%3Ateam%2Fapp%3Apull";
        asked.method == "POST"
            && form.contains("grant_type=refresh_token")
            && form.contains("refresh_token=id%2Fentity")
            && form.contains(scope)
            && form.contains("service=svc")
    });
    let credentials = [(registry.host(), Credentials::Identity("id/entity".into()))].into();
    pull(RegistryConfig { credentials, ..config(&registry) }, &registry.name("team/app")).unwrap();
}

#[test]
fn a_rate_limit_is_waited_for_when_it_is_short_and_explained_when_it_is_not() {
    let (image, asked_before) = (small(), AtomicUsize::new(0));
    let registry = StandIn::start(move |asked, _| {
        let first = asked.path.contains("/blobs/") && asked_before.fetch_add(1, Ordering::SeqCst) == 0;
        Some(if first {
            answer("429 Too Many Requests").with("Retry-After", "1")
        } else {
            image.answer(asked)
        })
    });
    let began = std::time::Instant::now();
    pull(config(&registry), &registry.name("app")).unwrap();
    assert!(began.elapsed().as_secs_f32() >= 1.0);

    let message = "You have reached your unauthenticated pull rate limit.";
    let told = |answered: Answer, login: bool| {
        let image = small();
        let registry = StandIn::start(move |asked, _| {
            let limited = asked.path.contains("/manifests/") && asked.method == "GET";
            Some(if limited { answered.clone() } else { image.answer(asked) })
        });
        let secret = Credentials::Password { user: "me".into(), password: "secret".into() };
        let credentials = login.then(|| (registry.host(), secret)).into_iter().collect();
        let config = RegistryConfig { credentials, ..config(&registry) };
        pull(config, &registry.name("app")).unwrap_err().to_string().replace(&registry.host(), "HOST")
    };
    let hub = answer("429 Too Many Requests")
        .with("RateLimit-Limit", "100;w=21600")
        .body(json!({"errors": [{"code": "TOOMANYREQUESTS", "message": message}]}).to_string());
    let limits = "registry HOST limits how often it may be asked";
    assert_eq!(
        told(hub, false),
        format!("{limits}; it may be asked again in 6 h, or sooner after a login: {message}")
    );
    let plain = answer("429 Too Many Requests").body(format!("toomanyrequests: {message}\n"));
    assert_eq!(
        told(plain.clone(), false),
        format!("{limits}; a login usually raises the limit: toomanyrequests: {message}")
    );
    let later = plain.with("Retry-After", "3600");
    assert_eq!(
        told(later, true),
        format!("{limits}; it may be asked again in 60 min: toomanyrequests: {message}")
    );
}

#[test]
fn a_mirror_that_lies_about_content_is_passed_over() {
    let image = small();
    let digest = image.digest();
    let registry = StandIn::start(move |asked, _| Some(image.answer(asked)));
    // Blobs of the right length, with other content.
    let image = small();
    let blobs = StandIn::start(move |asked, _| {
        let mut answered = image.answer(asked);
        if asked.path.contains("/blobs/") {
            answered.body.iter_mut().for_each(|byte| *byte ^= 1);
        }
        Some(answered)
    });
    // Another manifest than the digest that was asked for.
    let other = Small::of("amd64", &[]);
    let manifests = StandIn::start(move |_, _| {
        let answered = answer("200 OK").with("Docker-Content-Digest", other.digest().to_string());
        Some(answered.body(other.manifest.clone()))
    });
    let lacking = StandIn::start(|_, _| Some(answer("404 Not Found")));
    let failing = StandIn::start(|_, _| Some(answer("403 Forbidden")));
    let mirrors = |of: &[&StandIn]| RegistryConfig {
        mirrors: [(registry.host(), of.iter().map(|mirror| format!("http://{}", mirror.host())).collect())]
            .into(),
        ..config(&registry)
    };
    let name = registry.name("app:1");
    assert_eq!(pull(mirrors(&[&lacking, &failing, &blobs]), &name).unwrap().digest, digest);
    let order = |mirror: &StandIn| mirror.asked().len();
    assert!(
        order(&lacking) == 1 && order(&failing) == 1 && order(&blobs) > 2,
        "each was asked, in this order"
    );
    let pinned = name.with_digest(digest);
    assert_eq!(pull(mirrors(&[&manifests]), &pinned).unwrap().digest, digest);
    assert!(order(&manifests) > 0);
    // No manifest at all, and one for other machines alone.
    let page = StandIn::start(|_, _| Some(answer("200 OK").body(b"<html>welcome</html>".to_vec())));
    let foreign = Small::of("s390x", &[]);
    let foreign = StandIn::start(move |asked, _| Some(foreign.answer(asked)));
    assert_eq!(pull(mirrors(&[&page, &foreign]), &pinned).unwrap().digest, digest);
    assert_eq!(pull(mirrors(&[&page]), &name).unwrap().digest, digest);
    assert!(order(&page) > 1 && order(&foreign) > 0);
}

/// A proxy that goes nowhere, and says what it was asked for.
fn dead_proxy() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            noted.lock().unwrap().push(line.trim().to_owned());
            let _ =
                stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (port, asked)
}

#[test]
fn a_proxy_is_left_out_for_names_suffixes_and_networks() {
    let image = small();
    let registry = StandIn::start(move |asked, _| Some(image.answer(asked)));
    let (port, asked) = dead_proxy();
    let with = |name: &str, list: &str| {
        let name: Reference = format!("{name}:{}/app", registry.port).parse().unwrap();
        let config = RegistryConfig {
            proxy: Some(format!("http://127.0.0.1:{port}")),
            no_proxy: Some(list.to_owned()),
            plain_http: vec![name.registry().to_owned()],
            ..RegistryConfig::default()
        };
        asked.lock().unwrap().clear();
        let pulled = pull(config, &name);
        (pulled.is_ok(), asked.lock().unwrap().clone())
    };
    for (name, list) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.0/8,127.0.0.0/8"),
        ("a.b.localhost", "x.example, .localhost"),
        ("a.b.localhost", "b.localhost"),
        ("localhost", "*"),
    ] {
        assert_eq!(with(name, list), (true, Vec::new()), "{name} with {list}");
    }
    let (pulled, asked) = with("127.0.0.1", "10.0.0.0/8");
    assert!(!pulled && asked[0].starts_with(&format!("CONNECT 127.0.0.1:{}", registry.port)), "{asked:?}");
}

#[test]
fn an_index_gives_what_runs_here_and_says_what_else_there_is() {
    let images: Vec<Small> = ["v5", "v6"].iter().map(|_| Small::of("arm", &[])).collect();
    let old = Small::of("arm", &[archive(&[file("old", "")])]);
    let other = Small::of("s390x", &[]);
    let entry = |image: &Small, platform: serde_json::Value| {
        json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image.digest().to_string(),
            "size": image.manifest.len(), "platform": platform })
    };
    let mut attestation = entry(&other, json!({ "os": "unknown", "architecture": "unknown" }));
    attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let bare = entry(&other, json!({ "os": "unknown", "architecture": "unknown" }));
    let arm = |image, variant: &str| {
        entry(image, json!({ "os": "linux", "architecture": "arm", "variant": variant }))
    };
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [attestation, bare, arm(&old, "v5"), arm(&images[0], "v6")] });
    let index = index.to_string().into_bytes();
    let digest = Digest::of(&index);
    let wanted = images[0].digest();
    let registry = StandIn::start(move |asked, _| {
        if asked.path.ends_with("/manifests/1") || asked.path.ends_with(&digest.to_string()) {
            let answered = answer("200 OK").with("Docker-Content-Digest", digest.to_string());
            return Some(answered.body(index.clone()));
        }
        let all = [&images[0], &old, &other];
        Some(
            all.iter()
                .map(|image| image.answer(asked))
                .find(|found| found.status == "200 OK")
                .unwrap_or(answer("404 Not Found")),
        )
    });
    let of = |platform: &str| pull_as(config(&registry), &registry.name("app:1"), &platform.parse().unwrap());
    assert_eq!(of("linux/arm/v7").unwrap().digest, digest);
    let asked =
        |digest: Digest| registry.asked().iter().any(|asked| asked.path.ends_with(&digest.to_string()));
    assert!(asked(wanted), "v6 is nearest to v7");
    let name = registry.name("app:1").familiar();
    assert_eq!(
        of("linux/amd64").unwrap_err().to_string(),
        format!("{name} is not there for linux/amd64, only for linux/arm/v5, linux/arm/v6")
    );
    assert!(of("unknown/unknown").is_err() || !asked(other_digest()), "an attestation is not an image");
}

fn other_digest() -> Digest {
    Small::of("s390x", &[]).digest()
}

#[test]
fn a_manifest_of_old_docker_or_of_no_image_is_refused_in_words() {
    let told = |kind: &'static str, body: String| {
        let registry = StandIn::start(move |_, _| {
            let digest = Digest::of(body.as_bytes()).to_string();
            Some(
                answer("200 OK")
                    .with("Docker-Content-Digest", digest)
                    .with("Content-Type", kind)
                    .body(body.clone()),
            )
        });
        chain(&pull(config(&registry), &registry.name("old:1")).unwrap_err())
    };
    let schema1 = json!({ "schemaVersion": 1, "name": "old", "tag": "1", "fsLayers": [], "history": [] });
    let old = told("application/vnd.docker.distribution.manifest.v1+prettyjws", schema1.to_string());
    assert!(old.ends_with("images of Docker before 1.10 are not supported"), "{old}");
    let page = told("text/html", "<html>a login page</html>".to_owned());
    assert!(page.contains("it is not valid JSON of a manifest or index"), "{page}");
    let digest = Digest::of(b"").to_string();
    let chart = json!({ "schemaVersion": 2, "layers": [],
        "config": { "mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest, "size": 1 } });
    assert!(told("x", chart.to_string()).contains("not a container image"));
}

#[test]
fn blobs_are_fetched_where_a_registry_redirects_without_its_credentials() {
    let image = small();
    let storage = StandIn::start(move |asked, _| Some(image.answer(asked)));
    let (image, elsewhere) = (small(), storage.port);
    let registry = StandIn::start(move |asked, _| {
        if asked.header("authorization") != "Basic bWU6c2VjcmV0" {
            return Some(answer("401 Unauthorized").with("WWW-Authenticate", "Basic realm=\"x\""));
        }
        if asked.path.contains("/blobs/") {
            let to = format!("http://127.0.0.1:{elsewhere}{}", asked.path);
            return Some(answer("307 Temporary Redirect").with("Location", to));
        }
        Some(image.answer(asked))
    });
    let secret = Credentials::Password { user: "me".into(), password: "secret".into() };
    let credentials = [(registry.host(), secret)].into();
    pull(RegistryConfig { credentials, ..config(&registry) }, &registry.name("app")).unwrap();
    assert_eq!(storage.asked().len(), 3, "two layers and the configuration");
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_empty()));
}

#[test]
fn lengths_that_lie_end_in_an_error_and_not_in_waiting_or_a_full_memory() {
    let told = |lie: fn(&Asked, Answer) -> Answer| {
        let image = small();
        let registry = StandIn::start(move |asked, _| Some(lie(asked, image.answer(asked))));
        let pulled = pull(config(&registry), &registry.name("app"));
        pulled.map_err(|error| chain(&error).replace(&registry.host(), "HOST"))
    };
    let longer = told(|asked, answered| match asked.path.contains("/blobs/") {
        true => Answer { body: [&answered.body[..], &[0; 4096]].concat(), ..answered },
        false => answered,
    });
    assert!(longer.is_ok(), "what is too much is not read: {longer:?}");
    let shorter = told(|asked, mut answered| {
        if asked.path.contains("/blobs/") {
            answered.body.truncate(100);
        }
        answered
    });
    assert!(shorter.unwrap_err().contains("only in part"));
    let promised = told(|asked, answered| match asked.path.contains("/blobs/") {
        true => answered.with("Content-Length", "1099511627776"),
        false => answered,
    });
    assert!(promised.is_ok(), "the manifest says how long it is: {promised:?}");
    let huge = told(|asked, answered| match asked.path.contains("/manifests/") && asked.method == "GET" {
        true => Answer { body: vec![b' '; 9 << 20], ..answered },
        false => answered,
    });
    assert_eq!(
        huge.unwrap_err(),
        "registry HOST answered in a way that makes no sense: what it has as a manifest is far too long"
    );
}

#[test]
fn short_names_ask_docker_hub_and_whole_ones_their_registry() {
    let image = small();
    let digest = image.digest();
    let registry = StandIn::start(move |asked, _| Some(image.answer(asked)));
    let mirror = vec![format!("http://{}", registry.host())];
    let pinned = format!("ubuntu:14.04@{digest}");
    for (name, path) in [
        ("ubuntu", "/v2/library/ubuntu/manifests/latest".to_owned()),
        ("docker.io/library/ubuntu:14.04", "/v2/library/ubuntu/manifests/14.04".to_owned()),
        ("index.docker.io/ubuntu:14.04", "/v2/library/ubuntu/manifests/14.04".to_owned()),
        ("user/app", "/v2/user/app/manifests/latest".to_owned()),
        (&pinned, format!("/v2/library/ubuntu/manifests/{digest}")),
    ] {
        let before = registry.asked().len();
        let mirrors = [("docker.io".to_owned(), mirror.clone())].into();
        pull(RegistryConfig { mirrors, ..RegistryConfig::default() }, &name.parse().unwrap()).unwrap();
        assert_eq!(registry.asked()[before].path, path, "{name}");
    }
    for host in ["localhost", "127.0.0.1"] {
        let name: Reference = format!("{host}:{}/app", registry.port).parse().unwrap();
        pull(RegistryConfig::default(), &name).unwrap();
    }
}
