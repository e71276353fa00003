//! Filters compiled before: services of one kind share a profile, and so do an instance's probes.

use std::sync::{Arc, Mutex, PoisonError};

use oci_spec::runtime::LinuxSeccomp;

use super::{Architecture, CompileError, Filter, compile};

/// As many profiles as are kept; of more, the longest unused goes.
const MOST: usize = 16;

/// Compared whole: the filter of another profile would be an open door.
static KNOWN: Mutex<Vec<(LinuxSeccomp, Arc<Filter>)>> = Mutex::new(Vec::new());

/// The filter of a profile on this machine.
pub(crate) fn filter(profile: &LinuxSeccomp) -> Result<Arc<Filter>, CompileError> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = known.iter().position(|(other, _)| other == profile) {
        // The last used first.
        if let Some(used) = known.get_mut(..=place) {
            used.rotate_right(1);
        }
    } else {
        let native = Architecture::NATIVE.ok_or(CompileError::Architecture)?;
        let filter = Arc::new(compile(profile, native)?);
        known.insert(0, (profile.clone(), filter));
        known.truncate(MOST);
    }
    known.first().map(|(_, filter)| Arc::clone(filter)).ok_or(CompileError::Architecture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{Circumstances, default_profile};

    #[test]
    fn a_profile_is_compiled_once_and_another_for_itself() {
        let resolve = |capabilities: &[oci_spec::runtime::Capability]| {
            let capabilities = capabilities.iter().copied().collect();
            let native = Architecture::NATIVE.unwrap();
            default_profile().resolve(&Circumstances { native, capabilities, kernel: (6, 1) })
        };
        let plain = resolve(&[]);
        let first = filter(&plain).unwrap();
        let other = filter(&resolve(&[oci_spec::runtime::Capability::SysAdmin])).unwrap();
        assert!(Arc::ptr_eq(&first, &filter(&plain).unwrap()));
        assert_ne!(first, other);
    }
}
