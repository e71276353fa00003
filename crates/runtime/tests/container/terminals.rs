//! A pseudo terminal as controlling terminal and console.

use std::os::fd::OwnedFd;

use oci_spec::runtime::BoxBuilder;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};

use crate::world::*;

fn terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave =
        open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (master, slave)
}

fn run(world: &World, script: &str, init: bool) -> String {
    let (master, slave) = terminal();
    let mut spec = shell(script);
    edit_process(&mut spec, |process| {
        let size = BoxBuilder::default().height(33_u64).width(111_u64).build().unwrap();
        process.set_terminal(Some(true)).set_console_size(Some(size));
    });
    let (mut input, _output) = world.input(spec);
    input.stdio = [(); 3].map(|()| slave.try_clone().unwrap());
    input.terminal = Some(slave);
    input.init = init;
    let running = start(prepare(input).unwrap()).unwrap();
    let text = drain(&master);
    assert_eq!(wait(&running), 0, "{text}");
    text.replace('\r', "")
}

/// Until the last slave is closed, which a master sees as an error.
fn drain(master: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        until_readable(master);
        match rustix::io::read(master, &mut buffer) {
            Ok(0) | Err(_) => return String::from_utf8(text).unwrap(),
            Ok(length) => text.extend(&buffer[..length]),
        }
    }
}

/// One that is made before there is a container, of the container's own file system of terminals.
#[test]
fn a_terminal_of_the_containers_own_has_its_name_inside() {
    let Some(world) = World::new("a_terminal_of_the_containers_own_has_its_name_inside") else { return };
    let spec = shell(
        "tty; test -c $(tty) && readlink /proc/self/fd/0; echo to-console > /dev/console; \
         echo to-the-same > $(tty); busybox grep -c devpts /proc/self/mounts",
    );
    let devpts = hoist_runtime::launch::devpts(&spec).unwrap().expect("the specification has /dev/pts");
    let master = openat(&devpts, c"ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    let master = master.unwrap();
    unlockpt(&master).unwrap();
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
    let slave = slave.unwrap();
    let (mut input, _output) = world.input(spec);
    input.stdio = [(); 3].map(|()| slave.try_clone().unwrap());
    (input.terminal, input.devpts) = (Some(slave), Some(devpts));
    let launch = prepare(input).unwrap();
    assert_eq!(launch.to_string().matches("mount devpts at /dev/pts").count(), 1);
    let running = start(launch).unwrap();
    let text = drain(&master).replace('\r', "");
    assert_eq!(wait(&running), 0, "{text}");
    // The file system, and one of its files as the console.
    assert_eq!(text, "/dev/pts/0\n/dev/pts/0\nto-console\nto-the-same\n2\n");
}

#[test]
fn the_terminal_controls_the_session() {
    let Some(world) = World::new("the_terminal_controls_the_session") else { return };
    let script = "tty; stty size 2>/dev/null || busybox stty size; echo to-console > /dev/console; \
                  echo to-tty > /dev/tty; cut -d' ' -f7,8 /proc/self/stat 2>/dev/null || true";
    let text = run(&world, script, false);
    assert!(text.starts_with("/dev/console\n33 111\nto-console\nto-tty\n"), "{text}");
}

#[test]
fn under_init_the_program_is_in_the_foreground() {
    let Some(world) = World::new("under_init_the_program_is_in_the_foreground") else { return };
    // Fields 5 and 8: its process group, and the terminal's foreground group.
    let text = run(&world, "busybox awk '{ print ($5 == $8) ? \"front\" : $0 }' /proc/self/stat", true);
    assert_eq!(text, "front\n");
}
