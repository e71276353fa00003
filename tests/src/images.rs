//! Images made by the test set-up.
