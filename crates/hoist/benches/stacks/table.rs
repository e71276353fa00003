//! The tables, in Markdown, as docs/benchmarks.md has them.

use std::time::Duration;

use super::rounds::{Rounds, Row, Who};

const ROWS: [(Row, &str); 9] = [
    (Row::Cold, "100 services, up, cold"),
    (Row::Nothing, "100 services, up, nothing to do"),
    (Row::Down, "100 services, down"),
    (Row::AfterDown, "100 services, up right after that"),
    (Row::Warm, "100 services, up, warm"),
    (Row::TreeUp, "100 services that depend on each other, up, warm"),
    (Row::TreeDown, "100 services that depend on each other, down"),
    (Row::ManyUp, "500 services, up, warm"),
    (Row::ManyDown, "500 services, down"),
];

pub(super) fn print(rounds: &Rounds, number: usize) {
    println!("Medians of {number} rounds, taken in turns.\n");
    println!(
        "| | system calls alone | hoist | compose 1.29 | compose 2.31 | hoist / calls | 1.29 / hoist | 2.31 / hoist |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (row, what) in ROWS {
        let of = |who| rounds.median(row, who);
        let times = [Who::Calls, Who::Hoist, Who::Compose1, Who::Compose2].map(|who| text(of(who)));
        let over = ratio(of(Who::Hoist), of(Who::Calls));
        let under = [Who::Compose1, Who::Compose2].map(|who| ratio(of(who), of(Who::Hoist)));
        println!("| {what} | {} | {over} | {} |", times.join(" | "), under.join(" | "));
    }
    let many = ratio(rounds.median(Row::ManyUp, Who::Hoist), rounds.median(Row::Warm, Who::Hoist));
    println!("\n500 services, up, warm, to 100: {many}");
    daemons(rounds);
}

fn daemons(rounds: &Rounds) {
    println!("\nWith 100 instances:\n\n| | resident | its share | threads |\n|---|---|---|---|");
    for (name, usage) in rounds.daemons.iter().flat_map(|daemons| &daemons.0) {
        let [resident, share] = [usage.resident, usage.proportional].map(|kib| kib as f64 / 1024.0);
        println!("| {name} | {resident:.1} MiB | {share:.1} MiB | {} |", usage.threads);
    }
    println!("\nThreads of the agent while 500 services come up, at most: {}", rounds.threads);
}

fn ratio(larger: Option<Duration>, smaller: Option<Duration>) -> String {
    let of = |(larger, smaller): (Duration, Duration)| {
        format!("{:.1}", larger.as_secs_f64() / smaller.as_secs_f64())
    };
    larger.zip(smaller).map(of).unwrap_or_default()
}

fn text(time: Option<Duration>) -> String {
    match time {
        None => String::new(),
        Some(time) if time < Duration::from_secs(1) => format!("{:.0} ms", time.as_secs_f64() * 1000.0),
        Some(time) => format!("{:.2} s", time.as_secs_f64()),
    }
}
