//! The files: a base and overrides, as people with large stacks have them.

use std::fmt::Write;

pub(crate) const SERVICES: usize = 1_000;
pub(crate) const OVERRIDES: usize = 5;

/// Names and texts, the base first.
pub(crate) fn files() -> Vec<(String, String)> {
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
        writeln!(text, "    depends_on:\n      svc{}: {{condition: service_started}}", n / 10).unwrap();
    }
}
