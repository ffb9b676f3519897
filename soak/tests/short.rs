//! A short soak: the long one is `cargo xtask soak --minutes 10`.

use std::process::Command;

#[test]
fn two_seconds_of_kills_break_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_framewire-soak")).args(["--minutes", "0.035"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let killed = said.lines().filter_map(|line| line.split_once(" killed")?.0.split_whitespace().last()?.parse().ok());
    let killed: Vec<u64> = killed.collect();
    assert!(killed.len() == 5 && killed.iter().all(|killed| *killed > 0), "{said}");
}
