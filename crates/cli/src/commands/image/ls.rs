//! `hoist image ls`: a line for each name, as `docker image ls` prints them.

use std::path::Path;

use hoist_model::WallTime;
use hoist_wire::{ImageApi, ImageQuery, ImageSummary};
use serde_json::json;

use super::{name_and_tag, short};
use crate::args::{ImageLs, ListFormat};
use crate::connect;
use crate::error::CommandError;
use crate::out::outln;
use crate::{size, time};

const NONE: &str = "<none>";

struct Row {
    repository: String,
    tag: String,
    digest: String,
    id: String,
    created: Option<WallTime>,
    size: u64,
}

/// Runs the command.
///
/// # Errors
/// When the agent can't be asked, or there is no image of that name.
pub(super) async fn run(root: &Path, args: &ImageLs) -> Result<(), CommandError> {
    let query = ImageQuery { name: args.image.clone(), in_use: Vec::new() };
    let images = connect::connect(root).await?.images(query).await?;
    let mut images: Vec<&ImageSummary> = images.iter().collect();
    images.sort_by_key(|image| std::cmp::Reverse(created(image)));
    let mut rows: Vec<Row> = images.into_iter().flat_map(|image| rows(image, args)).collect();
    rows.retain(|row| args.all || args.image.is_some() || row.tag != NONE || row.repository != NONE);
    print(&rows, args);
    Ok(())
}

/// When an image says that it was made.
pub(super) fn created(image: &ImageSummary) -> Option<WallTime> {
    image.created.as_deref().and_then(time::parse_rfc3339)
}

fn rows(image: &ImageSummary, args: &ImageLs) -> Vec<Row> {
    let id = if args.no_trunc { image.id.0.clone() } else { short(&image.id.0).to_owned() };
    let row = |repository: String, tag: String, digest: Option<&str>| Row {
        repository,
        tag,
        digest: digest.unwrap_or(NONE).to_owned(),
        id: id.clone(),
        created: created(image),
        size: image.size,
    };
    let digest_of = |repository: &str| {
        let pinned = image.digests.iter().filter_map(|name| name.split_once('@'));
        pinned.filter(|(name, _)| *name == repository).map(|(_, digest)| digest).next()
    };
    let mut rows: Vec<Row> = Vec::new();
    for name in &image.tags {
        let (repository, tag) = name_and_tag(name);
        let digest = digest_of(&repository);
        rows.push(row(repository, tag, digest));
    }
    if rows.is_empty() {
        let pinned = image.digests.first().and_then(|name| name.split_once('@'));
        let (repository, digest) = pinned.map_or((NONE, None), |(name, digest)| (name, Some(digest)));
        rows.push(row(repository.to_owned(), NONE.to_owned(), digest));
    }
    rows
}

fn print(rows: &[Row], args: &ImageLs) {
    let now = time::now();
    let since = |row: &Row| match row.created {
        Some(made) => format!("{} ago", time::ago(time::seconds_since(made, now))),
        None => "N/A".to_owned(),
    };
    if args.quiet {
        rows.iter().for_each(|row| outln!("{}", row.id));
    } else if args.format == ListFormat::Json {
        for row in rows {
            let json = json!({
                "Containers": "N/A", "CreatedAt": row.created.map_or_else(String::new, time::created_at),
                "CreatedSince": since(row), "Digest": row.digest, "ID": row.id,
                "Repository": row.repository, "SharedSize": "N/A", "Size": size::text(row.size),
                "Tag": row.tag, "UniqueSize": "N/A", "VirtualSize": size::text(row.size),
            });
            outln!("{json}");
        }
    } else if args.digests {
        let head = ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned);
        let cells = |row: &Row| {
            let (name, tag, digest) = (row.repository.clone(), row.tag.clone(), row.digest.clone());
            [name, tag, digest, row.id.clone(), since(row), size::text(row.size)]
        };
        crate::table::print(&std::iter::once(head).chain(rows.iter().map(cells)).collect::<Vec<_>>());
    } else {
        let head = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned);
        let cells = |row: &Row| {
            [row.repository.clone(), row.tag.clone(), row.id.clone(), since(row), size::text(row.size)]
        };
        crate::table::print(&std::iter::once(head).chain(rows.iter().map(cells)).collect::<Vec<_>>());
    }
}
