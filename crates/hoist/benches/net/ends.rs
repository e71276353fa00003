//! The two ends of a way: sleeping instances, found by what they were told, in whose network the machine's programs run.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::sh;

const PATIENCE: Duration = Duration::from_secs(30);

/// How long each sleeps, which tells them apart from everything else.
pub(super) struct Ends {
    pub(super) server: &'static str,
    pub(super) client: &'static str,
}

impl Ends {
    /// The process ids of server and client.
    pub(super) fn processes(&self) -> (u32, u32) {
        (sleeper(self.server), sleeper(self.client))
    }
}

fn sleeper(seconds: &str) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(pid) = find(seconds) {
            return pid;
        }
        assert!(Instant::now() < deadline, "no process sleeps {seconds} s");
        thread::sleep(Duration::from_millis(20));
    }
}

fn find(seconds: &str) -> Option<u32> {
    let wanted = format!("sleep\0{seconds}\0");
    let processes =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes
        .filter(|pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted.as_bytes())
        })
        .max()
}

/// The first IPv4 address that a process's network has beside loopback.
pub(super) fn address_of(pid: u32) -> String {
    sh(&format!(
        "nsenter -t {pid} -n ip -4 -o addr show scope global | awk '{{print $4; exit}}' | cut -d/ -f1"
    ))
}

/// Starts iperf3 and nginx in a process's network; they end with the bench.
pub(super) fn serve(pid: u32, folder: &Path, name: &str) {
    let folder = folder.join(format!("nginx-{name}"));
    fs::create_dir_all(folder.join("logs")).expect("a folder can be made");
    let configuration = format!(
        "user root;\ndaemon off;\nworker_processes 1;\npid {0}/pid;\nerror_log {0}/error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;\n\
         fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
         server {{ listen 8080; location / {{ return 200 \"hello\"; }} }} }}\n",
        folder.display()
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration).expect("a file can be written");
    start(pid, &format!("nginx -c {}", file.display()));
    start(pid, "iperf3 -s -p 5201");
    let listening = format!("nsenter -t {pid} -n ss -Htln | grep -c -e :5201 -e :8080");
    let deadline = Instant::now() + PATIENCE;
    while Command::new("sh").args(["-c", &listening]).output().map_or(true, |output| output.stdout != b"2\n")
    {
        assert!(Instant::now() < deadline, "{name}: the servers don't listen");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What is started so ends with the bench's namespaces, which it doesn't outlive.
fn start(pid: u32, words: &str) {
    sh(&format!("nsenter -t {pid} -n {words} </dev/null >/dev/null 2>&1 &"));
}
