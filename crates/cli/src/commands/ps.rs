//! `hoist ps`: instances as a table, or as docker compose's JSON.

use hoist_model::{Health, Parting, Phase, Protocol, WallTime};
use hoist_wire::InstanceStatus;
use serde_json::{Value, json};

use crate::args::{self, ListFormat};
use crate::error::CommandError;
use crate::out::outln;
use crate::project::Target;
use crate::time;

/// Longest command that the table shows.
const COMMAND_WIDTH: usize = 22;

/// Runs the command.
///
/// # Errors
/// When the stack isn't up or a named service isn't in it.
pub(crate) async fn run(target: &Target, args: &args::Ps) -> Result<(), CommandError> {
    let Some(status) = target.status().await? else { return print(&[], args) };
    status.warnings.iter().for_each(|text| crate::progress::warn(text));
    let mut rows: Vec<&InstanceStatus> = status.instances.iter().collect();
    rows.retain(|row| target.services.is_empty() || target.services.contains(&row.report.slot.service));
    rows.retain(|row| args.all || row.report.phase.docker_state() != "exited");
    print(&rows, args)
}

fn print(rows: &[&InstanceStatus], args: &args::Ps) -> Result<(), CommandError> {
    let now = time::now();
    if args.quiet {
        rows.iter().for_each(|row| outln!("{}", row.uid));
    } else if args.services {
        let mut names: Vec<&str> = rows.iter().map(|row| row.report.slot.service.as_str()).collect();
        names.dedup();
        names.iter().for_each(|name| outln!("{name}"));
    } else if args.format == ListFormat::Json {
        rows.iter().for_each(|row| outln!("{}", json_row(row, now)));
    } else {
        let mut table =
            vec![["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"].map(str::to_owned)];
        table.extend(rows.iter().map(|row| table_row(row, now, args.no_trunc)));
        crate::table::print(&table);
    }
    Ok(())
}

fn command(row: &InstanceStatus, whole: bool) -> String {
    let text = row.command.join(" ");
    if whole || text.chars().count() <= COMMAND_WIDTH - 2 {
        return format!("\"{text}\"");
    }
    let cut: String = text.chars().take(COMMAND_WIDTH - 3).collect();
    format!("\"{cut}…\"")
}

fn table_row(row: &InstanceStatus, now: WallTime, whole: bool) -> [String; 7] {
    [
        row.report.slot.container_name(),
        row.image.clone(),
        command(row, whole),
        row.report.slot.service.to_string(),
        format!("{} ago", time::ago(time::seconds_since(row.report.created, now))),
        status_text(row, now),
        ports_text(row),
    ]
}

/// The state in Docker's words, with what Docker leaves out: why it waits, and that memory ran out.
fn status_text(row: &InstanceStatus, now: WallTime) -> String {
    let report = &row.report;
    let since = |time: Option<WallTime>| time::ago(time::seconds_since(time.unwrap_or(now), now));
    let mut text = match &report.phase {
        Phase::Waiting(why) => format!("Created ({why})"),
        Phase::Starting => "Created (starting)".to_owned(),
        Phase::Failed(why) => format!("Created (failed: {why})"),
        Phase::Running | Phase::Stopping => format!("Up {}", since(report.started)),
        Phase::Restarting(_) => format!("Restarting ({}) {} ago", exit_code(row), since(report.finished)),
        Phase::Exited => format!("Exited ({}) {} ago", exit_code(row), since(report.finished)),
    };
    match report.health {
        Health::None => {}
        _ if !matches!(report.phase, Phase::Running) => {}
        Health::Starting => text.push_str(" (health: starting)"),
        Health::Healthy => text.push_str(" (healthy)"),
        Health::Unhealthy => text.push_str(" (unhealthy)"),
    }
    match report.parting.filter(|_| report.phase == Phase::Running) {
        None => {}
        Some(Parting::Serves) => text.push_str(" (until its successor is ready)"),
        Some(Parting::Drains) => text.push_str(" (draining)"),
    }
    if report.oom_killed {
        text.push_str(" (out of memory)");
    }
    if row.orphan {
        text.push_str(" (orphan)");
    }
    text
}

fn exit_code(row: &InstanceStatus) -> i32 {
    row.report.exit.map_or(0, hoist_model::Exit::status)
}

fn health_word(health: Health) -> &'static str {
    match health {
        Health::None => "",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn ports_text(row: &InstanceStatus) -> String {
    let published = row.report.ports.iter().filter_map(|published| {
        let port = &published.port;
        let host = port.host_ip.map_or("0.0.0.0".to_owned(), |ip| ip.to_string());
        Some(format!("{host}:{}->{}/{}", port.published?, port.target, protocol(port.protocol)))
    });
    published.collect::<Vec<_>>().join(", ")
}

/// The last probes, as `docker inspect` shows them in `Health.Log`.
fn health_log(row: &InstanceStatus) -> Vec<Value> {
    let entry = |probe: &hoist_model::ProbeRecord| {
        json!({
            "Start": time::rfc3339(probe.start),
            "End": time::rfc3339(probe.end),
            "ExitCode": probe.exit_code,
            "Output": probe.output,
        })
    };
    row.probes.iter().map(entry).collect()
}

/// One line of `--format json`: docker compose's keys, and three of our own (`HealthLog`, `Reason`, `OOMKilled`).
fn json_row(row: &InstanceStatus, now: WallTime) -> Value {
    let report = &row.report;
    let labels: Vec<String> = row.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let networks: Vec<&str> = report.addresses.keys().map(hoist_model::NetworkId::as_str).collect();
    let publishers: Vec<Value> = report
        .ports
        .iter()
        .map(|published| {
            let port = &published.port;
            json!({
                "URL": port.host_ip.map_or("0.0.0.0".to_owned(), |ip| ip.to_string()),
                "TargetPort": port.target,
                "PublishedPort": port.published.unwrap_or(0),
                "Protocol": protocol(port.protocol),
            })
        })
        .collect();
    let reason = match &report.phase {
        Phase::Waiting(why) => why.to_string(),
        Phase::Failed(why) => why.clone(),
        _ => String::new(),
    };
    json!({
        "Command": command(row, true),
        "CreatedAt": time::created_at(report.created),
        "ExitCode": exit_code(row),
        "Health": health_word(report.health),
        "HealthLog": health_log(row),
        "ID": row.uid.short(),
        "Image": row.image,
        "Labels": labels.join(","),
        "LocalVolumes": row.mounts.iter().filter(|mount| !mount.starts_with('/')).count().to_string(),
        "Mounts": row.mounts.join(","),
        "Name": report.slot.container_name(),
        "Names": report.slot.container_name(),
        "Networks": networks.join(","),
        "Ports": ports_text(row),
        "Project": report.slot.stack.stem(),
        "Publishers": publishers,
        "RunningFor": format!("{} ago", time::ago(time::seconds_since(report.created, now))),
        "Service": report.slot.service,
        "Size": "0B",
        "State": report.phase.docker_state(),
        "Status": status_text(row, now),
        "Reason": reason,
        "OOMKilled": report.oom_killed,
    })
}
