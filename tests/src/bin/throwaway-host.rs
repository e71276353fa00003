//! `throwaway-host FOLDER`: holds namespaces that stand for a host, until its standard input ends.
//!
//! Two processes. The first process inside (`init`) adopts and reaps orphans as a machine's does. The one outside ends
//! it, and with it everything in its process namespace; then it removes what the kernel keeps on: empty control groups,
//! and FOLDER, unless its input said something (the disk outlives a reboot). As the input ends also when the test is
//! killed, nothing outlives a test.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Signal, WaitOptions, wait};
use rustix::thread::{UnshareFlags, unshare_unsafe};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match &words[..] {
        [folder] => guard(Path::new(folder)),
        [_, folder] => init(Path::new(folder)),
        _ => Err("usage: throwaway-host FOLDER".into()),
    };
    done.map_or_else(
        |error| {
            eprintln!("throwaway-host: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn guard(folder: &Path) -> Result<(), Box<dyn Error>> {
    // A test runner that gives up signals the test's whole group; this process must outlive that.
    rustix::process::setsid()?;
    // SAFETY: this process has one thread, and its descriptors stay in one table.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWPID)? };
    let mut init = Command::new(std::env::current_exe()?);
    let mut init = init.arg("init").arg(folder).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    // Its only word: it is ready.
    let mut word = [0; 1];
    init.stdout.take().ok_or("no output")?.read_exact(&mut word)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", init.id()).and_then(|()| out.flush())?;
    let said = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    end(&mut init, folder)?;
    if said.is_ok_and(|bytes| bytes > 0) {
        return Ok(());
    }
    Ok(fs::remove_dir_all(folder)?)
}

/// Killing the first process kills all others of its namespace; it is reaped when they are gone (pid_namespaces(7)).
fn end(init: &mut Child, folder: &Path) -> Result<(), Box<dyn Error>> {
    init.kill()?;
    init.wait()?;
    for root in fs::read_dir(folder)?.flatten() {
        remove_groups(&root.path());
    }
    Ok(())
}

/// Removes the empty control groups of a root, in every hierarchy.
fn remove_groups(root: &Path) {
    let Some(tag) = hoist_tests::listing::tag(root) else { return };
    let deadline = Instant::now() + Duration::from_secs(5);
    for hierarchy in hoist_tests::listing::hierarchies() {
        let group = hierarchy.join("hoist").join(&tag);
        while group.exists() && !remove_tree(&group) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Other hoists' groups keep it.
        let _ = fs::remove_dir(hierarchy.join("hoist"));
    }
}

fn remove_tree(group: &Path) -> bool {
    let below = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir()).for_each(|path| {
        remove_tree(&path);
    });
    fs::remove_dir(group).is_ok()
}

fn init(folder: &Path) -> Result<(), Box<dyn Error>> {
    // Also when the process outside is killed, nothing stays.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The process outside stays out of this one, or mounts would live on in it and keep FOLDER busy.
    // SAFETY: this process has one thread, and its descriptors stay in one table.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", plain, None)?;
    // Named namespaces and lock files of tools: this host's own.
    mount("run", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    // Each start of this host is a boot of its own to whoever asks the kernel (random(4)).
    let boot = folder.join("boot_id");
    fs::write(&boot, fs::read_to_string("/proc/sys/kernel/random/uuid")?)?;
    rustix::mount::mount_bind(&boot, "/proc/sys/kernel/random/boot_id")?;
    let mut out = std::io::stdout();
    out.write_all(b"!").and_then(|()| out.flush())?;
    loop {
        if let Err(Errno::CHILD) = wait(WaitOptions::empty()) {
            // One may be adopted at any time.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
