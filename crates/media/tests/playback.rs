//! A file plays at its own pace, for ever.

mod rig;

use std::sync::Arc;
use std::time::Duration;

use media::file::Playback;
use media::mp4::Looped;
use rig::{ASTRONAUT, B_FRAMES, clip};
use tokio::time::{Instant, advance};

/// The clock of these tests stands still unless everybody waits for it, so they take no time.
fn with_simulated_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn each_picture_comes_when_it_is_due_also_in_later_rounds() {
    with_simulated_time(async {
        let clip = Arc::new(clip(B_FRAMES));
        let mut playback = Playback::new(clip.clone());
        let start = Instant::now();
        for (number, expected) in clip.looped().take(130).enumerate() {
            assert_eq!(playback.next().await, expected.unit);
            let late = start.elapsed().as_nanos() as i64 - expected.due_ns;
            // The runtime's timer counts in milliseconds.
            assert!((0..=1_000_000).contains(&late), "{number}: {late} ns late");
            assert_eq!(expected.unit.discontinuity, number == 50 || number == 100);
        }
        assert_eq!(start.elapsed().as_secs(), 5);
    });
}

#[test]
fn time_that_was_slept_through_is_not_made_up_for() {
    with_simulated_time(async {
        let mut playback = Playback::new(Arc::new(clip(ASTRONAUT)));
        let before = playback.next().await;
        advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..16 {
            playback.next().await;
        }
        let after = playback.next().await;
        assert!(start.elapsed() >= Duration::from_secs(1), "no burst: {:?}", start.elapsed());
        assert!(after.pts_ns - before.pts_ns < 2_000_000_000, "and no hole");
    });
}

#[test]
fn a_late_comer_begins_with_a_key_frame() {
    let clip = clip(ASTRONAUT);
    for now_ms in [0_i64, 1, 1_999, 2_000, 7_300, 11_999, 12_000, 600_123] {
        let now_ns = now_ms * 1_000_000;
        let (before, after) = (Looped::at_key_frame_before(&clip, now_ns), Looped::at_key_frame_after(&clip, now_ns));
        let (before, after) = (before.peek(), after.peek());
        assert!(before.unit.keyframe && after.unit.keyframe);
        assert!(before.due_ns <= now_ns && now_ns < after.due_ns, "{now_ms}: {} {}", before.due_ns, after.due_ns);
        assert_eq!(after.due_ns - before.due_ns, 2_000_000_000, "{now_ms}: neighbours");
    }
}
