//! The table, in Markdown, as docs/benchmarks.md has it.

use super::figures::{Figures, Way};

pub(super) fn print(ways: &[Way], figures: &Figures, rounds: usize) {
    println!(
        "Medians of {rounds} rounds, taken in turns; ratios are medians of each round's ratio to the way by hand.\n"
    );
    println!("| | throughput | / plain | requests per second | / plain | p99 | / plain |");
    println!("|---|---|---|---|---|---|---|");
    for way in ways {
        let ratio = |of| figures.ratio(way.name, way.plain, of);
        println!(
            "| {} | {:.1} Gbit/s | {:.2} | {:.0} | {:.2} | {:.0} µs | {:.2} |",
            way.name,
            figures.median(way.name, |figure| figure.throughput) / 1000.0,
            ratio(|figure| figure.throughput),
            figures.median(way.name, |figure| figure.requests),
            ratio(|figure| figure.requests),
            figures.median(way.name, |figure| figure.slowest),
            ratio(|figure| figure.slowest)
        );
    }
}
