//! What an image's configuration says about running it, in the model's terms.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_image::Image;
use hoist_model::{Digest, HealthTest, Healthcheck, ImageConfig, ImageSource, ResolvedImage};

/// An image as a revision uses it.
pub(super) fn resolved(source: ImageSource, image: &Image) -> ResolvedImage {
    let config = image.config.config().clone().unwrap_or_default();
    let environment = config.env().iter().flatten().map(|entry| match entry.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (entry.clone(), String::new()),
    });
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ResolvedImage {
        source,
        digest: Some(Digest(image.id.to_string())),
        config: ImageConfig {
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            command: config.cmd().clone().unwrap_or_default(),
            environment: environment.collect(),
            working_dir: filled(config.working_dir()),
            user: filled(config.user()),
            volumes: config.volumes().clone().unwrap_or_default(),
            exposed_ports: config.exposed_ports().clone().unwrap_or_default(),
            stop_signal: filled(config.stop_signal()),
            healthcheck: image.docker.healthcheck.as_ref().and_then(healthcheck),
            labels: config.labels().clone().unwrap_or_default().into_iter().collect::<BTreeMap<_, _>>(),
        },
    }
}

/// Docker's form: `["CMD", …]`, `["CMD-SHELL", line]`, `["NONE"]`; zero is the default.
fn healthcheck(check: &hoist_image::store::HealthCheck) -> Option<Healthcheck> {
    let (kind, words) = check.test.split_first()?;
    let test = match kind.as_str() {
        "NONE" => HealthTest::Disabled,
        "CMD" => HealthTest::Exec(words.to_vec()),
        "CMD-SHELL" => HealthTest::Shell(words.join(" ")),
        _ => return None,
    };
    let defaults = Healthcheck::default();
    let time = |nanoseconds: u64, default| {
        if nanoseconds == 0 { default } else { Duration::from_nanos(nanoseconds) }
    };
    Some(Healthcheck {
        test,
        interval: time(check.interval, defaults.interval),
        timeout: time(check.timeout, defaults.timeout),
        retries: if check.retries == 0 { defaults.retries } else { check.retries },
        start_period: time(check.start_period, defaults.start_period),
        start_interval: (check.start_interval != 0).then(|| Duration::from_nanos(check.start_interval)),
    })
}
