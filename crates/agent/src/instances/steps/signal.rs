//! Signals by name or number, and the end of all of an instance's processes.

use hoist_keeper::protocol::Request;
use hoist_model::InstanceUid;
use hoist_planner::host::StepError;
use hoist_runtime::cgroup::Cgroup;
use nix::sys::signal::Signal;

use super::{blocking, failed, refused};
use crate::host::Host;

/// What C libraries leave of the kernel's real-time signals, which start at 32 (signal(7)).
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// The number of `SIGTERM`, `term`, `15`, `SIGRTMIN+3`.
pub(crate) fn number(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = name.parse() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+').map(|offset| RTMIN + offset);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest, '-').map(|offset| RTMAX - offset);
    }
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        name => name,
    };
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    text.strip_prefix(sign)?.parse().ok().filter(|offset| (0..=RTMAX - RTMIN).contains(offset))
}

pub(super) async fn run(host: &Host, uid: InstanceUid, signal: &str) -> Result<(), StepError> {
    let Some(signal) = number(signal) else {
        return Err(refused(
            format!("{signal:?} is not a signal"),
            "stop_signal takes a name such as SIGTERM, or a number",
        ));
    };
    send(host, uid, signal).await
}

/// A process that has ended already is as good as signalled.
pub(super) async fn send(host: &Host, uid: InstanceUid, signal: i32) -> Result<(), StepError> {
    let request = Request::Signal { key: Host::key(uid), exec: None, signal };
    match host.link.tell(request, Vec::new()).await {
        Ok(()) | Err(crate::processes::link::LinkError::Refused { .. }) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

/// Kills everything in the instance's control group: the first process alone would leave what has escaped its pid
/// namespace's end, one that is frozen dies only with its group, and a group takes all at once.
pub(crate) async fn kill(host: &Host, uid: InstanceUid) -> Result<(), StepError> {
    let (hierarchy, path) = (host.hierarchy.clone(), host.cgroup(uid));
    blocking(move || match Cgroup::open(&hierarchy, &path) {
        Ok(group) => group.kill().map_err(|error| failed(&error)),
        Err(_) => Ok(()),
    })
    .await?;
    send(host, uid, 9).await
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn signals_by_name_and_number() {
        let all = [
            "SIGTERM",
            "term",
            "15",
            "SIGRTMIN+3",
            "RTMAX-1",
            "SIGRTMIN",
            "RTMAX-99",
            "NOPE",
            "0",
            "65",
            "SIGCLD",
        ];
        let numbers = all.map(number);
        let want =
            [Some(15), Some(15), Some(15), Some(37), Some(63), Some(34), None, None, None, None, Some(17)];
        assert_eq!(numbers, want);
    }
}
