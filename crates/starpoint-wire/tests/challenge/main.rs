//! R-CHAL-1 to R-CHAL-4, against `spec/vectors/challenge.json`.

mod keys;
mod properties;
mod signatures;
mod vectors;
