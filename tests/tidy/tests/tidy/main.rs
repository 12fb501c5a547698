//! The rules of the house; see the table in the crate's documentation.

mod arrows;
mod circles;
mod documents;
mod guide;
mod layout;
mod purity;
mod requirements;
mod sizes;
mod words;
