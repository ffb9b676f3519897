//! The examples do what they say.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let path: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} isn't built: run `cargo build -p framewire-shm --examples`", path.display());
    let mut example = Command::new(path);
    example.stdin(Stdio::null()).stdout(Stdio::piped());
    example
}

fn said(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn inherit() {
    assert_eq!(said(example("inherit").spawn().unwrap()), "the child read 100 of 100 frames\n");
}

#[test]
fn broker() {
    let told = said(example("broker").spawn().unwrap());
    assert!(told.starts_with("the detector's account: Counts"), "{told}");
}

#[test]
fn meet() {
    let address = format!("@shm-example-{}", std::process::id());
    let reader = example("meet").args(["read", &address, "3"]).spawn().unwrap();
    let mut writer = example("meet").args(["write", &address]).spawn().unwrap();
    let told = said(reader);
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(told.matches("of 640x480").count(), 3, "{told}");
}
