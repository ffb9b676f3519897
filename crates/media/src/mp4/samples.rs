use mp4_atom::{Mdia, Stbl, StszSamples};

use super::ClipError;

/// One sample of a track: where its bytes lie, and when, in the track's timescale.
pub(super) struct Sample {
    pub(super) offset: usize,
    pub(super) size: usize,
    pub(super) dts: i64,
    pub(super) pts: i64,
}

/// Resolves the tables of a track into its samples. The tables may say anything: a count that the other tables or the
/// `length` of the file don't bear out is an error, so the result is never out of proportion to the file.
pub(super) fn samples(mdia: &Mdia, length: usize) -> Result<Vec<Sample>, ClipError> {
    let stbl = &mdia.minf.stbl;
    let sizes = sizes(stbl, length)?;
    let offsets = offsets(stbl, &sizes)?;
    let mut times = Times::new(stbl);
    let mut samples = Vec::with_capacity(sizes.len());
    for (size, offset) in sizes.into_iter().zip(offsets) {
        let (dts, pts) = times.next()?;
        let end = offset.checked_add(size as u64).filter(|end| *end <= length as u64);
        if end.is_none() {
            return Err(damaged(format!("a picture lies at byte {offset}, beyond its end at {length}")));
        }
        samples.push(Sample { offset: offset as usize, size, dts, pts });
    }
    Ok(samples)
}

fn sizes(stbl: &Stbl, length: usize) -> Result<Vec<usize>, ClipError> {
    let sizes: Vec<usize> = match &stbl.stsz.samples {
        StszSamples::Different { sizes } => sizes.iter().map(|size| *size as usize).collect(),
        StszSamples::Identical { count, size } => {
            // A size of zero for each would allow any count.
            let total = u64::from(*count) * u64::from((*size).max(1));
            if total > length as u64 {
                return Err(damaged(format!("it claims {count} pictures of {size} bytes in {length} bytes")));
            }
            vec![*size as usize; *count as usize]
        }
    };
    Ok(sizes)
}

/// The position of each sample in the file.
fn offsets(stbl: &Stbl, sizes: &[usize]) -> Result<Vec<u64>, ClipError> {
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (_, Some(co64)) => co64.entries.clone(),
        (Some(stco), None) => stco.entries.iter().map(|offset| u64::from(*offset)).collect(),
        (None, None) => return Err(damaged("it has no chunk offsets".into())),
    };
    let mut offsets = Vec::with_capacity(sizes.len());
    let runs = &stbl.stsc.entries;
    for (index, chunk) in chunks.iter().enumerate() {
        let number = index as u64 + 1;
        let next = runs.partition_point(|run| u64::from(run.first_chunk) <= number);
        let Some(run) = next.checked_sub(1).and_then(|run| runs.get(run)) else {
            return Err(damaged(format!("its chunk {number} isn't described")));
        };
        let mut offset = *chunk;
        for _ in 0..run.samples_per_chunk {
            let Some(size) = sizes.get(offsets.len()) else { return Ok(offsets) };
            offsets.push(offset);
            offset = offset.saturating_add(*size as u64);
        }
    }
    if offsets.len() < sizes.len() {
        return Err(damaged(format!("it describes {} pictures and locates {}", sizes.len(), offsets.len())));
    }
    Ok(offsets)
}

/// Walks the tables of decoding times and of composition offsets together.
struct Times<'a> {
    deltas: Box<dyn Iterator<Item = u32> + 'a>,
    shifts: Box<dyn Iterator<Item = i64> + 'a>,
    dts: i64,
}

impl<'a> Times<'a> {
    fn new(stbl: &'a Stbl) -> Self {
        let deltas = stbl.stts.entries.iter();
        let shifts = stbl.ctts.iter().flat_map(|ctts| ctts.entries.iter());
        Self {
            deltas: Box::new(deltas.flat_map(|run| std::iter::repeat_n(run.sample_delta, run.sample_count as usize))),
            shifts: Box::new(shifts.flat_map(|run| std::iter::repeat_n(run.sample_offset, run.sample_count as usize))),
            dts: 0,
        }
    }

    fn next(&mut self) -> Result<(i64, i64), ClipError> {
        let Some(delta) = self.deltas.next() else {
            return Err(damaged("its last pictures have no times".into()));
        };
        let dts = self.dts;
        // At most 2^32 samples of less than 2^32 ticks each: 64 bits hold any file's sum, barely; saturate for the rest.
        self.dts = dts.saturating_add(i64::from(delta));
        Ok((dts, dts.saturating_add(self.shifts.next().unwrap_or(0))))
    }
}

fn damaged(what: String) -> ClipError {
    ClipError::Damaged(what)
}
