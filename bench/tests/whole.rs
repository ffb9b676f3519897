//! The benchmark runs from end to end and reports. How fast is no question for a test.

use std::process::Command;

#[test]
fn a_tiny_run_reports_every_figure() {
    let json = std::env::temp_dir().join(format!("framewire-bench-{}.json", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_framewire-bench"))
        .args(["--rounds", "1", "--wakes", "5", "--frames", "2", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("wake-up, one way") && printed.contains("1080p RGB24"), "{printed}");

    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    std::fs::remove_file(&json).unwrap();
    let rows = report["places"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row["ours"]["median_ns"].as_i64() > Some(0)), "{report}");
}
