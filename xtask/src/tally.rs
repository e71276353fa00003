//! Counts tests from what the runners print.

/// How many tests did what. One that ran and found its means absent is skipped, not passed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    /// Adds what a line of output says, when it is a summary of nextest or of libtest.
    pub(crate) fn read(&mut self, line: &str) {
        let summary = (line.trim().strip_prefix("Summary [")).and_then(|rest| rest.split_once(" run: "));
        // Not trimmed: nextest shows what a failed test printed, libtest's own result among it, indented.
        let result = (line.strip_prefix("test result: ")).and_then(|rest| rest.split_once(". "));
        let Some((_, counts)) = summary.or(result) else { return };
        for count in counts.split([',', ';']) {
            let mut words = count.split_whitespace();
            let Some(Ok(number)) = words.next().map(str::parse::<usize>) else { continue };
            match words.next() {
                Some("passed") => self.passed += number,
                // nextest counts those apart from "failed".
                Some("failed" | "timed" | "exec") => self.failed += number,
                Some("skipped" | "ignored") => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Moves tests that passed by saying "skipped, because …".
    pub(crate) fn skip_passed(&mut self, count: usize) {
        let moved = count.min(self.passed);
        self.passed -= moved;
        self.skipped += moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (usize, usize, usize) {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn summaries_of_both_runners() {
        assert_eq!(
            read("     Summary [   2.2s] 35 tests run: 33 passed (1 slow), 1 failed, 1 timed out, 4 skipped"),
            (33, 2, 4)
        );
        assert_eq!(read("     Summary [   2.2s] 10/14 tests run: 9 passed, 1 failed, 0 skipped"), (9, 1, 0));
        let two = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.0s\n\
                   test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(read(two), (4, 2, 1));
        assert_eq!(read("test a_test ... ok\n 5 passed\n"), (0, 0, 0));
        assert_eq!(read("    test result: FAILED. 0 passed; 1 failed; 0 ignored"), (0, 0, 0));
    }
}
