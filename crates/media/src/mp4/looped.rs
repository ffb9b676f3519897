use super::Clip;
use crate::AccessUnit;

/// A clip that is played again and again, with times that keep rising; see [`Clip::looped`].
#[derive(Debug, Clone)]
pub struct Looped<'a> {
    clip: &'a Clip,
    next: u64,
}

/// A picture of a looped clip.
#[derive(Debug, Clone)]
pub struct LoopedUnit {
    /// The picture. `pts_ns` counts from the start of the first round; the first picture of each later round is a
    /// discontinuity.
    pub unit: AccessUnit,
    /// When to send the picture so that it is there in time, in nanoseconds from the start of the first round. Unlike
    /// `pts_ns` it never falls.
    pub due_ns: i64,
}

impl<'a> Looped<'a> {
    pub(super) fn new(clip: &'a Clip) -> Self {
        Self { clip, next: 0 }
    }

    /// Goes to the unit with this number, counted through all rounds.
    pub(crate) fn nth_of(clip: &'a Clip, next: u64) -> Self {
        Self { clip, next }
    }

    /// Goes to the last key frame that is due at `now_ns` or before, so that a late comer sees the picture that
    /// everybody else sees.
    #[must_use]
    pub fn at_key_frame_before(clip: &'a Clip, now_ns: i64) -> Self {
        let round = now_ns.max(0) / clip.duration_ns();
        let in_round = now_ns.max(0) % clip.duration_ns();
        let due = clip.dts_ns.partition_point(|dts| *dts <= in_round);
        // A clip begins with a key frame, so there is one.
        let key = clip.units()[..due].iter().rposition(|unit| unit.keyframe).unwrap_or(0);
        Self { clip, next: round as u64 * clip.units().len() as u64 + key as u64 }
    }

    /// Goes to the first key frame that is due after `now_ns`.
    #[must_use]
    pub fn at_key_frame_after(clip: &'a Clip, now_ns: i64) -> Self {
        let round = now_ns.max(0) / clip.duration_ns();
        let in_round = now_ns.max(0) % clip.duration_ns();
        let due = clip.dts_ns.partition_point(|dts| *dts <= in_round);
        let length = clip.units().len();
        // Or the one that the next round begins with.
        let key = clip.units()[due..].iter().position(|unit| unit.keyframe).map_or(length, |key| due + key);
        Self { clip, next: round as u64 * length as u64 + key as u64 }
    }

    /// The unit that [`next`](Iterator::next) will return.
    pub fn peek(&self) -> LoopedUnit {
        let length = self.clip.units().len() as u64;
        let (round, index) = (self.next / length, (self.next % length) as usize);
        let start_ns = (round as i64).saturating_mul(self.clip.duration_ns());
        let mut unit = self.clip.units()[index].clone();
        unit.pts_ns = unit.pts_ns.saturating_add(start_ns);
        unit.discontinuity = index == 0 && round > 0;
        LoopedUnit { unit, due_ns: self.clip.dts_ns[index].saturating_add(start_ns) }
    }
}

impl Iterator for Looped<'_> {
    type Item = LoopedUnit;

    /// Never `None`.
    fn next(&mut self) -> Option<LoopedUnit> {
        let unit = self.peek();
        self.next += 1;
        Some(unit)
    }
}
