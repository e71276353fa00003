//! A registry's stand-in on loopback, for what a real one can't be made to say.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "test set-up")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use hoist_image::Reference;
use hoist_image::digest::Digest;

/// A request, without its body.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn length(&self) -> u64 {
        self.header("content-length").parse().unwrap_or(0)
    }
}

/// Status with its reason, headers, and a body; its length goes along unless a header says another.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

pub fn answer(status: &'static str) -> Answer {
    Answer { status, ..Answer::default() }
}

impl Answer {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn write(&self, to: &mut impl std::io::Write, head: bool) {
        let mut text = format!("HTTP/1.1 {}\r\nConnection: close\r\n", self.status);
        if !self.headers.iter().any(|(name, _)| *name == "Content-Length") {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        // Who hung up has heard enough.
        let _ = to.write_all(text.as_bytes());
        if !head {
            let _ = to.write_all(&self.body);
        }
    }
}

/// A server that answers as a function says; without an answer it hangs up.
#[derive(Clone)]
pub struct StandIn {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    pub fn start(handle: impl Fn(&Asked, &mut dyn Read) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let (handle, noted) = (Arc::new(handle), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (handle, noted) = (Arc::clone(&handle), Arc::clone(&noted));
                std::thread::spawn(move || one(&stream.unwrap(), &*handle, &noted));
            }
        });
        Self { port, asked }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn name(&self, name: &str) -> Reference {
        format!("{}/{name}", self.host()).parse().unwrap()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn one(
    mut stream: &TcpStream,
    handle: &dyn Fn(&Asked, &mut dyn Read) -> Option<Answer>,
    noted: &Mutex<Vec<Asked>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap_or("").to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let asked = Asked { method, path, headers };
    noted.lock().unwrap().push(asked.clone());
    let mut body = (&mut reader).take(asked.length());
    let answer = handle(&asked, &mut body);
    if let Some(answer) = answer {
        // What was not read would reset the connection under the answer.
        let _ = std::io::copy(&mut body, &mut std::io::sink());
        answer.write(&mut stream, asked.method == "HEAD");
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// An image without layers, as a registry serves it: manifest and configuration.
pub struct Small {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

impl Small {
    /// With these layers, each an uncompressed tar archive.
    pub fn of(architecture: &str, layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = serde_json::json!({ "architecture": architecture, "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let config = config.to_string().into_bytes();
        let blob = |kind: &str, bytes: &[u8]| serde_json::json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() });
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let listed: Vec<_> = layers.iter().map(|layer| blob(kind, layer)).collect();
        let manifest = serde_json::json!({ "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("application/vnd.oci.image.config.v1+json", &config), "layers": listed });
        Self { manifest: manifest.to_string().into_bytes(), config, layers: layers.to_vec() }
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// What a registry with this image answers, under any name.
    pub fn answer(&self, asked: &Asked) -> Answer {
        let last = asked.path.rsplit('/').next().unwrap_or("");
        if asked.path == "/v2/" {
            return answer("200 OK");
        }
        if asked.path.contains("/manifests/") {
            if last.starts_with("sha256:") && last != self.digest().to_string() {
                return answer("404 Not Found");
            }
            return answer("200 OK")
                .with("Docker-Content-Digest", self.digest().to_string())
                .with("Content-Type", "application/vnd.oci.image.manifest.v1+json")
                .body(self.manifest.clone());
        }
        let blobs = self.layers.iter().chain([&self.config]);
        let found = blobs.into_iter().find(|blob| Digest::of(blob).to_string() == last);
        found.map_or_else(|| answer("404 Not Found"), |blob| answer("200 OK").body(blob.clone()))
    }
}
