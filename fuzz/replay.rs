//! Replays the corpora of the fuzz targets through the bodies of the targets.

#[path = "../../../fuzz/bodies.rs"]
mod bodies;

use std::{fs, path::Path};

/// Returns the inputs of a corpus with their file names, in order.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut inputs: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let entry = entry.expect("the folder can be listed");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("a file of the corpus"))
        })
        .collect();
    inputs.sort();
    inputs
}

/// Runs the body on every input and on every beginning of it.
fn replay(target: &str, at_least: usize, body: fn(&[u8])) {
    let inputs = corpus(target);
    assert!(
        inputs.len() >= at_least,
        "{target}: {} inputs",
        inputs.len()
    );
    for (name, input) in inputs {
        for end in (0..=input.len()).rev() {
            let outcome = std::panic::catch_unwind(|| body(&input[..end]));
            assert!(outcome.is_ok(), "{target}/{name}, first {end} bytes");
        }
    }
}

#[test]
fn addresses_of_the_corpus_hold() {
    replay("address", 20, bodies::address);
}

#[test]
fn packets_of_the_corpus_hold() {
    replay("packet", 20, bodies::packet);
}
