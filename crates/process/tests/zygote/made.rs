//! What a copy has, and what it hasn't.

use std::collections::BTreeSet;

use process::{CallError, Exit, Launcher, System};
use rustix::{fs::Mode, process::umask};

use super::{
    LIMIT, Test,
    runner::{children, is_gone},
    seen::{is_copy, our_zygote, parent, pid, start, title, zygotes},
    subject::{Config, Subject},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("a_copy_is_the_applications_own_child", a_copy_is_our_own_child),
    ("one_may_be_started_by_exec_all_the_same", one_by_exec),
    ("it_has_the_variables_and_the_folder_that_were_ordered", variables_and_folder),
    ("it_is_called_as_one_started_by_exec", its_title),
    ("it_has_nobody_elses_descriptors", descriptors),
    ("signals_and_rights_are_as_by_exec", signals_and_rights),
    ("rights_given_up_are_not_had_by_later_children", rights_given_up),
    ("a_panic_is_told_and_threads_work", panics_and_threads),
    ("no_two_copies_have_the_same_random_numbers", random_numbers),
    ("three_levels_each_with_a_zygote", three_levels),
];

fn own() -> i32 {
    std::process::id() as i32
}

fn a_copy_is_our_own_child(system: &System) {
    for code in [0, 1, 42, 255] {
        let subject = start(system, "m.own");
        let pid = pid(&subject);
        assert!(is_copy(pid));
        assert_eq!((parent(pid), parent(our_zygote())), (own(), own()));
        assert_eq!(subject.half(4).wait().unwrap(), 2);
        subject.leave(code).detach();
        assert_eq!(subject.join_for(LIMIT), Some(Exit::Code(code)));
        let mut last = subject.last_exit().unwrap().1;
        last.sort();
        assert_eq!(last, ["going".to_owned(), format!("with {code}")]);
    }
    let subject = start(system, "m.own");
    subject.terminate();
    assert_eq!(subject.join_for(LIMIT), Some(Exit::Signal(15)));
}

fn one_by_exec(system: &System) {
    let subject = system.spawn::<Subject>(Config::default()).name("m.exec").launcher(Launcher::Exec).start().unwrap();
    assert!(!is_copy(pid(&subject)));
    let mut sleep = std::process::Command::new("sleep");
    sleep.arg("1000");
    let sleep = system.spawn_program(&sleep).launcher(Launcher::Zygote).start().unwrap();
    wait_until("it has become another program", || title(pid(&sleep)).starts_with("sleep\0"));
    let copy = start(system, "m.copy");
    assert!(copy.nest_by_exec().wait().unwrap().unwrap(), "also a copy's own children");
}

fn variables_and_folder(system: &System) {
    let _zygote = start(system, "m.first");
    let spawn = || system.spawn::<Subject>(Config::default()).name("m.around");
    let around = spawn().env("COLOUR", "green").current_dir("/usr").start().unwrap();
    assert_eq!(around.surroundings("COLOUR".to_owned()).wait().unwrap(), (Some("green".to_owned()), "/usr".to_owned()));
    around.stop(LIMIT);
    // The next one has nothing of it, and our folder as it is now, not as it was for the zygote.
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir("/").unwrap();
    let around = spawn().env_remove("PATH").start().unwrap();
    std::env::set_current_dir(before).unwrap();
    assert_eq!(around.surroundings("COLOUR".to_owned()).wait().unwrap(), (None, "/".to_owned()));
    assert_eq!(around.surroundings("PATH".to_owned()).wait().unwrap().0, None);
    around.stop(LIMIT);
    let told = spawn().current_dir("/no/such").start().unwrap_err().to_string();
    assert!(told.contains("/no/such"), "{told}");
    for (name, value) in [("A=B", "1"), ("", "1"), ("A\0", "1"), ("A", "\0")] {
        let told = spawn().env(name, value).start().unwrap_err().to_string();
        assert!(told.contains("set the variable"), "{told}");
    }
    assert_eq!(spawn().start().unwrap().half(2).wait().unwrap(), 1, "and all that is no harm to the next");
}

fn its_title(system: &System) {
    let (copy, exec) =
        (start(system, "m.a name that is rather long"), "m.a name that is too long for its room".repeat(9));
    let title_of_copy = title(pid(&copy));
    let words: Vec<&str> = title_of_copy.trim_end_matches('\0').split('\0').collect();
    assert_eq!(words, ["framewire", "__process", "subject", "m.a name that is rather long"]);
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", pid(&copy))).unwrap();
    assert_eq!(comm, "m.a name that i\n");
    let long = start(system, &exec);
    let title = title(pid(&long));
    assert!(title.starts_with("framewire\0__process\0subject\0m.a name") && title.len() < 300, "{title:?}");
    assert_eq!(std::fs::read_to_string(format!("/proc/{}/comm", our_zygote())).unwrap(), "zygote\n");
}

