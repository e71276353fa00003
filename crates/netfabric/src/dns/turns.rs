//! Whose turn it is to be first, for names that rotate.

use std::collections::HashMap;

use super::resolve::{Answer, Question};

/// Counts the answers to each question. With one count for all, an asker that asks for two families in
/// turn would always get the same first address.
#[derive(Debug, Default)]
pub(super) struct Turns {
    counts: HashMap<Question, usize>,
}

impl Turns {
    /// Where a rotated answer starts; others start where they start.
    pub(super) fn next(&mut self, answer: &Answer<'_>, question: &Question) -> usize {
        match answer {
            Answer::Addresses { rotate: true, addresses, .. } if addresses.len() > 1 => {
                let count = self.counts.entry(question.clone()).or_default();
                *count = count.wrapping_add(1);
                *count
            }
            _ => 0,
        }
    }
}
