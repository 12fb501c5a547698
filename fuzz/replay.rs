//! Replays the corpus of a fuzz target through its body, in the unit tests of the
//! crate that the body belongs to.

use std::{fs, panic::catch_unwind, path::Path};

/// Fewest inputs of a corpus.
const MIN_INPUTS: usize = 20;

/// Runs the body of a target on every input of `fuzz/corpus/<target>/`, and on
/// every prefix of it.
///
/// # Panics
///
/// When the body does, or when the corpus has fewer than [`MIN_INPUTS`] inputs.
pub(crate) fn replay(target: &str, body: fn(&[u8])) {
    let inputs = corpus(target);
    let n_inputs = inputs.len();
    assert!(n_inputs >= MIN_INPUTS, "{target}: {n_inputs} inputs");
    for (name, input) in inputs {
        for end in (0..=input.len()).rev() {
            let outcome = catch_unwind(|| body(&input[..end]));
            assert!(outcome.is_ok(), "{target}/{name}, first {end} bytes");
        }
    }
}

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
