//! Rings where resources are scarce, and between users.
//!
//! Each test runs a part of itself as another process, under the limits in question: this test program, started again with
//! `SHM_TEST_ROLE` set.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use shm::{
    ring::{Address, Allow, Info, Late, MeetError, Policy, ReadError, Reader, Ring, RingOptions, Wish, Writer},
    wire::Socket,
};
use support::{LIMIT, attach, publish};

const ROLE: &str = "SHM_TEST_ROLE";
const ADDRESS: &str = "SHM_TEST_ADDRESS";

/// Nobody in particular.
const NOBODY: u32 = 65534;

/// Not a test of its own: what the processes run.
#[test]
fn role() {
    match std::env::var(ROLE).unwrap_or_default().as_str() {
        "modest" => modest(),
        "large" => large(),
        "descriptors" => descriptors(),
        "growth" => growth(),
        "client" => client(),
        "server" => server(),
        _ => {}
    }
}

fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "role", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

fn check(output: &Output) {
    assert!(output.status.success(), "{:?}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("done"), "it did nothing");
}

/// This test program where every user can run it, as the build folder's owner may not want.
struct Program(PathBuf);

impl Program {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("shm-limits-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        // Not by ourselves: what we have open for writing, a child that another test is just starting has too, and such a file
        // can't be run.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(folder.join("program")).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        Self(folder)
    }

    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(self.0.join("program"));
        command.args(["--exact", "role", "--nocapture", "--test-threads=1"]).env(ROLE, role).current_dir(&self.0);
        command
    }

    fn address(&self) -> Address {
        Address::Path(self.0.join("ring"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn limit(resource: Resource, most: u64) {
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).unwrap();
}

// --- Few descriptors, no locked memory, no privileges.

#[test]
fn rings_work_with_256_descriptors_and_64_kib_of_locked_memory_and_without_privileges() {
    let program = Program::new("modest");
    let mut command = program.command("modest");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    check(&command.output().unwrap());
}

fn modest() {
    limit(Resource::Nofile, 256);
    limit(Resource::Memlock, 64 << 10);
    let mut rings: Vec<(Writer, Vec<Reader>)> = Vec::new();
    for _ in 0..4 {
        let mut writer = Writer::create(RingOptions { depth: 4, frame_bytes: 500_000 }).unwrap();
        let policies = [Policy::Latest, Policy::DropOldest { depth: 4 }, BLOCK];
        let readers = policies.map(|policy| attach(&writer, policy, 2)).into();
        publish(&mut writer, b"first");
        rings.push((writer, readers));
    }
    for round in 0..50u32 {
        for (writer, readers) in &mut rings {
            for reader in readers.iter_mut() {
                while reader.try_next().unwrap().is_some() {}
            }
            // Now and then the ring grows, by which readers get another descriptor.
            let bytes = vec![round as u8; 1000 + 20_000 * round as usize];
            publish(writer, &bytes);
            for reader in readers {
                assert!(reader.next_for(LIMIT).unwrap().unwrap().bytes() == bytes);
            }
        }
    }
    println!("done");
}

const BLOCK: Policy = Policy::Block { timeout: LIMIT, late: Late::Detach };

// --- No descriptor left at all.

#[test]
fn without_a_descriptor_left_there_is_an_error_and_afterwards_all_goes_on() {
    check(&command("descriptors").output().unwrap());
}

fn descriptors() {
    let most = 100;
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: hard }).unwrap();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    {
        let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 5000 }).unwrap();
        let mut first = attach(&writer, Policy::DropOldest { depth: 2 }, 1);
        assert!(first.try_next().unwrap().is_none() && first.is_joined());
        let (waiting, session) = Socket::pair().unwrap();
        let bell = shm::doorbell::Doorbell::new().unwrap();
        let wish = Wish { policy: Policy::Latest, leases: 1 };
        let mut late = Reader::connect(session, &bell, wish).unwrap();
        writer.port().add(waiting).unwrap();
        let mut fill = Vec::new();
        let use_up = |fill: &mut Vec<fs::File>| {
            fill.extend(std::iter::from_fn(|| fs::File::open("/dev/null").ok()));
        };
        use_up(&mut fill);
        // Each of these needs one, also the arrival of a wish with its descriptors.
        assert!(Writer::create(RingOptions { depth: 2, frame_bytes: 5000 }).is_err());
        assert!(writer.reserve(100_000).is_err());
        writer.port().service();
        assert_eq!(writer.port().readers(), 1);
        assert!(matches!(late.try_next(), Err(ReadError::WriterGone)), "it can come again");
        publish(&mut writer, b"who is in stays in");
        assert_eq!(first.try_next().unwrap().unwrap().bytes(), b"who is in stays in");
        // One message that brings a descriptor to a reader that has no room for it.
        use_up(&mut fill);
        fill.truncate(fill.len() - 1);
        let mut grown = writer.reserve(100_000).unwrap();
        grown.bytes_mut().fill(1);
        grown.publish(Info::default());
        let told = first.try_next().unwrap_err();
        assert!(told.to_string().contains("ulimit -n"), "{told}");
        fill.clear();
        let mut again = attach(&writer, Policy::DropOldest { depth: 2 }, 1);
        assert_eq!(again.try_next().unwrap().unwrap().bytes(), b"who is in stays in");
        assert_eq!(again.try_next().unwrap().unwrap().bytes().len(), 100_000);
    }
    assert_eq!(open(), before, "descriptors leaked");
    println!("done");
}

