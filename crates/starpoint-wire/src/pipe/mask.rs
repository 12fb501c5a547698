//! Masking, RFC 6455, section 5.3, at the speed of memory.

/// Bytes that are masked at once: the compiler makes vectors of them.
const WORD_BYTES: usize = 16;

/// Masks bytes in place, or takes the mask off again. `key` belongs to the first
/// of them: in the middle of a frame it is rotated by what came before.
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    if key == [0; 4] {
        return;
    }
    let word = word(key);
    let (words, rest) = bytes.as_chunks_mut::<WORD_BYTES>();
    for chunk in words {
        *chunk = (u128::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Copies bytes and masks them on the way, as [`mask`] does.
///
/// # Panics
///
/// When the lengths differ.
pub fn copy_masked(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    assert_eq!(from.len(), to.len(), "as many bytes as there is room for");
    let word = word(key);
    let (from_words, from_rest) = from.as_chunks::<WORD_BYTES>();
    let (to_words, to_rest) = to.as_chunks_mut::<WORD_BYTES>();
    for (from, to) in from_words.iter().zip(to_words) {
        *to = (u128::from_ne_bytes(*from) ^ word).to_ne_bytes();
    }
    for ((from, to), key) in from_rest.iter().zip(to_rest).zip(key.iter().cycle()) {
        *to = from ^ key;
    }
}

fn word(key: [u8; 4]) -> u128 {
    let half = u64::from(u32::from_ne_bytes(key));
    let half = half << 32 | half;
    u128::from(half) << 64 | u128::from(half)
}
