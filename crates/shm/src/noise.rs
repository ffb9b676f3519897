//! What tests of hostile memory put there.

/// Bytes that mean nothing, the same each time.
pub(crate) fn noise(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed.wrapping_mul(2).wrapping_add(1)), |state| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    })
}