fn descriptors(system: &System) {
    let exec = system.spawn::<Subject>(Config::default()).name("m.fds").launcher(Launcher::Exec).start().unwrap();
    let kinds = |open: &[String]| {
        let mut kinds: Vec<String> = open.iter().map(|open| open.split(':').next().unwrap().to_owned()).collect();
        kinds.retain(|kind| !kind.starts_with("/proc/"));
        kinds.sort();
        kinds
    };
    let by_exec = exec.open().wait().unwrap();
    let expected = kinds(&by_exec);
    let copies: Vec<_> = (0..20).map(|index| start(system, &format!("m.fds{index}"))).collect();
    let mut all = BTreeSet::new();
    let is_private = |open: &&String| open.starts_with("socket:") || open.starts_with("pipe:");
    // What everybody inherits from whoever started the tests (cargo has a pipe there), each by exec has too.
    let own =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let own: Vec<String> = own.map(|target| target.to_string_lossy().into_owned()).collect();
    let inherited = |open: &String| by_exec.contains(open) && own.contains(open);
    for copy in &copies {
        let open = copy.open().wait().unwrap();
        assert_eq!(kinds(&open), expected, "{open:?}");
        for private in open.iter().filter(is_private).filter(|open| !inherited(open)) {
            assert!(all.insert(private.clone()), "{private} is open in two of them");
        }
    }
}

fn signals_and_rights(system: &System) {
    let exec = system.spawn::<Subject>(Config::default()).name("m.sig").launcher(Launcher::Exec).start().unwrap();
    let copy = start(system, "m.sig2");
    assert_eq!(copy.standing().wait().unwrap(), exec.standing().wait().unwrap());
    for pid in [pid(&copy), our_zygote()] {
        assert!(shm::life::leads_group(rustix::process::Pid::from_raw(pid).unwrap()));
    }
}

fn rights_given_up(system: &System) {
    let before = start(system, "m.before");
    let zygote = our_zygote();
    let old = umask(Mode::from_raw_mode(0o077));
    let after = start(system, "m.after");
    assert!(our_zygote() != zygote, "there is another zygote for that");
    let status = after.standing().wait().unwrap();
    umask(old);
    assert!(status.contains(&"Umask:\t0077".to_owned()), "{status:?}");
    assert_eq!(before.half(2).wait().unwrap(), 1);
    let again = start(system, "m.again");
    assert!(!again.standing().wait().unwrap().contains(&"Umask:\t0077".to_owned()));
}

fn panics_and_threads(system: &System) {
    let subject = start(system, "m.panic");
    assert_eq!(subject.in_threads(20).wait().unwrap(), 190);
    let told = subject.half(3).wait().unwrap_err();
    assert!(matches!(&told, CallError::HandlerFailed { why, .. } if why.contains("3 is odd")), "{told}");
    assert_eq!(subject.half(2).wait().unwrap(), 1);
    subject.panic_for_good().detach();
    let exit = subject.join_for(LIMIT).unwrap();
    assert!(matches!(&exit, Exit::Panic(why) if why.contains("for good")), "{exit}");
    let config = Config { panics: true, ..Config::default() };
    let told = system.spawn::<Subject>(config).name("m.panic").start().unwrap_err().to_string();
    assert!(told.contains("no start"), "{told}");
}

fn random_numbers(system: &System) {
    let copies: Vec<_> = (0..10).map(|index| start(system, &format!("m.random{index}"))).collect();
    let numbers: BTreeSet<u64> = copies.iter().map(|copy| copy.random().wait().unwrap()).collect();
    assert_eq!(numbers.len(), copies.len());
}

fn three_levels(system: &System) {
    let subject = start(system, "m.nested");
    let pids = subject.nest(3).wait_for(LIMIT).unwrap().unwrap();
    assert_eq!(pids.len(), 4);
    assert!(pids.iter().all(|pid| is_copy(*pid)));
    let inner: Vec<i32> = pids.iter().take(3).flat_map(|pid| zygotes(*pid)).collect();
    assert_eq!(inner.len(), 3, "each that has children has one of its own, and no other");
    subject.kill();
    assert_eq!(subject.join_for(LIMIT), Some(Exit::Signal(9)));
    wait_until("all are gone", || pids.iter().chain(&inner).all(|pid| is_gone(*pid)));
    // And in order.
    let subject = start(system, "m.nested");
    let pids = subject.nest(2).wait_for(LIMIT).unwrap().unwrap();
    let inner: Vec<i32> = pids.iter().take(2).flat_map(|pid| zygotes(*pid)).collect();
    subject.stop(LIMIT);
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
    assert!(pids.iter().chain(&inner).all(|pid| is_gone(*pid)));
    assert!(children(own()).iter().all(|pid| !pids.contains(pid)));
}
