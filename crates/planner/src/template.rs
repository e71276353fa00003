//! What a template means once service and image are laid over each other.

use hoist_model::{HealthTest, Healthcheck, Template};

/// The health check that applies: the service's, filled up by the image's; none when switched off or not declared.
#[must_use]
pub fn health_check(template: &Template) -> Option<Healthcheck> {
    let image = template.image.config.healthcheck.as_ref();
    let check = match &template.service.healthcheck {
        None => image?.clone(),
        Some(own) if own.test == HealthTest::Image => {
            Healthcheck { test: image?.test.clone(), ..own.clone() }
        }
        Some(own) => own.clone(),
    };
    (!matches!(check.test, HealthTest::Disabled | HealthTest::Image)).then_some(check)
}

/// The signal that asks an instance to end: the service's, else the image's, else `SIGTERM`.
#[must_use]
pub fn stop_signal(template: &Template) -> String {
    let declared = template.service.stop_signal.as_ref().or(template.image.config.stop_signal.as_ref());
    declared.map_or_else(|| "SIGTERM".to_owned(), Clone::clone)
}
