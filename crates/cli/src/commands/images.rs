//! `hoist images`: what a stack's instances run.

use hoist_wire::{ImageApi, ImageQuery, ImageSummary, InstanceStatus, StackStatus};
use serde_json::json;

use crate::args::{self, ListFormat};
use crate::commands::image::{name_and_tag, short};
use crate::error::CommandError;
use crate::out::outln;
use crate::project::Target;
use crate::size;

/// Runs the command.
///
/// # Errors
/// When the agent can't be asked, or a named service isn't in the stack.
pub(crate) async fn run(target: &Target, args: &args::StackImages) -> Result<(), CommandError> {
    let mut rows = Vec::new();
    if let (Some(agent), Some(status)) = (target.agent().await?, target.status().await?) {
        let images = agent.images(ImageQuery::default()).await?;
        let meant = |row: &&InstanceStatus| {
            target.services.is_empty() || target.services.contains(&row.report.slot.service)
        };
        let shown = status.instances.iter().filter(meant);
        rows.extend(shown.filter_map(|row| Some((row.clone(), image_of(row, &status, &images)?.clone()))));
    }
    print(&rows, args);
    Ok(())
}

fn image_of<'a>(
    row: &InstanceStatus,
    status: &StackStatus,
    images: &'a [ImageSummary],
) -> Option<&'a ImageSummary> {
    let revision = status.wanted.revisions.get(&row.report.revision)?;
    let id = revision.images.get(&row.report.slot.service)?.digest.as_ref()?;
    images.iter().find(|image| image.id == *id)
}

fn print(rows: &[(InstanceStatus, ImageSummary)], args: &args::StackImages) {
    if args.quiet {
        let mut ids: Vec<&str> = rows.iter().map(|(_, image)| short(&image.id.0)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().for_each(|id| outln!("{id}"));
    } else if args.format == ListFormat::Json {
        let json: Vec<_> = rows.iter().map(|(row, image)| json_row(row, image)).collect();
        outln!("{}", serde_json::Value::from(json));
    } else {
        let mut table =
            vec![["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE"].map(str::to_owned)];
        table.extend(rows.iter().map(|(row, image)| {
            let (name, tag) = name_and_tag(&row.image);
            let id = short(&image.id.0).to_owned();
            [row.report.slot.container_name(), name, tag, image.platform.clone(), id, size::text(image.size)]
        }));
        crate::table::print(&table);
    }
}

fn json_row(row: &InstanceStatus, image: &ImageSummary) -> serde_json::Value {
    let (repository, tag) = name_and_tag(&row.image);
    json!({
        "ID": image.id.0,
        "ContainerName": row.report.slot.container_name(),
        "Repository": repository,
        "Tag": tag,
        "Platform": image.platform,
        "Size": image.size,
    })
}
