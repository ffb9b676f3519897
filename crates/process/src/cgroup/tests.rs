//! Against a tree in a temporary folder, where files are what the kernel would show; and, as far as this machine lets us,
//! against the kernel's own.

use std::process::{Child, Command};

use super::*;

/// A folder that looks like a group to whoever only reads and writes its files.
struct Fake(PathBuf);

impl Fake {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("framewire-fake-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&root);
        let fake = Self(root);
        fake.group("", &[("cgroup.controllers", "cpu memory pids\n"), ("cgroup.subtree_control", "")]);
        fake.group("", &[("cgroup.procs", "")]);
        fake
    }

    fn group(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let group = self.0.join(name);
        fs::create_dir_all(&group).unwrap();
        files.iter().for_each(|(file, text)| fs::write(group.join(file), text).unwrap());
        group
    }

    /// The group that the next child gets, with the kernel's files.
    fn next_leaf(&self, number: u32, name: &str) -> PathBuf {
        let files = ["memory.max", "memory.oom.group", "memory.swap.max", "cgroup.kill", "cgroup.procs"];
        self.group(&format!("{PREFIX}{}-{number}-{name}", process::id()), &files.map(|file| (file, "")))
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn our_group_is_found_where_it_is_mounted() {
    let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
    let place = |groups: &str, mounts: &str| find::place(groups, mounts).map(|place| place.display().to_string());
    let groups = "4:memory:/other\n0::/system.slice/framewire.service\n";
    assert_eq!(place(groups, mounts).as_deref(), Some("/sys/fs/cgroup/unified/system.slice/framewire.service"));
    assert_eq!(place("0::/\n", mounts).as_deref(), Some("/sys/fs/cgroup/unified/"));
    let inside = "41 31 0:38 /system.slice /a\\040b rw - cgroup2 cgroup2 rw\n";
    assert_eq!(place(groups, inside).as_deref(), Some("/a b/framewire.service"), "mounted from inside of the tree");
    assert_eq!(place("0::/user.slice\n", inside), None, "not seen from here");
    assert_eq!(place("4:memory:/other\n", mounts), None, "version 1 only");
    assert_eq!(place(groups, "nonsense\n1 2 3 - \n"), None);
}

#[test]
fn this_machines_own_group_isnt_taken_unasked() {
    // Whatever it is, the tests weren't given it: nothing may be moved.
    let before = fs::read_to_string("/proc/self/cgroup").unwrap();
    let found = find();
    assert!(matches!(found, Err(NoTree::None | NoTree::NotDelegated(_))), "{found:?}");
    assert_eq!(fs::read_to_string("/proc/self/cgroup").unwrap(), before);
}

#[test]
fn a_child_gets_a_group_with_its_limit() {
    let fake = Fake::new("limit");
    fake.next_leaf(1, "try");
    // It isn't empty, so a removal fails, as of a group with somebody in it.
    assert!(matches!(Tree::at(&fake.0), Err(NoTree::Io { what: "remove", .. })));
    fs::remove_dir_all(fake.next_leaf(1, "try")).unwrap();
    let tree = Tree::at(&fake.0).unwrap();
    assert_eq!(fake.read("cgroup.subtree_control"), "+memory");
    let path = fake.next_leaf(2, "front_door__1");
    let leaf = tree.leaf("front/door..1", Some(1 << 20)).unwrap();
    assert_eq!((leaf.door(), leaf.limit_bytes()), (path.join("cgroup.procs"), Some(1 << 20)));
    let read = |file: &str| fs::read_to_string(path.join(file)).unwrap();
    assert_eq!((read("memory.max").as_str(), read("memory.oom.group").as_str()), ("1048576", "1"));
    assert_eq!(read("memory.swap.max"), "0");
    assert!(!leaf.was_out_of_memory());
    for (events, expected) in [
        ("low 0\nmax 3\noom 1\noom_kill 0\n", false),
        ("max 3\noom 1\noom_kill 2\noom_group_kill 0\n", true),
        ("oom_kill 0\noom_group_kill 1\n", true),
        ("oom_kill x\n", false),
    ] {
        fs::write(path.join("memory.events"), events).unwrap();
        assert_eq!(leaf.was_out_of_memory(), expected, "{events}");
    }
    tree.bury(leaf);
    assert_eq!(read("cgroup.kill"), "1");
    // Somebody lives in it still; later nobody does.
    let now = Instant::now();
    let next = tree.tidy(now).unwrap();
    assert!(path.exists() && next <= now + TRY_AGAIN_AFTER * 2);
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(tree.tidy(next + LONGEST_DELAY), None);
    assert!(!path.exists());
}

#[test]
fn a_limit_that_the_kernel_does_not_take_is_an_error_and_nothing_is_left() {
    let fake = Fake::new("refused");
    let tree = Tree::at(&fake.0).unwrap();
    let error = tree.leaf("a", Some(1)).unwrap_err();
    assert!(error.to_string().contains("write to") && error.to_string().contains("memory.max"), "{error}");
    assert!(fs::read_dir(&fake.0).unwrap().flatten().all(|entry| entry.path().is_file()));
    // Where memory isn't among the controllers, others keep the limit.
    fs::write(fake.0.join("cgroup.controllers"), "cpu pids\n").unwrap();
    let tree = Tree::at(&fake.0).unwrap();
    assert_eq!(tree.leaf("a", Some(1)).unwrap().limit_bytes(), None);
}

#[test]
fn what_an_earlier_supervisor_left_is_swept_and_nothing_else() {
    let fake = Fake::new("sweep");
    let left = [fake.group("framewire-1-1-camera", &[]), fake.group("framewire-1-2-door", &[])];
    let lived_in = fake.group("framewire-1-3-busy", &[("cgroup.procs", "12\n")]);
    let others = fake.group("somebody.scope", &[]);
    Tree::at(&fake.0).unwrap();
    assert!(left.iter().all(|group| !group.exists()));
    assert!(lived_in.exists() && others.exists());
}

#[test]
fn a_group_with_strangers_in_it_is_left_alone() {
    let fake = Fake::new("inhabited");
    fake.group("", &[("cgroup.procs", &format!("1\n{}\n", process::id()))]);
    assert!(matches!(Tree::inside(&fake.0), Err(NoTree::Inhabited(_))));
    assert!(!fake.0.join(SUPERVISOR).exists());
    fake.group("", &[("cgroup.procs", &format!("{}\n", process::id()))]);
    fake.group(SUPERVISOR, &[("cgroup.procs", "")]);
    Tree::inside(&fake.0).unwrap();
    assert_eq!(
        (fake.read("supervisor/cgroup.procs"), fake.read("cgroup.subtree_control")),
        ("0".into(), "+memory".into())
    );
    assert!(matches!(Tree::at(&fake.0.join("nowhere")), Err(NoTree::Io { what: "read", .. })));
}

/// A group of our own in the kernel's tree, if it lets us.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = find::place("0::/", &mounts).or_else(|| {
        println!("skipped: no control groups of version 2 are mounted here");
        None
    })?;
    let group = root.join(format!("framewire-test-{name}-{}", process::id()));
    match fs::create_dir(&group) {
        Ok(()) => Some(group),
        Err(error) => {
            println!("skipped: could not make {}: {error}", group.display());
            None
        }
    }
}

#[test]
fn in_the_kernels_own_tree_a_group_ends_with_all_in_it() {
    let Some(root) = real("unit") else { return };
    let tree = Tree::at(&root).unwrap();
    let leaf = tree.leaf("sleeper", None).unwrap();
    let mut sleepers: Vec<Child> = (0..2).map(|_| Command::new("sleep").arg("1000").spawn().unwrap()).collect();
    sleepers.iter().for_each(|sleeper| write(&leaf.door(), &sleeper.id().to_string()).unwrap());
    assert!(leaf.remove().is_err(), "somebody lives in it");
    assert_eq!(fs::read_to_string(leaf.door()).unwrap().lines().count(), 2);
    tree.bury(leaf);
    for sleeper in &mut sleepers {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(sleeper.wait().unwrap().signal(), Some(9));
    }
    tree.close();
    assert_eq!(fs::read_dir(&root).unwrap().flatten().filter(|entry| entry.path().is_dir()).count(), 0);
    fs::remove_dir(&root).unwrap();
}
