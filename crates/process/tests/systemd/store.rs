//! What outlives the supervisor, in systemd's hands.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{fs::fstat, process::Signal};

use super::{Test, manager::Manager, service::ITEMS, wait_until};

pub const TESTS: &[Test] = &[
    ("a_queue_outlives_the_supervisors_sigkill", outlives),
    ("what_is_kept_anew_all_the_time_is_never_lost", kept_anew),
    ("a_store_that_is_too_small_keeps_what_it_had", too_small),
    ("a_store_that_an_earlier_run_has_filled_is_full", full),
    ("sockets_are_handed_out_by_name_and_not_to_children", sockets),
];

/// What the consumers of one run did: the items done, and those that were held at its end.
fn notes(manager: &Manager) -> (Vec<u64>, Vec<u64>) {
    let notes = fs::read_to_string(manager.path("notes")).unwrap_or_default();
    let of = |what: &str| -> Vec<u64> {
        let lines = notes.lines().filter_map(|line| line.strip_prefix(what));
        lines.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    (of("done "), of("holds "))
}

fn outlives() {
    let mut manager = Manager::new();
    let mut done = BTreeSet::new();
    let mut held_before: Vec<u64> = Vec::new();
    for run in 0..3 {
        manager.start("store");
        let note = if run == 0 { "note None gone None" } else { "note Some(\"two\") gone None" };
        assert_eq!(format!("note {}", manager.wait_for_line("note ")), note);
        wait_until("two hold items", || {
            manager.hear_all();
            assert!(manager.is_running(), "{}", manager.output());
            let has_file = fs::read_to_string(manager.path("notes")).is_ok_and(|notes| notes.contains("holds file 0"));
            notes_without_files(&manager).1.len() == 2 && (run > 0 || has_file)
        });
        manager.signal(Signal::KILL);
        manager.wait_end();
        assert_eq!(
            manager.stored().into_iter().filter(|name| *name != "framewire.note.2").collect::<Vec<_>>(),
            [
                "framewire.files.0",
                "framewire.files.0",
                "framewire.jobs.0",
                "framewire.jobs.0",
                "framewire.note.1",
                "framewire.note.1"
            ]
        );
        let (now, held) = notes_without_files(&manager);
        assert_eq!(now.len(), 40);
        // What the dead had held was first. (Two consumers: which of them noted it first isn't known.)
        let first: BTreeSet<u64> = now.iter().copied().chain(held.iter().copied()).take(4).collect();
        assert!(held_before.iter().all(|item| first.contains(item)), "{held_before:?} came back among {now:?}");
        done.extend(now);
        held_before = held;
        held_before.sort_unstable();
        fs::remove_file(manager.path("notes")).unwrap();
        if run == 0 {
            // As a death amidst a later `keep` would leave it, if systemd had room for one end only.
            let (torn, _) = std::os::unix::net::UnixStream::pair().unwrap();
            manager.store.push(("framewire.note.2".to_owned(), torn.into()));
        } else {
            manager.store.retain(|(name, _)| name != "framewire.note.2");
        }
    }
    fs::write(manager.path("finish"), "").unwrap();
    manager.start("store");
    let files = manager.wait_for_line("files ");
    assert_eq!(manager.wait_end().code(), Some(0), "{}", manager.output());
    assert!(manager.output().contains("finished"));
    let (last, _) = notes(&manager);
    // One consumer: what was held, the oldest first, and then the rest in the order in which it was put.
    let rest: Vec<u64> = (0..ITEMS).filter(|item| !done.contains(item) && !held_before.contains(item)).collect();
    assert_eq!(last, [held_before.clone(), rest].concat());
    done.extend(last);
    assert_eq!(done.len() as u64, ITEMS, "each was done");
    let expected: Vec<(u64, String)> = (0..5).map(|number| (number, format!("text {number}"))).collect();
    assert_eq!(files, format!("{expected:?}"), "also the one that was held, with its file");
    let deliveries = fs::read_to_string(manager.path("notes")).unwrap();
    let again = deliveries.lines().filter(|line| !line.ends_with(" 1")).count();
    assert_eq!(again, 2, "only what was held comes twice: {deliveries}");
}

fn notes_without_files(manager: &Manager) -> (Vec<u64>, Vec<u64>) {
    let notes = fs::read_to_string(manager.path("notes")).unwrap_or_default();
    let of =
        |what: &str| -> Vec<u64> { notes.lines().filter_map(|line| line.strip_prefix(what)?.parse().ok()).collect() };
    (of("done "), of("holds "))
}

/// Killed at any instant, also between a new value and the removal of the old one.
fn kept_anew() {
    let mut manager = Manager::new();
    let mut last = None;
    for run in 0..25 {
        manager.start("keeps");
        manager.wait_for("FDSTORE=1");
        let end = Instant::now() + Duration::from_micros(700 * run);
        while manager.hear_within(end.saturating_duration_since(Instant::now())).is_some() {}
        manager.signal(Signal::KILL);
        manager.wait_end();
        let restored = manager.wait_for_line("restored ");
        let restored = restored.parse::<u64>().ok();
        assert_eq!(restored.is_none(), run == 0, "{}", manager.output());
        assert!(run == 0 || restored > last, "{last:?} was kept, and then {restored:?} was there");
        last = restored.or(Some(0));
        assert!(manager.store.len() < 10, "{:?}", manager.stored());
    }
}

fn too_small() {
    let mut manager = Manager::new();
    manager.variables.push(("FDSTORE", "3".to_owned()));
    manager.start("store");
    assert_eq!(manager.wait_end().code(), Some(1));
    let output = manager.output();
    assert!(output.contains("could not keep files across a restart: systemd keeps 3 descriptors"), "{output}");
    assert_eq!(manager.stored(), ["framewire.jobs.0"; 2]);
}

fn full() {
    let mut manager = Manager::new();
    for (room, names, fits) in [
        ("4", "a b", true),
        ("4", "c", false),
        ("4", "a", false),
        ("6", "a", true),
        ("6", "c", true),
        ("6", "b", false),
    ] {
        manager.variables.retain(|(name, _)| *name != "FDSTORE");
        manager.variables.push(("FDSTORE", room.to_owned()));
        fs::write(manager.path("names"), names).unwrap();
        manager.start("names");
        assert_eq!(manager.wait_end().success(), fits, "{names} into {room}: {}", manager.output());
        let told = format!("could not keep {names} across a restart: systemd keeps {room} descriptors");
        assert!(fits || manager.output().contains(&told), "{}", manager.output());
    }
    let (mut stored, expected) = (manager.stored(), ["framewire.a.1", "framewire.b.0", "framewire.c.0"]);
    stored.dedup();
    assert_eq!(stored, expected);
}

fn sockets() {
    let mut manager = Manager::new();
    let listener = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let inode = fstat(&listener).unwrap().st_ino;
    manager.sockets.push(("http".to_owned(), listener));
    manager.sockets.push(("other".to_owned(), fs::File::open("/dev/null").unwrap().into()));
    for (run, plain) in [(0, "0 none 0"), (1, "1 none 0")] {
        manager.start("sockets");
        assert_eq!(manager.wait_for_line("http "), format!("{inode} kept"), "run {run}");
        assert_eq!((manager.wait_for_line("again "), manager.wait_for_line("plain ")), ("0".into(), plain.into()));
        wait_until("it is ready", || {
            manager.hear_all();
            manager.has_heard("READY=1")
        });
        manager.signal(Signal::TERM);
        assert_eq!(manager.wait_end().code(), Some(0));
        assert_eq!(manager.stored(), ["plain"]);
        manager.heard.clear();
    }
}
