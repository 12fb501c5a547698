//! Preparation of a command: its data folder, key, stars and node, and the signals that end it.

pub(crate) mod args;
pub(crate) mod data_folder;
pub(crate) mod failure;
pub(crate) mod node;
pub(crate) mod signals;
pub(crate) mod stars;
