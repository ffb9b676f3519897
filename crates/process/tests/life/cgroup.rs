//! Processes in control groups, where this machine has a tree of version 2 in which we may make groups.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use process::{BoxError, Restart, State, System};
use rustix::{
    fs::{XattrFlags, setxattr},
    process::Pid,
};

use super::{
    Test,
    runner::is_gone,
    subject::{Config, Subject},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("cgroup_of_a_child_ends_with_all_in_it", in_groups),
    ("cgroup_that_was_delegated_is_found", delegated),
    ("cgroup_that_wasnt_is_left_alone", not_delegated),
    ("cgroup_that_isnt_one_is_refused", refused),
];

/// The argument that makes this program an application with control groups.
pub const APPLICATION: &str = "control-group";

/// The one that makes it look for them.
pub const LOOKING: &str = "look-for-control-group";

pub fn application(system: &System) -> Result<(), BoxError> {
    let root = PathBuf::from(std::env::args().nth(2).ok_or("which group?")?);
    let groups = || -> Vec<String> {
        let entries = fs::read_dir(&root).unwrap().flatten().filter(|entry| entry.path().is_dir());
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != "supervisor").collect()
    };
    assert!(groups().is_empty(), "what was left is swept: {:?}", groups());
    let spawn = system.spawn::<Subject>(Config::default()).name("in/group").memory_limit(1 << 30);
    let subject = spawn.restart(Restart::always()).start()?;
    let group = |pid: u32| {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()
    };
    let first = subject.pid().wait()?;
    println!("{} {}", group(std::process::id()), group(first));
    if group(first) == group(std::process::id()) {
        return Ok(()); // no groups here; the test knows whether that is right
    }
    assert!(group(first).ends_with("-in_group"), "{}", group(first));
    assert_eq!(groups().len(), 1);
    // A grandchild that has left the process group, and the session, and would live for ever.
    let stray = subject.stray().wait()??;
    let stray_pid = Pid::from_raw(stray as i32).unwrap();
    wait_until("it has a session of its own", || shm::life::leads_group(stray_pid));
    assert_eq!(group(stray), group(first));
    subject.kill();
    wait_until("it is ready again", || subject.restarts() == 1 && subject.state() == State::Ready);
    wait_until("the stray is gone too", || is_gone(stray as i32));
    let second = subject.pid().wait()?;
    assert_ne!(group(second), group(first), "each incarnation has its own");
    wait_until("the first one's group is gone", || groups().len() == 1);
    let program = system.spawn_program(&{
        let mut sleep = Command::new("sleep");
        sleep.arg("1000");
        sleep
    });
    let program = program.start()?;
    assert!(group(program.process_id().unwrap() as u32).ends_with("-sleep"));
    // Children of children are in their parent's group, and make none.
    let nested = subject.nest(1).wait()??;
    assert_eq!(group(nested[1]), group(second));
    assert_eq!(groups().len(), 2);
    println!("went through");
    Ok(())
}

/// A group of our own in the kernel's tree, if it lets us.
fn real(name: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let Some(point) = mount.and_then(|line| line.split(' ').nth(4)) else {
        println!("     (skipped: no control groups of version 2 are mounted here)");
        return None;
    };
    let group = Path::new(point).join(format!("framewire-test-{name}-{}", std::process::id()));
    match fs::create_dir(&group) {
        Ok(()) => Some(group),
        Err(error) => {
            println!("     (skipped: could not make {}: {error})", group.display());
            None
        }
    }
}

fn in_groups(_system: &System) {
    let Some(root) = real("named") else { return };
    // As a supervisor that was killed would leave it.
    fs::create_dir(root.join("framewire-1-1-left")).unwrap();
    let said = Command::new("/proc/self/exe").arg(APPLICATION).arg(&root).output().unwrap();
    let (output, error) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && output.contains("went through"), "{output}{error}");
    // Nothing is left: only what is empty can be removed. What was just killed takes the kernel a moment.
    wait_until("it is empty", || fs::remove_dir(&root).is_ok());
}

/// What an application says that is started inside of a group and looks for it.
fn look_inside(root: &Path) -> Vec<String> {
    let enter = "echo $$ > \"$1/cgroup.procs\" && exec \"$2\" \"$3\" \"$1\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", enter, "sh"]).arg(root).arg(std::env::current_exe().unwrap()).arg(LOOKING);
    let said = shell.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// With the mark that systemd sets, in the kernel's own tree.
fn delegated(_system: &System) {
    let Some(root) = real("marked") else { return };
    if let Err(errno) = setxattr(&root, "user.delegate", b"1", XattrFlags::empty()) {
        println!("     (skipped: could not mark {}: {errno})", root.display());
        return fs::remove_dir(&root).unwrap();
    }
    let lines = look_inside(&root);
    let (own, child) = lines[0].split_once(' ').unwrap();
    let name = root.file_name().unwrap().to_str().unwrap();
    assert!(own.ends_with(&format!("{name}/supervisor")), "{own}");
    assert!(child.contains(&format!("{name}/framewire-")), "{child}");
    assert_eq!(lines[1..], ["went through"]);
    fs::remove_dir(root.join("supervisor")).unwrap();
    fs::remove_dir(&root).unwrap();
}

/// Root may write there, and yet it isn't ours.
fn not_delegated(_system: &System) {
    let Some(root) = real("plain") else { return };
    let lines = look_inside(&root);
    let (own, child) = lines[0].split_once(' ').unwrap();
    assert!(own == child && own.ends_with(root.file_name().unwrap().to_str().unwrap()), "{lines:?}");
    fs::remove_dir(&root).unwrap();
}

fn refused(_system: &System) {
    let said = Command::new("/proc/self/exe").arg(APPLICATION).arg("/nowhere").stdout(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success());
    assert!(error.contains("could not use the control group /nowhere: could not read"), "{error}");
}
