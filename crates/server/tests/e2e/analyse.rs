//! Analysers in Python: what they find is seen and heard; what goes wrong with one is said, and the others go on.
//!
//! The Python is that of `$FRAMEWIRE_PYTHON`, with the package of this very build.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::program::{Program, command, wait_for};

/// A folder with Python files, gone with it.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("framewire-analyse-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.0.join(name);
        fs::write(&file, text).unwrap();
        file.to_string_lossy().into_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The demonstration, with an analyser.
fn run(more: &[&str]) -> Program {
    let python = std::env::var("FRAMEWIRE_PYTHON").unwrap();
    Program::start(&[&["run", "--listen", "127.0.0.1:0", "--python", &python], more].concat())
}

fn row(program: &Program, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    program.wait_for_row("/api/processes", name, is_so)
}

fn works(row: &Value) -> bool {
    row["state"] == "ready" && row["frames_out_per_s"].as_f64() > Some(0.5)
}

/// All lines of JSON that it has printed.
fn printed(program: &Program) -> Vec<Value> {
    let output = program.output();
    output.lines().filter(|line| line.starts_with('{')).filter_map(|line| serde_json::from_str(line).ok()).collect()
}

const LOGS_WHAT_IT_RETURNS: &str = r#"
import json, framewire
import numpy as np
from dataclasses import dataclass

@dataclass
class Thing:
    x: int
    y: int
    w: int
    h: int
    label: str
    score: np.float32

log = open(__file__ + ".log", "w", buffering=1)

