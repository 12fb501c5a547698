//! The original JavaScript peers against a real star.
