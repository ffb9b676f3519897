//! Units, as systemd itself judges them.

use std::{fs, path::Path, process::Command, time::Duration};

use process::systemd::Unit;

use super::{Test, manager::folder, skipped};

pub const TESTS: &[Test] = &[
    ("systemd_finds_nothing_wrong_with_a_unit", verified),
    ("a_unit_says_what_keeps_its_application_up", says),
    ("systemd_would_find_what_is_wrong", would_be_found),
];

const ODD: &[&str] =
    &["", "two words", "100%", "%h", "$HOME", "${X}", "a\"b", "it's", "\\", "x\ny", ";", "#no", "ü", "-"];

/// The version of systemd that is here.
fn version() -> Option<u32> {
    let said = Command::new("systemd-analyze").arg("--version").output().ok()?;
    String::from_utf8(said.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()
}

/// What systemd has to say about a unit.
fn verify(folder: &Path, unit: &Unit, of_user: bool) -> String {
    let files = [(unit.service_name(), unit.service().unwrap()), (unit.slice_name(), unit.slice().unwrap())];
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "--recursive-errors=no"]).args(of_user.then_some("--user"));
    for (name, text) in files {
        fs::write(folder.join(&name), text).unwrap();
        command.arg(folder.join(name));
    }
    let said = command.env("XDG_RUNTIME_DIR", folder).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    // Of this machine's own units it may have something to say too.
    let own = |line: &&str| {
        line.contains(&*folder.to_string_lossy())
            || line.contains(&unit.service_name())
            || line.contains(&unit.slice_name())
    };
    said.lines().filter(own).collect::<Vec<_>>().join("\n")
}

fn full(name: &str) -> Unit {
    let unit = Unit::new(name, "/bin/true").description("All of 100 % ünits").env("NOTE", "a b$c%d");
    let unit = ODD.iter().fold(unit, |unit, text| unit.argument(*text));
    let unit = unit.credential("sources", "/etc/some where/100%").credential_argument("sources");
    let unit = unit.memory_high(1 << 30).memory_max(2 << 30).tasks_max(1000).open_files(4096).kept_descriptors(8);
    unit.watchdog(Duration::from_secs(10)).stop_within(Duration::from_millis(1500)).current_dir("/")
}

fn verified() {
    let Some(version) = version() else { return skipped("there is no systemd-analyze here") };
    let folder = folder();
    for unit in [Unit::new("framewire-least", "/bin/true"), full("framewire-full"), full("framewire-user").user("root")]
    {
        assert_eq!(verify(&folder, &unit, false), "", "{}", unit.service().unwrap());
    }
    let unit = full("framewire-own").for_user_manager();
    assert_eq!(verify(&folder, &unit, true), "", "{}", unit.service().unwrap());
    if version >= 253 {
        assert_eq!(verify(&folder, &full("framewire-reload").reloads(), false), "");
    } else {
        skipped("notify-reload came with systemd 253");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// The test above can fail.
fn would_be_found() {
    if version().is_none() {
        return skipped("there is no systemd-analyze here");
    }
    let folder = folder();
    let unit = Unit::new("framewire-wrong", "/no/such/program");
    assert!(verify(&folder, &unit, false).contains("/no/such/program"));
    fs::remove_dir_all(folder).unwrap();
}

fn says() {
    let (service, slice) = (full("my-app").service().unwrap(), full("my-app").slice().unwrap());
    for line in [
        "Type=notify",
        "NotifyAccess=main",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "Slice=my_app.slice",
        "Delegate=yes",
        "Restart=on-failure",
        "WatchdogSec=10000ms",
        "TimeoutStopSec=1500ms",
        "FileDescriptorStoreMax=8",
        "LimitNOFILE=4096",
        "Environment=\"NOTE=a b$c%%d\"",
        "LoadCredential=\"sources:/etc/some where/100%%\"",
    ] {
        assert!(service.lines().any(|it| it == line), "{line} isn't in\n{service}");
    }
    for line in ["MemoryHigh=1073741824", "MemoryMax=2147483648", "TasksMax=1000"] {
        assert!(slice.lines().any(|it| it == line), "{line} isn't in\n{slice}");
    }
    let all = service + &slice;
    assert!(!all.contains("MemoryLimit"), "it is of cgroup v1");
    // What would break shared memory, devices, or programs that meet.
    for word in ["PrivateTmp", "PrivateDevices", "ProtectClock", "MemoryDenyWriteExecute", "PrivateUsers"] {
        assert!(!all.contains(word), "{word}");
    }
}
