//! The table, in Markdown.

use std::time::Duration;

use crate::image::Images;
use crate::peers::Measured;

pub(crate) fn print(
    images: &Images,
    floors: &[Duration],
    ours: &[Measured],
    peers: &[(&str, Vec<Measured>)],
    rounds: usize,
) {
    let megabytes = |bytes: u64| bytes >> 20;
    println!(
        "Ten layers, {} files of {} MiB, {} MiB compressed. Medians of {rounds} rounds, taken in turns.\n",
        images.entries,
        megabytes(images.files),
        megabytes(images.blobs)
    );
    let hoist = median(ours.iter().map(|measured| measured.time).collect());
    println!("| | pull and unpack | / hoist | peak memory |\n|---|---|---|---|");
    let row = |name: &str, time: Duration, memory: String| {
        let ratio = time.as_secs_f64() / hoist.as_secs_f64();
        println!("| {name} | {:.2} s | {ratio:.2} | {memory} |", time.as_secs_f64());
    };
    let memory = |measured: &[Measured]| {
        format!("{} MiB", measured.iter().map(|one| one.peak).max().unwrap_or(0) >> 10)
    };
    row("hoist", hoist, memory(ours));
    for (name, measured) in peers.iter().filter(|(_, measured)| !measured.is_empty()) {
        let time = median(measured.iter().map(|one| one.time).collect());
        row(name, time, memory(measured));
    }
    row("gzip and tar alone, from files", median(floors.to_vec()), String::new());
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
