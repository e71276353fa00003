//! The archives, by kind. Every name is unique; `docs/unpack-differences.md` refers to them.

mod attributes;
mod headers;
mod links;
mod names;
mod numbers;
mod replace;
mod sparse;
mod streams;
mod whiteouts;

/// One archive.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn case(name: impl Into<String>, bytes: Vec<u8>) -> Case {
    Case { name: name.into(), bytes }
}

/// All archives. Some point at `canary`, an absolute path, or at `../../../canary`.
pub(crate) fn all(canary: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(names::cases());
    cases.extend(links::cases(canary));
    cases.extend(replace::cases());
    cases.extend(whiteouts::cases());
    cases.extend(attributes::cases());
    cases.extend(sparse::cases());
    cases.extend(numbers::cases());
    cases.extend(headers::cases());
    cases.extend(streams::cases());
    cases
}
