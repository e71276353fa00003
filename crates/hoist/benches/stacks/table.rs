//! The table, in Markdown, as docs/benchmarks.md has it.

use std::time::Duration;

pub(super) struct Row {
    pub(super) what: String,
    /// The system calls alone; none where there is nothing to do.
    pub(super) floor: Option<Duration>,
    pub(super) hoist: Duration,
    /// docker-compose; none where Docker can't run.
    pub(super) compose: Option<Duration>,
}

pub(super) fn print(rows: &[Row], rounds: usize) {
    println!("Medians of {rounds} rounds, taken in turns.\n");
    println!("| | system calls alone | hoist | docker-compose | hoist / calls | compose / hoist |");
    println!("|---|---|---|---|---|---|");
    for Row { what, floor, hoist, compose } in rows {
        let over = floor.map_or(String::new(), |floor| ratio(*hoist, floor));
        let under = compose.map_or("skipped".to_owned(), |compose| ratio(compose, *hoist));
        let [floor, compose] = [floor, compose].map(|time| time.map_or(String::new(), text));
        println!("| {what} | {floor} | {} | {compose} | {over} | {under} |", text(*hoist));
    }
}

fn ratio(larger: Duration, smaller: Duration) -> String {
    format!("{:.1}", larger.as_secs_f64() / smaller.as_secs_f64())
}

fn text(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.0} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}