// --- Docker's /dev/shm of 64 MB.

#[test]
fn frames_of_more_than_64_mb_pass_where_dev_shm_has_64_mb() {
    let script = "mount -t tmpfs -o size=64m tmpfs /dev/shm && exec \"$0\" \"$@\"";
    let can = Command::new("unshare").args(["--mount", "sh", "-c", script, "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("skipped: only root may mount a smaller /dev/shm, with unshare and mount");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "role", "--nocapture"]).env(ROLE, "large");
    check(&command.output().unwrap());
}

fn large() {
    let there = rustix::fs::statvfs("/dev/shm").unwrap();
    assert_eq!(there.f_blocks * there.f_frsize, 64 << 20);
    const FRAME: usize = 12_000_000;
    let mut writer = Writer::create(RingOptions { depth: 8, frame_bytes: FRAME }).unwrap();
    let mut reader = attach(&writer, Policy::DropOldest { depth: 8 }, 2);
    for round in 1..=20u8 {
        let mut slot = writer.reserve(FRAME).unwrap();
        slot.bytes_mut().fill(round);
        slot.publish(Info::default());
        let frame = reader.try_next().unwrap().unwrap();
        assert!(frame.bytes().iter().step_by(997).all(|byte| *byte == round) && frame.bytes().len() == FRAME);
    }
    assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
    println!("done");
}

// --- Memory.

#[test]
fn growth_beyond_the_machine_or_the_budget_is_an_error_with_the_numbers_and_leaves_nothing() {
    check(&command("growth").output().unwrap());
}

fn growth() {
    let before = (mapped(), fs::read_dir("/proc/self/fd").unwrap().count());
    {
        let mut writer = Writer::create_within(RingOptions { depth: 2, frame_bytes: 5000 }, 1 << 20).unwrap();
        let mut reader = attach(&writer, Policy::Latest, 1);
        let inside = (mapped(), fs::read_dir("/proc/self/fd").unwrap().count());
        for bytes in [1 << 19, 1 << 30, 1 << 45, usize::MAX] {
            let told = writer.reserve(bytes).unwrap_err().to_string();
            assert!(told.contains(&(1 << 20).to_string()) && told.contains("available on this machine"), "{told}");
            assert_eq!((mapped(), fs::read_dir("/proc/self/fd").unwrap().count()), inside, "something is left of it");
        }
        publish(&mut writer, b"on");
        assert_eq!(reader.try_next().unwrap().unwrap().bytes(), b"on");
        let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 5000 }).unwrap();
        let told = writer.reserve(1 << 45).unwrap_err().to_string();
        assert!(told.contains("reserve") && told.contains("available on this machine"), "{told}");
        assert!(Writer::create(RingOptions { depth: 512, frame_bytes: 1 << 40 }).is_err());
    }
    assert_eq!((mapped(), fs::read_dir("/proc/self/fd").unwrap().count()), before, "something is left");
    println!("done");
}

