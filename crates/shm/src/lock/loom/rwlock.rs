use loom::{sync::Arc, thread};

use super::{Member, World, explore, explore_deaths};
use crate::{
    arena::Members,
    lock::{
        mutex::{self, Taken},
        shared::{self, Shared},
    },
    sync::{AtomicU32, Ordering},
};

struct Twin {
    word: AtomicU32,
    records: [AtomicU32; 3],
}

impl Twin {
    fn new() -> Arc<Self> {
        Arc::new(Self { word: AtomicU32::new(0), records: std::array::from_fn(|_| AtomicU32::new(0)) })
    }
}

impl Shared for Twin {
    fn word(&self) -> &AtomicU32 {
        &self.word
    }
    fn record(&self, slot: u16) -> &AtomicU32 {
        &self.records[usize::from(slot)]
    }
    fn slots(&self) -> u16 {
        3
    }
}

fn read(twin: &Twin, member: &Member) -> (Option<Taken>, u32) {
    let taken = shared::read(twin, member, None).unwrap();
    let value = member.world.value();
    shared::end_read(twin, member.me());
    (taken, value)
}

fn write(twin: &Twin, member: &Member) -> Option<Taken> {
    let taken = shared::write(twin, member, None);
    member.world.add(1);
    shared::end_write(twin, member.me());
    taken
}

#[test]
fn loom_rwlock_nobody_reads_what_is_written() {
    explore(2, || {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let writer = thread::spawn(move || write(&theirs, &member));
        let (theirs, member) = (twin.clone(), Member::new(&world, 2));
        let reader = thread::spawn(move || read(&theirs, &member));
        read(&twin, &Member::new(&world, 0));
        assert_eq!(writer.join().unwrap(), Some(Taken::Clean));
        reader.join().unwrap();
        assert_eq!(read(&twin, &Member::new(&world, 0)), (Some(Taken::Clean), 1));
    });
}

#[test]
fn loom_rwlock_a_reader_may_die_anywhere() {
    explore_deaths(2, 12, |points| {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let dying = thread::spawn(move || {
            member.live(points, || {
                let _ = read(&theirs, &member);
            })
        });
        assert_eq!(write(&twin, &Member::new(&world, 0)), Some(Taken::Clean));
        dying.join().unwrap();
        assert_eq!(write(&twin, &Member::new(&world, 0)), Some(Taken::Clean));
    });
}

#[test]
fn loom_rwlock_a_writer_may_die_anywhere() {
    explore_deaths(2, 12, |points| {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let dying = thread::spawn(move || {
            member.live(points, || {
                let _ = write(&theirs, &member);
            })
        });
        read(&twin, &Member::new(&world, 0));
        let survived = dying.join().unwrap();
        let (taken, _) = read(&twin, &Member::new(&world, 0));
        assert!(!survived || taken == Some(Taken::Clean));
        write(&twin, &Member::new(&world, 0));
    });
}

/// A reader that doesn't look at the writer's word after it has counted itself reads while it is written.
#[test]
#[should_panic(expected = "Causality violation")]
fn loom_control_rwlock_without_looking_again() {
    explore(2, || {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let writer = thread::spawn(move || write(&theirs, &member));
        let me = Member::new(&world, 0);
        if mutex::try_take(&twin.word, &me).is_ok() {
            mutex::unlock(&twin.word, me.me(), crate::futex::ALL);
            twin.records[0].store(1 << 16 | 1, Ordering::SeqCst);
            world.value();
            twin.records[0].store(0, Ordering::SeqCst);
            crate::futex::wake(&twin.records[0], 1);
        }
        writer.join().unwrap();
    });
}

/// A writer that doesn't look at the records writes what is read.
#[test]
#[should_panic(expected = "Causality violation")]
fn loom_control_rwlock_without_looking_at_readers() {
    explore(2, || {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let reader = thread::spawn(move || read(&theirs, &member));
        let me = Member::new(&world, 0);
        mutex::lock(&twin.word, &me, None).unwrap();
        world.add(1);
        shared::end_write(&*twin, me.me());
        reader.join().unwrap();
    });
}
