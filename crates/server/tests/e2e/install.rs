//! `framewire install`: what it writes, where, and what it refuses.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::program::{clip, command};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("framewire-install-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    /// Runs `framewire install` with this folder for the user's configuration, or for the root.
    fn install(&self, arguments: &[&str]) -> Output {
        command(&["install"]).args(arguments).env("XDG_CONFIG_HOME", &self.0).output().unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.0.join(file)).unwrap().permissions().mode() & 0o777
    }

    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.path() {
                    path if path.is_dir() => walk(&path, found),
                    path => found.push(path),
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.0, &mut found);
        let mut names: Vec<String> =
            found.iter().map(|path| path.strip_prefix(&self.0).unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const SECRET: &str = "rtsp://user:geh%20eim$1@10.0.0.2/stream 1";

#[test]
fn a_password_is_in_no_unit_and_in_nothing_that_is_printed() {
    let folder = Folder::new("secret");
    let printed = folder.install(&["--user", "--print", SECRET, "rtsp://10.0.0.3/x"]);
    assert!(printed.status.success() && said(&printed).contains("--sources-from"), "{}", said(&printed));
    assert!(folder.files().is_empty(), "it prints only");
    let output = folder.install(&["--user", "--token", "tok-en", SECRET, "rtsp://10.0.0.3/x"]);
    assert!(output.status.success(), "{}", said(&output));
    let expected = [
        "framewire/framewire.sources",
        "framewire/framewire.token",
        "systemd/user/framewire.service",
        "systemd/user/framewire.slice",
    ];
    assert_eq!(folder.files(), expected);
    let (unit, slice) = (folder.read(expected[2]), folder.read(expected[3]));
    for shown in [&unit, &slice, &said(&output), &said(&printed)] {
        assert!(!shown.contains("geh") && !shown.contains("tok-en"), "{shown}");
    }
    assert_eq!(folder.read(expected[0]).lines().skip(1).collect::<Vec<_>>(), [SECRET, "rtsp://10.0.0.3/x"]);
    assert_eq!(folder.read(expected[1]), "tok-en\n");
    assert_eq!((folder.mode(expected[0]), folder.mode(expected[1]), folder.mode(expected[2])), (0o600, 0o600, 0o644));
    let commands = "Now run:\n  systemctl --user daemon-reload\n  systemctl --user enable --now framewire.service";
    assert!(said(&output).contains(commands), "{}", said(&output));
    // Anew, without a password: that isn't left behind.
    let output = folder.install(&["--user", "rtsp://10.0.0.3/x"]);
    assert!(said(&output).contains("systemctl --user restart framewire.service"), "{}", said(&output));
    assert_eq!(folder.files(), expected[2..]);
    assert!(folder.read(expected[2]).contains(" run -- rtsp://10.0.0.3/x\n"));
}

#[test]
fn what_it_wrote_is_what_run_understands() {
    let folder = Folder::new("read-back");
    let output = folder.install(&["--user", "--name", "door", "--token", "tok-en", SECRET, &clip("missing.mp4")]);
    assert!(output.status.success(), "{}", said(&output));
    let (sources, token) = (folder.0.join("framewire/door.sources"), folder.0.join("framewire/door.token"));
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (sources, token) = (text(&sources), text(&token));
    let from = ["run", "--listen", "127.0.0.1:0", "--sources-from", &sources, "--token-from", &token];
    let program = super::program::Program::start(&from);
    assert!(program.output().contains("/?token=tok-en"), "{}", program.output());
    let (status, rows) = program.get("/api/cameras?token=tok-en", "").unwrap();
    assert!(status == 200 && rows.contains("10.0.0.2") && rows.contains("missing"), "{status} {rows}");
    assert!(!rows.contains("geh"), "{rows}");
    drop(program);
    fs::set_permissions(&sources, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = command(&from).output().unwrap();
    assert!(said(&refused).contains("chmod 600") && !said(&refused).contains("geh"), "{}", said(&refused));
}

#[test]
fn systemd_finds_nothing_wrong_with_it() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("(not tested: there is no systemd-analyze here)");
        return;
    }
    let folder = Folder::new("verify");
    let root = folder.0.to_str().unwrap();
    let odd = clip("no such clip, 100% $HOME \"x\".mp4");
    let all = [
        "--root",
        root,
        "--run-as",
        "root",
        "--memory-max",
        "2G",
        "--listen",
        "0.0.0.0:8080",
        "--name",
        "my-cameras",
        SECRET,
        &odd,
    ];
    let output = folder.install(&all);
    assert!(output.status.success(), "{}", said(&output));
    let plain = folder.install(&["--root", root, "--name", "plain", "--run-as", "root", &odd]);
    assert!(plain.status.success(), "{}", said(&plain));
    let units = folder.0.join("etc/systemd/system");
    let (service, slice) =
        (folder.read("etc/systemd/system/my-cameras.service"), folder.read("etc/systemd/system/my_cameras.slice"));
    assert!(
        slice.contains("\nMemoryMax=2147483648\nMemoryHigh=")
            || slice.contains("\nMemoryHigh=1932735276\nMemoryMax=2147483648"),
        "{slice}"
    );
    // Where it will be, and not where it was written.
    assert!(service.contains("LoadCredential=sources:/etc/framewire/my-cameras.sources\n"), "{service}");
    assert!(service.contains(" --sources-from ${CREDENTIALS_DIRECTORY}/sources\n"), "{service}");
    assert!(folder.read("etc/framewire/my-cameras.token").trim().len() == 32, "one was made up");
    for name in ["my-cameras", "plain"] {
        let slice = units.join(format!("{}.slice", name.replace('-', "_")));
        let service = units.join(format!("{name}.service"));
        let verdict =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).args([service, slice]).output().unwrap();
        let about = |line: &&str| line.contains(name) || line.contains(root);
        let text = said(&verdict);
        assert_eq!(text.lines().filter(about).collect::<Vec<_>>(), [""; 0], "{name}");
    }
}

#[test]
fn what_cannot_work_is_refused_and_nothing_is_written() {
    let folder = Folder::new("refused");
    let refused = |arguments: &[&str], why: &str| {
        let output = folder.install(arguments);
        let said = said(&output);
        assert!(output.status.code() != Some(0) && said.contains(why), "{arguments:?}: {said}");
        assert!(!said.contains("geheim"), "{said}");
    };
    refused(&["--user", "gopher://user:geheim@host/"], "source 1 of 1");
    refused(&["--user", "--memory-max", "much", "a.mp4"], "K, M, G or T");
    refused(&["--user", "--name", "../x", "a.mp4"], "name a unit");
    refused(&["--user", "--token", "a b", "a.mp4"], "--token");
    assert!(folder.files().is_empty(), "{:?}", folder.files());
    // Somebody else's unit of that name.
    fs::create_dir_all(folder.0.join("systemd/user")).unwrap();
    fs::write(folder.0.join("systemd/user/framewire.service"), "[Service]\nExecStart=/bin/true\n").unwrap();
    refused(&["--user", SECRET], "wasn't written by this command");
    assert_eq!(folder.files(), ["systemd/user/framewire.service"]);
    // Whom systemd makes up can't go where only its owner may.
    let private = folder.0.join("private");
    fs::create_dir(&private).unwrap();
    fs::write(private.join("clip.mp4"), "x").unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let root = folder.0.join("root");
    let arguments =
        ["--root", root.to_str().unwrap(), private.join("clip.mp4").to_str().unwrap()].map(ToOwned::to_owned);
    refused(&arguments.each_ref().map(String::as_str), "is closed to others; name a user who can by --run-as USER");
    assert!(!root.exists());
}