@framewire.block(size=(320, 320), format="gray8", fps=8)
def things(frame, info):
    assert not frame.flags.writeable and not frame.flags.owndata, "a view of shared memory"
    height, width = frame.shape
    boxes = [Thing(width // 4, height // 4, width // 2, height // 2, "thing é", np.float32(0.5))]
    returned = {"boxes": boxes, "mean": float(frame.mean()), "shape": frame.shape, "third": 1 / 3, "none": None}
    box = {"x": width // 4, "y": height // 4, "w": width // 2, "h": height // 2, "label": "thing é", "score": 0.5}
    plain = returned | {"boxes": [box], "shape": list(frame.shape)}
    log.write(json.dumps([info.sequence, info.pts_ns, plain]) + "\n")
    return returned
"#;

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn what_python_returns_comes_out_as_lines_and_by_websocket() {
    let files = Files::new("lines");
    let file = files.write("things.py", LOGS_WHAT_IT_RETURNS);
    let program = run(&["--json", "--analyse", &file]);
    row(&program, "things.analyser", works);
    let url = format!("ws://{}/api/results?block=things&camera=demo", program.address);
    let stream = std::net::TcpStream::connect(&program.address).unwrap();
    stream.set_read_timeout(Some(super::program::LIMIT)).unwrap();
    let (mut socket, _) = tungstenite::client(url.as_str(), stream).unwrap();
    for nobody in ["camera=typo", "block=typo"] {
        let (status, why) = program.get(&format!("/api/results?{nobody}"), "").unwrap();
        assert_eq!(
            (status, why.contains("there are motion, things") || why.contains("/api/cameras")),
            (404, true),
            "{why}"
        );
    }
    let mut heard = Vec::new();
    while heard.len() < 10 {
        if let tungstenite::Message::Text(text) = socket.read().unwrap() {
            heard.push(serde_json::from_str::<Value>(&text).unwrap());
        }
    }
    let last = heard.last().unwrap()["sequence"].clone();
    wait_for("the same lines are printed", || {
        printed(&program).iter().any(|line| line["sequence"] == last).then_some(())
    });
    let said = printed(&program);
    assert_eq!(program.stop(Signal::INT).1, Some(0));
    let returned: BTreeMap<u64, Value> = fs::read_to_string(files.path("things.py.log"))
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|entry| (entry[0].as_u64().unwrap(), entry))
        .collect();
    for line in &heard {
        let entry = &returned[&line["sequence"].as_u64().unwrap()];
        assert_eq!((&line["result"], &line["pts_ns"]), (&entry[2], &entry[1]));
        assert_eq!((&line["camera"], &line["block"], &line["width"]), (&json!("demo"), &json!("things"), &json!(320)));
        let boxes = json!([{"x": 0.25, "y": 0.25, "w": 0.5, "h": 0.5, "label": "thing é", "score": 0.5}]);
        assert_eq!(line["boxes"], boxes);
        assert!(line["captured_unix_ms"].as_f64() > Some(1.6e12), "{line}");
        assert!(said.contains(line), "it was printed too: {line}");
    }
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn results_end_with_whoever_reads_them() {
    let files = Files::new("pipe");
    let file = files.write("one.py", "def one(frame): return 1");
    let python = std::env::var("FRAMEWIRE_PYTHON").unwrap();
    let arguments = ["run", "--listen", "127.0.0.1:0", "--python", &python, "--json", "--analyse", &file];
    let mut child = command(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert!(line.starts_with('{') && line.ends_with("\"result\":1}\n"), "nothing but results: {line}");
    drop(stdout);
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn a_killed_analyser_is_back_and_one_that_hangs_is_replaced() {
    let files = Files::new("life");
    let hangs = files.path("hang");
    let file = files.write(
        "fragile.py",
        &format!("import os, time\ndef fragile(frame):\n    if os.path.exists({hangs:?}):\n        os.remove({hangs:?})\n        time.sleep(600)\n"),
    );
    let program = run(&["--responsive-within", "1", "--analyse", &file]);
    let name = "fragile.analyser";
    let before = row(&program, name, works);
    kill_process(Pid::from_raw(before["pid"].as_i64().unwrap() as i32).unwrap(), Signal::KILL).unwrap();
    let after = row(&program, name, |row| works(row) && row["restarts"] == 1);
    assert_eq!(after["last_exit"], "killed by SIGKILL");
    fs::write(&hangs, "").unwrap();
    let after = row(&program, name, |row| works(row) && row["restarts"] == 2);
    assert!(after["last_exit"].as_str().unwrap().starts_with("unresponsive"), "{after}");
    for other in ["demo.camera", "demo.decoder", "demo.motion", "server"] {
        assert_eq!(row(&program, other, |_| true)["restarts"], 0);
    }
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn no_result_comes_twice_whoever_is_killed() {
    let files = Files::new("twice");
    // Its name is taken by what comes with Framewire.
    let file = files.write("motion.py", "def motion(frame, info): return info.sequence\n");
    let program = run(&["--json", "--analyse", &file]);
    let name = "motion-2.analyser";
    let more = || {
        let before = printed(&program).len();
        wait_for("more results", || (printed(&program).len() > before + 15).then_some(()));
    };
    row(&program, name, works);
    more();
    for (killed, restarts) in [("server", 1), ("server", 2), (name, 1), (name, 2)] {
        let pid = row(&program, killed, |_| true)["pid"].as_i64().unwrap();
        kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
        row(&program, killed, |row| row["state"] == "ready" && row["restarts"] == restarts);
        more();
    }
    let said = printed(&program);
    assert_eq!(program.stop(Signal::INT).1, Some(0));
    assert!(said.iter().all(|line| line["block"] == "motion-2" && line["sequence"] == line["result"]));
    let mut times: Vec<i64> = said.iter().map(|line| line["pts_ns"].as_i64().unwrap()).collect();
    let count = times.len();
    assert!(times.is_sorted(), "{times:?}");
    times.dedup();
    // What was being handled at a kill comes once more, at most.
    assert!(times.len() + 4 >= count, "{} of {count} came twice", count - times.len());
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn one_killed_while_it_loads_is_back_and_one_that_saves_has_time_for_it() {
    let files = Files::new("loads");
    let loading = files.write("loading", "");
    let saved = files.path("saved");
    let file = files.write(
        "model.py",
        &format!(
            "import os, time\nwhile os.path.exists({loading:?}): time.sleep(0.01)\nclass Model:\n    \
             def frame(self, frame): return 1\n    def stop(self):\n        time.sleep(0.3)\n        \
             open({saved:?}, 'w').close()\n"
        ),
    );
    let program = run(&["--analyse", &file, "--stop-within", "20"]);
    let name = "model.analyser";
    for restarts in 1..3 {
        let starting = row(&program, name, |row| row["state"] == "starting" && row["restarts"] == restarts - 1);
        kill_process(Pid::from_raw(starting["pid"].as_i64().unwrap() as i32).unwrap(), Signal::KILL).unwrap();
        row(&program, name, |row| row["restarts"] == restarts);
    }
    fs::remove_file(loading).unwrap();
    row(&program, name, works);
    assert_eq!(program.stop(Signal::INT).1, Some(0));
    assert!(PathBuf::from(saved).exists());
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn a_picture_that_goes_wrong_shows_why_and_ten_in_a_row_end_the_process() {
    let files = Files::new("errors");
    let broken = files.path("broken");
    let file = files.write(
        "weak.py",
        &format!(
            "import os, logging\nlogging.warning('it says %s', 'much')\nprint('and prints')\ncount = 0\ndef weak(frame):\n    global count\n    count += 1\n    \
             if os.path.exists({broken:?}) or count == 5:\n        return frame.no_such_attribute\n"
        ),
    );
    let program = run(&["--analyse", &file]);
    let name = "weak.analyser";
    // A single one: it goes on, and says so for some seconds.
    let trouble = row(&program, name, |row| works(row) && !row["trouble"].is_null());
    assert!(trouble["trouble"].as_str().unwrap().starts_with("demo: a picture went wrong:\n"), "{trouble}");
    row(&program, name, |row| works(row) && row["trouble"].is_null());
    wait_for("the traceback in the terminal", || {
        let output = program.output();
        (output.contains("weak.py\", line 9, in weak") && output.contains("no attribute 'no_such_attribute'"))
            .then_some(())
    });
    assert_eq!(row(&program, name, |_| true)["restarts"], 0);
    let output = program.output();
    assert!(output.contains("it says much") && output.contains("and prints"), "{output}");
    assert!(output.lines().any(|line| line.contains("WARN") && line.contains("weak.analyser")), "{output}");
    fs::write(&broken, "").unwrap();
    let after = row(&program, name, |row| row["restarts"].as_u64() > Some(0) && !row["trouble"].is_null());
    assert!(after["trouble"].as_str().unwrap().contains("no attribute 'no_such_attribute'"), "{after}");
    fs::remove_file(&broken).unwrap();
    row(&program, name, |row| works(row) && row["trouble"].is_null());
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn who_keeps_too_many_pictures_is_told_which_and_goes_on() {
    let files = Files::new("keeps");
    let lets_go = files.path("lets-go");
    let hoards = files.write(
        "hoards.py",
        &format!(
            "import os, threading, time\nkept = []\ndef _free():\n    while not os.path.exists({lets_go:?}):\n        \
             time.sleep(0.05)\n    while True:\n        kept.clear()\n        time.sleep(0.01)\n\
             threading.Thread(target=_free, daemon=True).start()\ndef hoards(frame):\n    kept.append(frame[1:])\n"
        ),
    );
    let cycles = files.write(
        "cycles.py",
        "import gc\ngc.disable()\ndef cycles(frame):\n    try:\n        raise ValueError\n    except ValueError as error:\n        \
         kept = error\n",
    );
    let program = run(&["--json", "--analyse", &hoards, "--analyse", &cycles]);
    let trouble = row(&program, "hoards.analyser", |row| !row["trouble"].is_null());
    let said = trouble["trouble"].as_str().unwrap();
    for part in ["all 4 pictures of demo", " by thread MainThread for ", "frame.copy()"] {
        assert!(said.starts_with("demo: ") && said.contains(part), "{said}");
    }
    wait_for("it in the terminal", || program.output().contains("all 4 pictures of demo").then_some(()));
    let results = |block: &str| printed(&program).iter().filter(|line| line["block"] == block).count();
    wait_for("pictures enough to hold too many", || (results("cycles") >= 25).then_some(()));
    assert_eq!(results("hoards"), 4);
    assert!(program.output().contains("objects that hold each other"));
    fs::write(&lets_go, "").unwrap();
    wait_for("it to go on", || (results("hoards") >= 10).then_some(()));
    for name in ["hoards.analyser", "cycles.analyser"] {
        let row = row(&program, name, |row| works(row) && row["trouble"].is_null());
        assert_eq!(row["restarts"], 0, "{row}");
    }
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn what_goes_wrong_again_and_again_is_told_now_and_then_and_stands() {
    let files = Files::new("again");
    let file = files.write(
        "odd.py",
        "count = 0\ndef odd(frame):\n    global count\n    count += 1\n    if count % 2:\n        raise ValueError('odd picture')\n",
    );
    let program = run(&["--json", "--analyse", &file]);
    let results = || printed(&program).len();
    wait_for("the first results", || (results() >= 2).then_some(()));
    let before = results();
    while results() < before + 25 {
        let row = row(&program, "odd.analyser", |_| true);
        assert!(row["trouble"].as_str().is_some_and(|trouble| trouble.ends_with("ValueError: odd picture")), "{row}");
    }
    let tracebacks = program.output().matches("ValueError: odd picture").count();
    assert!((1..10).contains(&tracebacks), "{tracebacks} for {} pictures", 2 * results());
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn where_loading_hangs_is_said_before_it_is_killed() {
    let files = Files::new("loading");
    let file = files.write("loads.py", "import time\ntime.sleep(600)\ndef loads(frame):\n    pass\n");
    let program = run(&["--ready-within", "4", "--analyse", &file]);
    let at_it = row(&program, "loads.analyser", |row| {
        row["trouble"].as_str().is_some_and(|trouble| trouble.starts_with(&format!("it has been loading {file} for ")))
    });
    assert!(at_it["trouble"].as_str().unwrap().ends_with("--ready-within"), "{at_it}");
    let ended = row(&program, "loads.analyser", |row| row["state"] == "failed");
    assert!(ended["trouble"].as_str().unwrap().contains("loads.py\", line 2 in <module>"), "{ended}");
    let output = program.output();
    assert!(output.contains("loads.py\", line 2 in <module>"), "{output}");
    assert!(output.contains("after 4.0 s it counts as hanging"), "{output}");
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn where_it_hangs_is_said_before_it_is_killed() {
    let files = Files::new("hangs");
    let file = files.write(
        "hangs.py",
        "import ctypes\ncount = 0\ndef hangs(frame):\n    global count\n    count += 1\n    if count == 5:\n        \
         ctypes.PyDLL(None).sleep(1000)\n",
    );
    let program = run(&["--responsive-within", "2", "--analyse", &file]);
    let at_it = row(&program, "hangs.analyser", |row| {
        row["trouble"].as_str().is_some_and(|trouble| trouble.starts_with("it has been at one picture of demo for "))
    });
    assert!(at_it["trouble"].as_str().unwrap().ends_with("--responsive-within"), "{at_it}");
    assert_eq!(at_it["restarts"], 0);
    row(&program, "hangs.analyser", |row| row["restarts"].as_u64() > Some(0));
    let output = program.output();
    assert!(output.contains("hangs.py\", line 7 in hangs"), "{output}");
    assert!(output.contains("after 2.0 s it counts as hanging"), "{output}");
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn a_file_with_an_error_is_shown_and_mended_when_it_is_saved() {
    let files = Files::new("watch");
    let block = |size: u32, result: &str| {
        format!("import framewire\n@framewire.block(size=({size}, {size}))\ndef mended(frame):\n    return {result}\n")
    };
    let file = files.write("mended.py", "def mended(frame:\n");
    let program = run(&["--watch", "--json", "--analyse", &file]);
    let name = "mended.analyser";
    let failed = row(&program, name, |row| row["state"] == "failed" && !row["trouble"].is_null());
    let trouble = failed["trouble"].as_str().unwrap();
    assert!(trouble.contains("SyntaxError") && trouble.contains("mended.py") && trouble.contains("saved"), "{trouble}");
    wait_for("it in the terminal", || program.output().contains("SyntaxError").then_some(()));
    row(&program, "demo.motion", works);
    files.write("mended.py", &block(160, "'first'"));
    row(&program, name, |row| works(row) && row["trouble"].is_null());
    let says = |result: &str, width: u32| {
        wait_for(result, || {
            printed(&program).iter().any(|line| line["result"] == result && line["width"] == width).then_some(())
        });
    };
    says("first", 160);
    // Another view: the decoder gives it, without being restarted.
    files.write("mended.py", &block(320, "'second'"));
    says("second", 320);
    files.write("mended.py", "import no_such_module\n");
    let failed = row(&program, name, |row| row["state"] == "failed" && !row["trouble"].is_null());
    assert!(failed["trouble"].as_str().unwrap().contains("No module named 'no_such_module'"), "{failed}");
    files.write("mended.py", &block(320, "'third'"));
    says("third", 320);
    assert_eq!(row(&program, "demo.decoder", |_| true)["restarts"], 0);
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn parameters_reach_the_block_and_one_that_it_lacks_is_told_with_those_that_it_has() {
    let files = Files::new("parameters");
    let file = files.write("tuned.py", "def tuned(frame, *, limit: float = 0.5, label='cat'): return [limit, label]\n");
    let program = run(&["--json", "--analyse", &file, "--set", "limit=1", "--set", "tuned.label=0.5"]);
    wait_for("what was set", || {
        printed(&program).iter().any(|line| line["result"] == json!([1.0, "0.5"])).then_some(())
    });
    assert_eq!(program.stop(Signal::INT).1, Some(0));
    for (setting, says) in [("limits=1", "no parameter 'limits'; is it limit?"), ("limit=much", "it is to be a number")]
    {
        let program = run(&["--analyse", &file, "--set", setting]);
        let failed = row(&program, "tuned.analyser", |row| row["state"] == "failed" && !row["trouble"].is_null());
        let trouble = failed["trouble"].as_str().unwrap();
        assert!(trouble.contains(says) && trouble.contains("limit: float = 0.5, label='cat'"), "{trouble}");
        wait_for("it in the terminal", || program.output().contains(says).then_some(()));
        assert_eq!(program.stop(Signal::INT).1, Some(0));
    }
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn saving_a_module_that_the_file_imports_starts_it_anew_also_if_that_was_broken() {
    let files = Files::new("imports");
    files.write("answer.py", "answer = 'first'\n");
    let file = files.write("asks.py", "from answer import answer\ndef asks(frame): return answer\n");
    let program = run(&["--watch", "--json", "--analyse", &file]);
    let says = |result: &str| {
        wait_for(result, || printed(&program).iter().any(|line| line["result"] == result).then_some(()));
    };
    says("first");
    files.write("answer.py", "answer = 'second'\n");
    says("second");
    files.write("answer.py", "answer = 'third\n");
    row(&program, "asks.analyser", |row| row["state"] == "failed" && !row["trouble"].is_null());
    files.write("answer.py", "answer = 'fourth'\n");
    says("fourth");
    assert!(program.output().contains("answer.py was saved"));
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package; `cargo xtask test e2e` runs it"]
fn a_view_too_many_is_told_once_and_comes_when_there_is_room() {
    let files = Files::new("views");
    let block = |width: usize| {
        format!("import framewire\n@framewire.block(size=({width}, 64), fps=4)\ndef look(frame): return None\n")
    };
    // One with that of the motion detector is one more than a decoder gives.
    let names: Vec<String> = (0..16).map(|index| format!("view{index}.py")).collect();
    let paths: Vec<String> =
        names.iter().enumerate().map(|(index, name)| files.write(name, &block(100 + index))).collect();
    let mut arguments = vec!["--watch"];
    paths.iter().for_each(|path| arguments.extend(["--analyse", path]));
    let program = run(&arguments);
    let told = || -> Vec<String> {
        let output = program.output();
        output.lines().filter(|line| line.contains("there are 16 views already")).map(str::to_owned).collect()
    };
    let line = wait_for("a view that is refused", || told().pop());
    let width = line.split_once("give rgb24 ").and_then(|(_, rest)| rest.split_once('x')).unwrap().0;
    let refused = width.parse::<usize>().unwrap() - 100;
    let analyser = |index: usize| format!("view{index}.analyser");
    for other in (0..16).filter(|index| *index != refused) {
        row(&program, &analyser(other), works);
    }
    // Another one takes what a third has already: then there is room.
    let (moves, joins) = ((refused + 1) % 16, (refused + 2) % 16);
    files.write(&names[moves], &block(100 + joins));
    row(&program, &analyser(refused), works);
    row(&program, &analyser(moves), works);
    assert_eq!(told(), [line]);
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
#[ignore = "needs the Python package, Chromium and Node; `cargo xtask test e2e` runs it"]
fn boxes_of_python_are_drawn_on_the_page() {
    let files = Files::new("page");
    let file = files.write(
        "middle.py",
        "import framewire\n@framewire.block(size=(64, 64), fps=5, boxes='fractions')\ndef middle(frame):\n    \
         return framewire.Box(0.4, 0.4, 0.2, 0.2, 'middle', 0.9)\n",
    );
    let program = run(&["--analyse", &file]);
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/e2e/live.mjs");
    let url = format!("http://{}", program.address);
    let driven = Command::new("node").args([driver, "--url", &url, "--source", "middle"]).status();
    assert!(driven.unwrap().success(), "the program wrote:\n{}", program.output());
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
fn a_file_or_a_python_that_is_not_there_is_named_at_once() {
    let said = |arguments: &[&str]| {
        let ended = command(&[&["run"], arguments].concat()).output().unwrap();
        assert_eq!(ended.status.code(), Some(1));
        String::from_utf8(ended.stderr).unwrap()
    };
    let missing = said(&["--analyse", "missing.py:Counter"]);
    assert!(missing.contains("missing.py") && missing.contains("FILE.py:NAME"), "{missing}");
    let files = Files::new("missing");
    let file = files.write("one.py", "def one(frame): pass");
    let missing = said(&["--analyse", &file, "--python", "/nowhere/python"]);
    assert!(missing.contains("/nowhere/python") && missing.contains("--python"), "{missing}");
}
