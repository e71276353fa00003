//! The table, in Markdown, as docs/benchmarks.md has it.

use std::time::Duration;

pub(super) struct Row {
    pub(super) what: String,
    pub(super) hoist: Duration,
    pub(super) peer: Option<Duration>,
}

pub(super) fn print(rows: &[Row], rounds: usize) {
    println!("Medians of {rounds} rounds.\n");
    println!("| what | hoist | docker-compose | ratio |");
    println!("|---|---|---|---|");
    for row in rows {
        let (peer, ratio) = match row.peer {
            Some(peer) => (text(peer), format!("{:.1}", peer.as_secs_f64() / row.hoist.as_secs_f64())),
            None => ("skipped".to_owned(), String::new()),
        };
        println!("| {} | {} | {peer} | {ratio} |", row.what, text(row.hoist));
    }
}

fn text(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.0} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}
