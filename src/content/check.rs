//! Owns the checks that span items.
