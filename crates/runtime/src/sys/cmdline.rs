//! The command line that `ps` shows, which lies in the process's own memory.

/// Where the kernel finds it: the same place in a copy of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandLine {
    start: usize,
    length: usize,
}

impl CommandLine {
    /// That of the calling process: fields 48 and 49 of `/proc/PID/stat`, proc_pid_stat(5).
    pub(crate) fn own() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is a name in parentheses and may hold anything; the third comes after the last.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(48 - 3);
        let start: usize = fields.next()?.parse().ok().filter(|start| *start != 0)?;
        let end: usize = fields.next()?.trim().parse().ok()?;
        Some(Self { start, length: end.checked_sub(start)? })
    }

    /// Overwrites it.
    ///
    /// # Safety
    ///
    /// Only in a copy of the process it was taken from, that does not read its arguments any more.
    pub(crate) unsafe fn overwrite(self, text: &[u8]) {
        let text = text.iter().copied().chain(std::iter::repeat(0)).take(self.length);
        for (offset, byte) in text.enumerate() {
            let place = std::ptr::with_exposed_provenance_mut::<u8>(self.start + offset);
            // SAFETY: the kernel put the arguments there, on the writable initial stack, and tells the
            // bounds; nobody else refers to them, as the caller promises.
            unsafe { place.write_volatile(byte) };
        }
    }
}
