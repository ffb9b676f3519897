//! The benchmark runs from end to end and reports. How fast is no question for a test.

use std::process::Command;

use serde_json::Value;

const NAMES: [&str; 6] =
    ["call-round-trip", "spawn-1000-exec", "spawn-1000-zygote", "pool-unchunked", "idle-child-memory", "idle-wakeups"];

#[test]
fn a_quick_run_prints_a_line_of_json_for_each_row() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_framewire-bench-process")).args(["--quick", "--json"]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));

    let rows: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, NAMES);
    for row in &rows {
        assert!(row["unit"].is_string() && row["ours"].is_number() && row["limit"].is_number(), "{row}");
        let peers = row["peers"].as_object().unwrap();
        // A number, or why there is none.
        assert!(!peers.is_empty() && peers.values().all(|peer| peer.is_number() || peer.is_string()), "{row}");
    }
    // The control of the last row shows that wake-ups would have been seen.
    assert!(rows[5]["peers"]["control-ticking-at-10-hz"].as_f64().unwrap() > 0.0, "{printed}");
}

#[test]
fn a_row_is_chosen_by_name() {
    let run =
        Command::new(env!("CARGO_BIN_EXE_framewire-bench-process")).args(["--quick", "--only", "memory"]).output();
    let printed = String::from_utf8(run.unwrap().stdout).unwrap();
    assert!(printed.contains("=== idle-child-memory") && !printed.contains("=== call-round-trip"), "{printed}");
}
