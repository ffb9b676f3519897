//! The page in a real browser, driven by `web/e2e/live.mjs`.

use std::process::Command;

use rustix::process::Signal;

use super::program::{Program, is_gone, names_in_shm};

#[test]
#[ignore = "needs Chromium, Node and web/node_modules; `cargo xtask test e2e` runs it"]
fn the_page_shows_live_video_and_boxes_and_recovers_from_the_death_of_each_process() {
    let names = names_in_shm();
    let program = Program::start(&["--listen", "127.0.0.1:0"]);
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/e2e/live.mjs");
    let driven =
        Command::new("node").args([driver, "--url", &format!("http://{}", program.address), "--kill"]).status();
    assert!(driven.unwrap().success(), "the program wrote:\n{}", program.output());
    let children = program.children();
    assert_eq!(program.stop(Signal::INT).1, Some(0));
    assert!(children.iter().all(|pid| is_gone(*pid)));
    let left: Vec<String> = names_in_shm().into_iter().filter(|name| !names.contains(name)).collect();
    assert!(left.is_empty(), "left in /dev/shm: {left:?}");
}
