//! The legacy iptables of the host: read, never written.
//!
//! They keep their rules as one blob per table that is read and replaced as a whole. Replacing it while
//! another program does so loses that program's rules, so we only say what should be there.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

use crate::family::Family;
use crate::netns::{self, NetnsError};

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`; the numbers are the same for IPv6.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// `NF_INET_FORWARD`: the place of the forward chain in per-hook lists.
const FORWARD: usize = 2;
/// `-NF_DROP - 1` and `-NF_ACCEPT - 1`.
const VERDICT_DROP: i32 = -1;
const VERDICT_ACCEPT: i32 = -2;
/// Where the entries begin in `struct ipt_get_entries`: name, size, and padding for 64-bit counters.
const ENTRIES: usize = 40;

/// Whether the legacy forward chain of a family drops what `link` sends or gets.
///
/// Nothing is asked unless the table is in use: asking would make it.
pub(crate) fn drops(host: BorrowedFd<'_>, family: Family, link: &str) -> Result<bool, NetnsError> {
    let link = link.to_owned();
    netns::enter(host, move || in_use(family) && read(family).is_ok_and(|table| table.drops(&link)))
}

fn in_use(family: Family) -> bool {
    let list = match family {
        Family::V4 => "/proc/thread-self/net/ip_tables_names",
        Family::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    fs::read_to_string(list).is_ok_and(|names| names.lines().any(|name| name == "filter"))
}

/// The filter table's forward chain, as the kernel gives it.
struct Forward {
    /// The whole table.
    blob: Vec<u8>,
    /// Where the chain begins, and where its policy is.
    first: usize,
    policy: usize,
    layout: Layout,
}

/// Where fields of an entry are: `struct ipt_entry` and `struct ip6t_entry`.
#[derive(Clone, Copy)]
struct Layout {
    in_name: usize,
    out_name: usize,
    target_offset: usize,
}

impl Layout {
    fn of(family: Family) -> Self {
        match family {
            Family::V4 => Self { in_name: 16, out_name: 32, target_offset: 88 },
            Family::V6 => Self { in_name: 64, out_name: 80, target_offset: 140 },
        }
    }
}

impl Forward {
    fn drops(&self, link: &str) -> bool {
        if self.verdict(self.policy) != Some(VERDICT_DROP) {
            return false;
        }
        let (mut sends, mut gets) = (false, false);
        let mut entry = self.first;
        while entry < self.policy {
            let accepts = self.verdict(entry) == Some(VERDICT_ACCEPT);
            sends |= accepts && self.names(entry + self.layout.in_name, link);
            gets |= accepts && self.names(entry + self.layout.out_name, link);
            match self.half(entry + self.layout.target_offset + 2) {
                Some(length) if length > 0 => entry += length,
                _ => break,
            }
        }
        !(sends && gets)
    }

    /// The verdict of an entry with a standard target.
    fn verdict(&self, entry: usize) -> Option<i32> {
        let target = entry + self.half(entry + self.layout.target_offset)?;
        // Behind the target's size, name and revision; the standard target has no name.
        if self.blob.get(target + 2) != Some(&0) {
            return None;
        }
        Some(i32::from_ne_bytes(self.blob.get(target + 32..target + 36)?.try_into().ok()?))
    }

    fn names(&self, at: usize, link: &str) -> bool {
        let Some(name) = self.blob.get(at..at + 16) else { return false };
        name.split(|byte| *byte == 0).next() == Some(link.as_bytes())
    }

    fn half(&self, at: usize) -> Option<usize> {
        let bytes = self.blob.get(at..at + 2)?;
        Some(usize::from(u16::from_ne_bytes(bytes.try_into().ok()?)))
    }
}

fn read(family: Family) -> io::Result<Forward> {
    let (domain, level) = match family {
        Family::V4 => (AddressFamily::INET, libc::IPPROTO_IP),
        Family::V6 => (AddressFamily::INET6, libc::IPPROTO_IPV6),
    };
    let raw = Some(rustix::net::Protocol::from_raw(ipproto::RAW.as_raw()));
    let socket = rustix::net::socket_with(domain, SocketType::RAW, SocketFlags::CLOEXEC, raw)?;
    // `struct ipt_getinfo`: name, valid hooks, five beginnings, five policies, count, size.
    let mut info = named_filter(84);
    get(&socket, level, GET_INFO, &mut info)?;
    let word = |index: usize| -> usize {
        let at = 32 + 4 * index;
        info.get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, |bytes| u32::from_ne_bytes(bytes) as usize)
    };
    let size = word(12);
    let mut blob = named_filter(ENTRIES + size);
    blob[32..36].copy_from_slice(&info[80..84]);
    get(&socket, level, GET_ENTRIES, &mut blob)?;
    let (first, policy) = (word(1 + FORWARD), word(6 + FORWARD));
    Ok(Forward { blob: blob.split_off(ENTRIES), first, policy, layout: Layout::of(family) })
}

fn named_filter(length: usize) -> Vec<u8> {
    let mut request = vec![0; length];
    request[..6].copy_from_slice(b"filter");
    request
}

fn get(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &mut [u8]) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `value`, which is that long and exclusively
    // borrowed, and `length` itself; both outlive the call.
    let answer = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut length)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
