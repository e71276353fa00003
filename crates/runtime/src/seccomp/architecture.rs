//! Architectures, as the kernel's audit subsystem and seccomp(2) tell them apart, and their call numbers.

use std::sync::OnceLock;

use oci_spec::runtime::Arch;

/// A calling convention that a kernel may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 32-bit addresses in 64-bit mode: x86_64 with a bit set in each number.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit LoongArch.
    Loongarch64,
}

/// Marks numbers of x32: `__X32_SYSCALL_BIT`.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// One line for each call: its name and its number in the order of [`Architecture::ALL`].
const TEXT: &str = include_str!("calls.txt");

/// Sorted by name.
type Table = Vec<(&'static str, [Option<u32>; 7])>;

/// Calls that 32-bit x86 has as parts of another too: name, the other's name, its first argument
/// (linux/net.h, linux/ipc.h).
const MULTIPLEXED: [(&str, &str, u64); 32] = [
    ("socket", "socketcall", 1),
    ("bind", "socketcall", 2),
    ("connect", "socketcall", 3),
    ("listen", "socketcall", 4),
    ("accept", "socketcall", 5),
    ("getsockname", "socketcall", 6),
    ("getpeername", "socketcall", 7),
    ("socketpair", "socketcall", 8),
    ("send", "socketcall", 9),
    ("recv", "socketcall", 10),
    ("sendto", "socketcall", 11),
    ("recvfrom", "socketcall", 12),
    ("shutdown", "socketcall", 13),
    ("setsockopt", "socketcall", 14),
    ("getsockopt", "socketcall", 15),
    ("sendmsg", "socketcall", 16),
    ("recvmsg", "socketcall", 17),
    ("accept4", "socketcall", 18),
    ("recvmmsg", "socketcall", 19),
    ("sendmmsg", "socketcall", 20),
    ("semop", "ipc", 1),
    ("semget", "ipc", 2),
    ("semctl", "ipc", 3),
    ("semtimedop", "ipc", 4),
    ("msgsnd", "ipc", 11),
    ("msgrcv", "ipc", 12),
    ("msgget", "ipc", 13),
    ("msgctl", "ipc", 14),
    ("shmat", "ipc", 21),
    ("shmdt", "ipc", 22),
    ("shmget", "ipc", 23),
    ("shmctl", "ipc", 24),
];

impl Architecture {
    /// All that have a table.
    pub const ALL: [Self; 7] =
        [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm, Self::Riscv64, Self::Loongarch64];

    /// The one this program is built for, when it has a table.
    pub const NATIVE: Option<Self> = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "x86") {
        Some(Self::X86)
    } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
        Some(Self::Aarch64)
    } else if cfg!(all(target_arch = "arm", target_endian = "little")) {
        Some(Self::Arm)
    } else if cfg!(target_arch = "riscv64") {
        Some(Self::Riscv64)
    } else if cfg!(target_arch = "loongarch64") {
        Some(Self::Loongarch64)
    } else {
        None
    };

    /// The specification's, when it has a table. Others are of machines that Hoist isn't built for, and whose
    /// programs no kernel runs beside those that it has.
    pub(super) fn of(arch: Arch, native: Self) -> Option<Self> {
        match arch {
            Arch::ScmpArchNative => Some(native),
            Arch::ScmpArchX86_64 => Some(Self::X86_64),
            Arch::ScmpArchX86 => Some(Self::X86),
            Arch::ScmpArchX32 => Some(Self::X32),
            Arch::ScmpArchAarch64 => Some(Self::Aarch64),
            Arch::ScmpArchArm => Some(Self::Arm),
            Arch::ScmpArchRiscv64 => Some(Self::Riscv64),
            Arch::ScmpArchLoongarch64 => Some(Self::Loongarch64),
            _ => None,
        }
    }

    /// As the specification names it.
    pub fn oci(self) -> Arch {
        match self {
            Self::X86_64 => Arch::ScmpArchX86_64,
            Self::X86 => Arch::ScmpArchX86,
            Self::X32 => Arch::ScmpArchX32,
            Self::Aarch64 => Arch::ScmpArchAarch64,
            Self::Arm => Arch::ScmpArchArm,
            Self::Riscv64 => Arch::ScmpArchRiscv64,
            Self::Loongarch64 => Arch::ScmpArchLoongarch64,
        }
    }

    /// As Docker's profiles name it in `includes` and `excludes`.
    pub(super) fn docker_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X86 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// `AUDIT_ARCH_…` (linux/audit.h): x32 shares the one of x86_64.
    pub fn token(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
            Self::Loongarch64 => 0xc000_0102,
        }
    }

    /// Whether arguments have 64 bits.
    pub fn is_wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64 | Self::Riscv64 | Self::Loongarch64)
    }

    /// The number of a call, with the bit that marks those of x32; none where it lacks the call.
    pub fn number(self, name: &str) -> Option<u32> {
        let table = table();
        let row = table.binary_search_by_key(&name, |(name, _)| name).ok()?;
        let number = table.get(row)?.1.get(self as usize).copied().flatten()?;
        Some(if self == Self::X32 { number | X32_BIT } else { number })
    }

    /// The other way to the same call: the number of what it is a part of, and which part it is.
    pub(super) fn multiplexed(self, name: &str) -> Option<(u32, u64)> {
        if self != Self::X86 {
            return None;
        }
        let (_, other, part) = MULTIPLEXED.iter().find(|(known, ..)| *known == name)?;
        Some((self.number(other)?, *part))
    }

    /// The names of all calls that any architecture has.
    pub fn names() -> impl Iterator<Item = &'static str> {
        table().iter().map(|(name, _)| *name)
    }
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| TEXT.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect())
}

fn row(line: &'static str) -> Option<(&'static str, [Option<u32>; 7])> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let mut numbers = [None; 7];
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = word.parse().ok();
    }
    Some((name, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_libc_knows() {
        let known = [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("personality", libc::SYS_personality),
            ("keyctl", libc::SYS_keyctl),
            ("futex_waitv", libc::SYS_futex_waitv),
        ];
        for (name, number) in known {
            assert_eq!(Architecture::NATIVE.unwrap().number(name).map(i64::from), Some(number), "{name}");
        }
        assert_eq!(Architecture::X32.number("ioctl"), Some(X32_BIT | 514));
        assert_eq!(Architecture::X86.number("socketcall"), Some(102));
        assert_eq!(Architecture::Arm.number("set_tls"), Some(983_045));
        assert_eq!(Architecture::X86_64.number("socketcall"), None);
        assert_eq!(Architecture::Aarch64.number("fork"), None);
    }

    #[test]
    fn the_table_is_sorted_and_whole() {
        let names: Vec<_> = Architecture::names().collect();
        assert!(names.len() > 480 && names.is_sorted());
        for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(words.len(), 8, "{line}");
            assert!(words[1..].iter().all(|word| *word == "-" || word.parse::<u32>().is_ok()), "{line}");
        }
        for (name, other, _) in MULTIPLEXED {
            assert!(names.contains(&name) && names.contains(&other), "{name}");
        }
    }
}
