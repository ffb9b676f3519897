//! The program as a service of systemd.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Child, Command},
};

use rustix::process::{Pid, Signal, kill_process};

use super::program::{LIMIT, command, wait_for};

struct Ended(Child, PathBuf);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::remove_dir_all(&self.1);
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("framewire-service-{}-{name}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    folder
}

#[test]
fn systemd_hears_when_it_is_ready_lives_and_stops() {
    let folder = folder("signs");
    let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut program = command(&["--listen", "127.0.0.1:0"]);
    program.env("NOTIFY_SOCKET", folder.join("notify")).env("WATCHDOG_USEC", "4000000");
    let mut program = Ended(program.spawn().unwrap(), folder);
    let mut heard = Vec::new();
    let mut wait = |part: &str| {
        loop {
            let mut text = [0; 4096];
            let length = socket.recv(&mut text).unwrap_or_else(|error| panic!("no {part}: {error}; heard {heard:?}"));
            heard.push(String::from_utf8(text[..length].to_vec()).unwrap());
            if heard.last().unwrap().contains(part) {
                return heard.last().unwrap().clone();
            }
        }
    };
    assert_eq!(wait("FDSTORE=1"), "FDSTORE=1\nFDNAME=listener", "its address outlives it");
    assert_eq!(wait("READY=1"), "READY=1\nSTATUS=5 of 5 ready");
    wait("WATCHDOG=1");
    wait("WATCHDOG=1");
    kill_process(Pid::from_child(&program.0), Signal::TERM).unwrap();
    wait("STOPPING=1");
    let status = wait_for("its end", || program.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_socket_of_the_units_is_used_in_place_of_an_own_one() {
    // Systemd's own tool for it, which speaks the same protocol as systemd does.
    const TOOL: &str = "systemd-socket-activate";
    if Command::new(TOOL).arg("--version").output().is_err() {
        println!("(not tested: there is no {TOOL} here)");
        return;
    }
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = folder("socket");
    let file = fs::File::create(output.join("output")).unwrap();
    let program = command(&[]).get_program().to_owned();
    let mut activated = Command::new(TOOL);
    activated.args(["--fdname=http", "-l", &address.to_string()]).arg(program);
    // A port that isn't the socket's: if it were bound, it would be taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    activated.args(["--listen", &taken.local_addr().unwrap().to_string()]).stdout(file);
    let _program = Ended(activated.spawn().unwrap(), output.clone());
    // It starts the program at the first connection.
    let first = wait_for("it listens", || TcpStream::connect(address).ok());
    let greeting = format!("Framewire is at http://{address}");
    wait_for("it is there", || fs::read_to_string(output.join("output")).unwrap().contains(&greeting).then_some(()));
    drop(first);
}
