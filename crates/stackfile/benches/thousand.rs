//! Loads and checks a stack of 1,000 services with five overrides: median time and peak memory.
//!
//! With a folder as argument it writes the files there and measures nothing, so that other tools can be run on
//! the same input. The budget: 150 ms and 64 MiB.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use hoist_stackfile::{LowerOptions, MemoryReader, Source, Sources, load, lower};
use std::fmt::Write;
use std::time::{Duration, Instant};

const SERVICES: usize = 1_000;
const OVERRIDES: usize = 5;
const ROUNDS: usize = 11;

fn main() {
    let files = files();
    // Cargo passes `--bench`.
    if let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) {
        for (name, text) in &files {
            std::fs::write(format!("{folder}/{name}"), text).unwrap();
        }
        return;
    }
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    let sources = Sources {
        files: files.into_iter().map(|(name, text)| source(&name, text)).collect(),
        project_dir: "/p".to_owned(),
        name_from_folder: true,
        ..Sources::default()
    };
    let reader = MemoryReader::default();
    let mut loads: Vec<Duration> = Vec::new();
    let mut lowerings: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let loaded = load(&sources, &reader).unwrap();
        loads.push(start.elapsed());
        let start = Instant::now();
        let lowered = lower(&loaded.project, &LowerOptions::default(), &reader).unwrap();
        lowerings.push(start.elapsed());
        assert_eq!(lowered.stack.services.len(), SERVICES);
    }
    println!("input         {} KiB in {} files", bytes >> 10, OVERRIDES + 1);
    println!("load          {:.1?} median", median(&mut loads));
    println!("lower         {:.1?} median", median(&mut lowerings));
    println!("peak memory   {} KiB", peak_kib());
}

fn source(name: &str, text: String) -> Source {
    Source { path: format!("/p/{name}"), text: Some(text) }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn files() -> Vec<(String, String)> {
    let mut base = String::from(
        "x-base: &base\n  restart: unless-stopped\n  logging: {driver: json-file, options: {max-size: 10m}}\n  networks: [back]\nservices:\n",
    );
    for n in 0..SERVICES {
        service(&mut base, n);
    }
    base.push_str("networks: {back: {}}\nvolumes:\n");
    for n in 0..20 {
        writeln!(base, "  data{n}: {{}}").unwrap();
    }
    let mut files = vec![("compose.yaml".to_owned(), base)];
    for n in 0..OVERRIDES {
        let mut text = String::from("services:\n");
        for s in 0..SERVICES {
            writeln!(text, "  svc{s}:\n    environment:\n      OVER{n}: \"{n}\"\n      LEVEL: l{n}\n    labels: [\"o{n}=1\"]").unwrap();
        }
        files.push((format!("over{n}.yaml"), text));
    }
    files
}

fn service(text: &mut String, n: usize) {
    write!(
        text,
        r#"  svc{n}:
    <<: *base
    image: registry.example.com/team/app{n}:${{TAG:-1.0}}
    command: ["serve", "--port", "{port}"]
    environment:
      NAME: svc{n}
      LEVEL: ${{LEVEL:-info}}
      WORKERS: {workers}
    ports:
      - "{published}:80"
    volumes:
      - data{volume}:/data
      - ./conf/{n}:/etc/app:ro
    healthcheck:
      test: ["CMD", "true"]
      interval: 10s
    deploy:
      replicas: {replicas}
      resources:
        limits: {{cpus: "0.5", memory: 64M}}
    labels:
      com.example.index: "{n}"
"#,
        port = 8000 + n,
        workers = n % 7,
        published = 10_000 + n,
        volume = n % 20,
        replicas = 1 + n % 3,
    )
    .unwrap();
    if n > 0 {
        writeln!(text, "    depends_on:\n      svc{}: {{condition: service_started}}", n - 1).unwrap();
    }
}
