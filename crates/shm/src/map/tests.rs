//! Against a model, and against memory that means nothing.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{Map, MapError, MapOptions};
use crate::{
    arena::Arena,
    noise::noise,
    sync::Ordering,
    wire::{Packet, Passed},
};

fn new_map(limit_bytes: usize) -> Map {
    Map::create(&Arena::create(Map::ARENA_BYTES).unwrap(), MapOptions { limit_bytes }).unwrap()
}

/// How much of its memory is taken.
fn taken_bytes(map: &Map) -> u64 {
    rustix::fs::fstat(map.memory().descriptor()).unwrap().st_blocks as u64 * 512
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, usize),
    SetAll(Vec<(u8, usize)>),
    Remove(u8),
    Clear,
    Update(u8, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = || prop_oneof![4 => 0usize..80, 1 => 0usize..3000];
    let step = prop_oneof![
        8 => (any::<u8>(), length()).prop_map(|(key, length)| Step::Set(key, length)),
        2 => prop::collection::vec((any::<u8>(), length()), 0..6).prop_map(Step::SetAll),
        4 => any::<u8>().prop_map(Step::Remove),
        1 => (any::<u8>(), length()).prop_map(|(key, length)| Step::Update(key, length)),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..300)
}

fn key(number: u8) -> Vec<u8> {
    vec![number; usize::from(number % 20)].into_iter().chain([number]).collect()
}

/// The model: values by key, in the order in which the keys came.
#[derive(Default)]
struct Model {
    values: HashMap<Vec<u8>, Vec<u8>>,
    order: Vec<Vec<u8>>,
}

