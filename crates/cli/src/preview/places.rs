//! Where in the stack file a difference is written.

use hoist_model::{FieldChange, Preview};
use hoist_stackfile::{Project, explain};

/// Notes the place of each difference: of the value, or of what is around it where the value is gone.
pub(crate) fn find(project: &Project, preview: &mut Preview) {
    let services = preview.services.values_mut().flat_map(|service| &mut service.differences);
    for one in services.chain(&mut preview.differences) {
        one.place = place(project, one);
    }
}

fn place(project: &Project, one: &FieldChange) -> Option<String> {
    let mut path = one.path.as_str();
    loop {
        if let Some(explained) = explain(project, path)
            && let Some(place) = explained.steps.into_iter().find_map(|step| step.place)
        {
            // Without the column: an editor finds the line, and so does a person.
            return place.rsplit_once(':').map(|(line, _)| line.to_owned());
        }
        path = path.rsplit_once('.')?.0;
    }
}