fn mapped() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains("/memfd:")).count()
}

// --- Users.

#[test]
fn a_server_refuses_other_users_and_takes_its_own_and_roots() {
    if !geteuid().is_root() {
        println!("skipped: only root can be two users");
        return;
    }
    let program = Program::new("users");
    // Root serves: another user is refused, root is not.
    let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 64 }).unwrap();
    publish(&mut writer, b"for whom it may concern");
    let served = Ring::serve(&writer, &program.address(), Allow::SameUser).unwrap();
    let Address::Path(path) = program.address() else { unreachable!() };
    make_reachable(&path);
    assert_eq!(ask(&program, NOBODY, Allow::Anyone), "writer gone");
    assert_eq!(ask(&program, 0, Allow::Anyone), "got it");
    drop(served);
    // Users that are named.
    let served = Ring::serve(&writer, &program.address(), Allow::Users(vec![NOBODY])).unwrap();
    make_reachable(&path);
    assert_eq!(ask(&program, NOBODY, Allow::Anyone), "got it");
    assert_eq!(ask(&program, NOBODY - 1, Allow::Anyone), "writer gone");
    drop(served);
    // Somebody else serves: whoever doesn't deal with them isn't served, whoever does is.
    let mut server = serve(&program, NOBODY);
    let told = Ring::connect(&program.address(), Allow::SameUser, WISH, LIMIT);
    assert!(matches!(told, Err(MeetError::NotAllowed { user: NOBODY, .. })), "{told:?}");
    assert_eq!(ask(&program, NOBODY - 1, Allow::SameUser), "not allowed");
    assert_eq!(ask(&program, NOBODY, Allow::SameUser), "got it");
    let mut mine = Ring::connect(&program.address(), Allow::Users(vec![NOBODY]), WISH, LIMIT).unwrap();
    assert_eq!(mine.next_for(LIMIT).unwrap().unwrap().bytes(), b"from nobody");
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

const WISH: Wish = Wish { policy: Policy::DropOldest { depth: 2 }, leases: 1 };

/// What becomes of a client of that user.
fn ask(program: &Program, user: u32, allow: Allow) -> &'static str {
    let allow = if allow == Allow::SameUser { "same" } else { "anyone" };
    let mut command = program.command("client");
    command.env(ADDRESS, program.address().to_string()).env("SHM_TEST_ALLOW", allow).uid(user).gid(user);
    let output = command.output().unwrap();
    check(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ["writer gone", "got it", "not allowed"].into_iter().find(|word| said.contains(word)).unwrap()
}

fn client() {
    let address: Address = std::env::var(ADDRESS).unwrap().parse().unwrap();
    let allow = if std::env::var("SHM_TEST_ALLOW").unwrap() == "same" { Allow::SameUser } else { Allow::Anyone };
    let outcome = match Ring::connect(&address, allow, WISH, Duration::from_secs(5)) {
        Ok(mut reader) => match reader.next_for(LIMIT) {
            Ok(Some(_)) => "got it",
            Err(ReadError::WriterGone) => "writer gone",
            other => panic!("{other:?}"),
        },
        // A server that turns us away before we have spoken.
        Err(MeetError::Read(ReadError::WriterGone)) => "writer gone",
        Err(MeetError::NotAllowed { .. }) => "not allowed",
        Err(error) => panic!("{error}"),
    };
    println!("{outcome}; done");
}

fn serve(program: &Program, user: u32) -> Child {
    let mut command = program.command("server");
    command.env(ADDRESS, program.address().to_string()).uid(user).gid(user);
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("serving")));
    server
}

fn server() {
    let address: Address = std::env::var(ADDRESS).unwrap().parse().unwrap();
    let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 64 }).unwrap();
    publish(&mut writer, b"from nobody");
    let served = Ring::serve(&writer, &address, Allow::Anyone).unwrap();
    if let Address::Path(path) = &address {
        make_reachable(path);
    }
    println!("serving");
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read(&mut [0]);
    drop(served);
    std::process::exit(0); // nobody reads what a test says at its end
}

fn make_reachable(path: &Path) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
}