impl Model {
    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) {
        if self.values.insert(key.clone(), value).is_none() {
            self.order.push(key);
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.order.retain(|known| known != key);
        self.values.remove(key)
    }

    fn bytes(&self) -> usize {
        self.values.iter().map(|(key, value)| super::half::entry_bytes(key, value)).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is done to it, it has what a `HashMap` would have, in the order in which it came; and what it refuses is what
    /// wouldn't fit.
    #[test]
    fn it_is_a_map(steps in steps(), limit in prop_oneof![Just(4096usize), Just(16_384), Just(1 << 20)]) {
        let (map, mut model, mut stamp) = (new_map(limit), Model::default(), 0u8);
        for step in steps {
            stamp = stamp.wrapping_add(1);
            match step {
                Step::Set(number, length) => {
                    let (key, value) = (key(number), vec![stamp; length]);
                    match map.set(&key, &value) {
                        Ok(()) => model.set(key, value),
                        Err(MapError::Full { needed_bytes, limit_bytes }) => {
                            model.set(key.clone(), value);
                            prop_assert_eq!((needed_bytes, limit_bytes), (model.bytes(), limit));
                            prop_assert!(needed_bytes > limit);
                            let before = map.get(&key).unwrap();
                            model.remove(&key);
                            map.remove(&key).unwrap();
                            if let Some(before) = before {
                                model.set(key.clone(), before.clone());
                                map.set(&key, &before).unwrap();
                            }
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                Step::SetAll(pairs) => {
                    let pairs: Vec<_> = pairs.into_iter().map(|(number, length)| (key(number), vec![stamp; length])).collect();
                    let before = map.entries().unwrap();
                    match map.set_all(&pairs) {
                        Ok(()) => pairs.into_iter().for_each(|(key, value)| model.set(key, value)),
                        Err(MapError::Full { .. }) => prop_assert_eq!(map.entries().unwrap(), before, "all or none"),
                        Err(error) => panic!("{error}"),
                    }
                }
                Step::Remove(number) => {
                    prop_assert_eq!(map.remove(key(number)).unwrap(), model.remove(&key(number)));
                }
                Step::Clear => {
                    map.clear().unwrap();
                    model = Model::default();
                }
                Step::Update(number, length) => {
                    let known = model.values.get(&key(number)).cloned();
                    let next = known.is_none().then(|| vec![stamp; length.min(50)]);
                    let set = map.update(key(number), |old| {
                        assert_eq!(old, known);
                        next.clone()
                    });
                    match (set, next) {
                        (Ok(_), Some(value)) => model.set(key(number), value),
                        (Ok(_), None) => drop(model.remove(&key(number))),
                        (Err(MapError::Full { .. }), _) => {}
                        (Err(error), _) => panic!("{error}"),
                    }
                }
            }
            prop_assert_eq!(map.len().unwrap(), model.order.len());
            prop_assert_eq!(map.lock().unwrap().used_bytes().unwrap(), model.bytes());
            prop_assert_eq!(map.lock().unwrap().last_key().unwrap(), model.order.last().cloned());
        }
        let expected: Vec<_> = model.order.iter().map(|key| (key.clone(), model.values[key].clone())).collect();
        prop_assert_eq!(map.entries().unwrap(), expected);
        prop_assert_eq!(map.keys().unwrap(), model.order.clone());
        for number in 0..=255 {
            prop_assert_eq!(map.get(key(number)).unwrap(), model.values.get(&key(number)).cloned());
        }
    }
}

#[test]
fn a_full_map_says_how_much_is_needed_and_goes_on() {
    let map = new_map(64 << 10);
    let mut number = 0u64;
    let full = loop {
        match map.set(number.to_le_bytes(), &[7; 900]) {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
    };
    let entry = 40 + 8 + 904;
    assert_eq!(number as usize, (64 << 10) / entry, "it was filled to the last entry that fits");
    let told = full.to_string();
    assert!(told.contains(&((number as usize + 1) * entry).to_string()) && told.contains("65536"), "{told}");
    for round in 0..5000u64 {
        map.set((round % number).to_le_bytes(), &[round as u8; 900]).unwrap(); // in place of another, it fits
    }
    assert_eq!(map.len().unwrap() as u64, number);
    map.remove(0u64.to_le_bytes()).unwrap();
    map.set(number.to_le_bytes(), &[7; 900]).unwrap();
}

#[test]
fn memory_is_taken_as_it_fills_and_given_back_as_it_empties() {
    let map = new_map(1 << 30);
    assert!(taken_bytes(&map) < 64 << 10, "{} bytes of an empty one", taken_bytes(&map));
    for number in 0..64u64 {
        map.set(number.to_le_bytes(), &vec![number as u8; 1 << 20]).unwrap();
    }
    let full = taken_bytes(&map);
    assert!((64 << 20..200 << 20).contains(&full), "{full} bytes for 64 MiB");
    for _ in 0..10 {
        map.set("again", &vec![1; 8 << 20]).unwrap();
    }
    assert!(taken_bytes(&map) < 250 << 20, "{}", taken_bytes(&map));
    for number in 0..64u64 {
        assert_eq!(map.remove(number.to_le_bytes()).unwrap().unwrap(), vec![number as u8; 1 << 20]);
    }
    map.remove("again").unwrap();
    assert!(taken_bytes(&map) < 1 << 20, "{} bytes of an emptied one", taken_bytes(&map));
    map.set("again", &vec![1; 8 << 20]).unwrap();
    map.clear().unwrap();
    assert!(taken_bytes(&map) < 1 << 20);
}

#[test]
fn a_hundred_thousand_keys_are_found() {
    let map = new_map(64 << 20);
    for number in 0..100_000u32 {
        map.set(number.to_le_bytes(), &number.to_be_bytes()).unwrap();
    }
    for number in (0..100_000u32).step_by(7) {
        assert_eq!(map.get(number.to_le_bytes()).unwrap().unwrap(), number.to_be_bytes());
    }
    assert_eq!(map.keys().unwrap().len(), 100_000);
    for number in 0..99_990u32 {
        map.remove(number.to_le_bytes()).unwrap();
    }
    assert_eq!((map.len().unwrap(), map.get(99_995u32.to_le_bytes()).unwrap().is_some()), (10, true));
}

#[test]
fn a_value_that_was_set_again_is_another_one() {
    let map = new_map(1 << 20);
    map.set("key", b"same").unwrap();
    let version = map.lock().unwrap().version_of("key").unwrap();
    assert!(map.compare_and_set("key", version, Some(b"same")).unwrap());
    assert!(!map.compare_and_set("key", version, Some(b"other")).unwrap());
    let version = map.lock().unwrap().version_of("key").unwrap();
    map.remove("key").unwrap();
    map.set("key", b"same").unwrap();
    assert!(!map.compare_and_set("key", version, None).unwrap());
    assert!(!map.compare_and_set("key", None, Some(b"new")).unwrap());
    assert!(map.compare_and_set("none", None, Some(b"new")).unwrap());
    assert_eq!(map.keys().unwrap(), [b"key".as_slice(), b"none"]);
}

#[test]
fn threads_that_update_lose_nothing() {
    let map = new_map(1 << 20);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    map.update("count", |old| {
                        Some(match old {
                            Some(old) => (u64::from_le_bytes(old.try_into().unwrap()) + 1).to_le_bytes().to_vec(),
                            None => 1u64.to_le_bytes().to_vec(),
                        })
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(map.get("count").unwrap().unwrap(), 4000u64.to_le_bytes());
}

#[test]
fn who_waits_hears_of_each_kind_of_change() {
    let map = new_map(1 << 20);
    map.set("there", b"").unwrap();
    let changes: [fn(&Map); 4] = [
        |map| map.set("key", b"value").unwrap(),
        |map| drop(map.remove("there").unwrap()),
        |map| map.set_all(&[("a", "1"), ("b", "2")]).unwrap(),
        |map| map.clear().unwrap(),
    ];
    let short = Duration::from_millis(10);
    for change in changes {
        let seen = map.version().unwrap();
        assert_eq!(map.wait_changed_for(seen, short).unwrap(), None);
        let (sleeping, here) = (map.clone(), &map);
        std::thread::scope(|scope| {
            let waiting = [0; 3].map(|_| scope.spawn(|| sleeping.wait_changed(seen).unwrap()));
            change(here);
            waiting.into_iter().for_each(|waiting| assert_eq!(waiting.join().unwrap(), seen + 1));
        });
        assert_eq!(map.wait_changed_for(seen, short).unwrap(), Some(seen + 1), "it needn't be asleep");
    }
    let seen = map.version().unwrap();
    assert_eq!((map.get("none").unwrap(), map.remove("none").unwrap()), (None, None));
    map.set_all::<&str, &str>(&[]).unwrap();
    assert_eq!(map.version().unwrap(), seen, "nothing was changed");
}

#[tokio::test]
async fn a_task_that_waits_hears_of_a_change() {
    let map = new_map(1 << 20);
    let seen = map.version().unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(40), map.wait_changed_async(seen)).await;
    assert!(nothing.is_err(), "nothing was changed");
    let others = map.clone();
    let waiting = tokio::spawn(async move { others.wait_changed_async(seen).await });
    map.set("key", b"value").unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), seen + 1);
}

#[test]
fn one_that_is_received_where_it_is_known_is_the_same() {
    let map = new_map(1 << 20);
    let packet = Packet::encode(&vec![&map; 50]).unwrap();
    assert_eq!(packet.descriptors.len(), 2, "its arena and its memory");
    let same: Vec<Map> = packet.decode().unwrap();
    same[49].set("key", b"value").unwrap();
    assert!(std::ptr::eq(same[7].memory(), map.memory()));
    assert_eq!(map.get("key").unwrap().unwrap(), b"value");
}

#[test]
fn hostile_memory_is_an_error_at_worst() {
    let mut refused = 0;
    for seed in 0..120 {
        let map = new_map(256 << 10);
        for number in 0..20u64 {
            map.set(number.to_le_bytes(), &vec![7; 10 * number as usize]).unwrap();
        }
        let memory = map.memory();
        let (mapping, at) = (memory.mapping(), memory.half_at(memory.active()));
        // Everywhere, or here and there; with values that mean nothing, or nearly something. The header of the half, its index,
        // its entries; the words in the arena.
        let every = [8, 8 * 7, 8 * 31, 8 * 211][seed as usize % 4];
        let from = [0, 0, 64, 64 + 64 * 8][(seed / 4) as usize % 4];
        for (offset, value) in (from..16_384).step_by(every).zip(noise(seed)) {
            let value = [value, value % 64, value % 20_000, value & !7 & 0x3fff][(seed / 16) as usize % 4];
            mapping.word64(at + offset).store(value, Ordering::Relaxed);
        }
        if seed % 3 == 0 {
            for (offset, value) in [(128, 3), (144, 4096), (152, noise(seed).nth(3).unwrap())] {
                memory.root().word64(offset).store(value, Ordering::Relaxed);
            }
        }
        let began = Instant::now();
        let mut results = Vec::new();
        for number in 0..30u64 {
            let key = number.to_le_bytes();
            results.push(map.get(key).err());
            results.push(map.set(key, &[1; 2000]).err());
            results.push(map.set_all(&[(key, [1; 20])]).err());
            results.push(map.set_all(&[([1; 8], [1; 20]), (key, [1; 20])]).err());
            results.push(map.remove(key).err());
            results.push(map.keys().err());
            results.push(map.entries().err());
            results.push(map.len().err());
            results.push(map.lock().and_then(|guard| guard.last_key()).err());
            results.push(super::repair::repair(memory).err());
            results.push(map.update(key, |_| Some(vec![1; 10])).err());
        }
        refused += results.iter().flatten().filter(|error| matches!(error, MapError::Broken(_))).count();
        for error in results.into_iter().flatten() {
            assert!(matches!(error, MapError::Broken(_) | MapError::Full { .. }), "{error}");
        }
        let _ = map.clear();
        assert!(began.elapsed() < Duration::from_secs(10), "seed {seed}: {:?}", began.elapsed());
    }
    assert!(refused > 1000, "{refused} times it was noticed");
}

#[test]
fn what_another_process_says_of_a_map_is_checked() {
    #[derive(serde::Serialize)]
    struct Forged {
        lock: crate::lock::Lock<()>,
        root: crate::arena::Address,
        memory: Passed,
    }
    let arena = Arena::create(8192).unwrap();
    let lock = crate::lock::Lock::create(&arena, ()).unwrap();
    let [mine, other] = [1 << 20, 1 << 21].map(|limit_bytes| Map::create(&arena, MapOptions { limit_bytes }).unwrap());
    let (root, memories) =
        (mine.memory().root().address(), [&mine, &other].map(|map| map.memory().descriptor().clone()));
    let forge = |memory: &Passed| {
        let (lock, root) = (lock.clone(), root.clone());
        Packet::encode(&Forged { lock, root, memory: memory.clone() }).unwrap().decode::<Map>()
    };
    drop(mine); // so that it isn't known here
    assert!(forge(&memories[0]).is_ok());
    let told = forge(&memories[1]).unwrap_err().to_string();
    assert!(told.contains("another map's"), "{told}");
    let file = Passed::new(std::fs::File::open("/proc/self/exe").unwrap());
    assert!(forge(&file).is_err(), "it isn't sealed");
    for (at, value) in [(8, 0), (8, u64::MAX), (16, 0), (16, u64::MAX), (16, 1 << 21)] {
        let place = arena.open(root.offset, super::memory::KIND, super::memory::ROOT_BYTES).unwrap();
        let right = place.word64(at).swap(value, Ordering::Relaxed);
        assert!(forge(&memories[0]).is_err(), "{at} {value}");
        place.word64(at).store(right, Ordering::Relaxed);
    }
    assert!(forge(&memories[0]).is_ok());
}

#[test]
fn a_forked_child_is_told() {
    let map = new_map(1 << 20);
    map.set("key", b"value").unwrap();
    // SAFETY: the child only looks at words, and ends by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = matches!(map.get("key"), Err(MapError::Forked(_)))
            && matches!(map.set("key", b"other"), Err(MapError::Forked(_)))
            && matches!(map.version(), Err(MapError::Forked(_)))
            && matches!(map.wait_changed_for(0, Duration::ZERO), Err(MapError::Forked(_)))
            && Packet::encode(&map).is_err();
        drop(map);
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(if told { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "it wasn't told, or died");
    assert_eq!(map.get("key").unwrap().unwrap(), b"value");
}
