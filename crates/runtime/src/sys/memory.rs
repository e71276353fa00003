//! Giving memory back that a copy of a process doesn't need.

use super::checked;

/// Ranges that are given back at most; the largest come first.
const MOST: usize = 64;
/// What is kept on both sides of an address that is in use: far more than the few frames of the copy's stack,
/// and than the thread-local storage, have.
const MARGIN: usize = 64 << 10;

/// The memory of the calling process that is in no file: its heaps and the stacks of its threads. In a copy of
/// it these are the pages that become the copy's own as soon as the caller changes its.
#[derive(Debug, Default)]
pub(crate) struct Anonymous {
    /// First address and the one after the last.
    ranges: Vec<(usize, usize)>,
}

impl Anonymous {
    /// From /proc/PID/maps, proc_pid_maps(5). Empty when that can't be read.
    pub(crate) fn own() -> Self {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mut ranges: Vec<_> = maps.lines().filter_map(anonymous).collect();
        ranges.sort_by_key(|(start, end)| std::cmp::Reverse(end - start));
        ranges.truncate(MOST);
        Self { ranges }
    }

    /// Gives it back, but for what is around the stack pointer and the thread-local storage. What is there now
    /// may be other than it was: pages of files are only read again, and what shares its pages keeps them.
    ///
    /// # Safety
    ///
    /// Only in a copy of the process, that from here on uses its stack from the caller's frame down, its
    /// thread-local storage, and nothing else that can be written: no heap, and nothing this call is made through.
    pub(crate) unsafe fn give_back(&self) {
        // The list itself lies in what is given back.
        let mut ranges = [(0, 0); MOST];
        for (to, from) in ranges.iter_mut().zip(&self.ranges) {
            *to = *from;
        }
        // SAFETY: returns a pointer into thread-local storage, which is only looked at as a number.
        let thread = unsafe { libc::__errno_location() }.addr();
        let kept = [(&raw const ranges).addr(), thread].map(|at| (page(at - MARGIN), page(at + MARGIN)));
        for (start, end) in ranges {
            give_back_around(start, end, &kept);
        }
    }
}

fn page(address: usize) -> usize {
    address & !(4096 - 1)
}

fn anonymous(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_writable = fields.next()?.starts_with("rw-p");
    let has_no_file = fields.nth(2)? == "0";
    let is_special = fields.next().is_some_and(|name| name.starts_with("[stack") || name.starts_with("[v"));
    let address = |text| usize::from_str_radix(text, 16).ok();
    (is_writable && has_no_file && !is_special).then_some((address(start)?, address(end)?))
}

fn give_back_around(start: usize, end: usize, kept: &[(usize, usize)]) {
    if start >= end {
        return;
    }
    match kept.split_first() {
        Some(((first, last), rest)) if *first < end && start < *last => {
            give_back_around(start, *first, rest);
            give_back_around(*last, end, rest);
        }
        Some((_, rest)) => give_back_around(start, end, rest),
        None => {
            // SAFETY: the caller of `Anonymous::give_back` promises that nothing uses the range; a range that is
            // no mapping any more is refused.
            let _ =
                checked(unsafe { libc::syscall(libc::SYS_madvise, start, end - start, libc::MADV_DONTNEED) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_are_given_back_and_files_and_stacks_are_not() {
        let lines = [
            "55d0c000-55d2d000 rw-p 00000000 00:00 0                                  [heap]",
            "7f0000000000-7f0000021000 rw-p 00000000 00:00 0 ",
            "7f0000021000-7f0004000000 ---p 00000000 00:00 0 ",
            "7f1000000000-7f1000100000 r--p 00000000 fe:00 1234                       /usr/bin/hoist",
            "7f1000100000-7f1000110000 rw-p 00100000 fe:00 1234                       /usr/bin/hoist",
            "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]",
        ];
        let found: Vec<_> = lines.iter().filter_map(|line| anonymous(line)).collect();
        assert_eq!(found, [(0x55d0_c000, 0x55d2_d000), (0x7f00_0000_0000, 0x7f00_0002_1000)]);
    }
}
