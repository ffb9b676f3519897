//! What `systemctl status` shows: how many are well, and who isn't.

use crate::{State, supervisor::Census};

/// So many are named; the rest is a number.
const NAMED: usize = 3;

/// One line. Those that have ended as they should don't count.
pub(super) fn line(census: &Census, stopping: bool, stuck: &[String]) -> String {
    let of = |state: State| -> Vec<&str> {
        let those = census.standings.iter().filter(|standing| standing.state == state);
        let mut names: Vec<&str> = those.map(|standing| standing.name.as_str()).collect();
        names.sort_unstable();
        names
    };
    if stopping {
        let left = [of(State::Starting), of(State::Ready), of(State::Stopping)].concat();
        return match left.len() {
            0 => "stopping, nothing runs any more".to_owned(),
            _ => format!("stopping, {}", count(&left, "still running")),
        };
    }
    let all = census.standings.iter().filter(|standing| standing.state != State::Exited).count();
    if all == 0 {
        return "no processes".to_owned();
    }
    let mut line = format!("{} of {all} ready", of(State::Ready).len());
    for state in [State::Starting, State::Restarting, State::Stopping, State::Failed] {
        let those = of(state);
        if !those.is_empty() {
            line += &format!(", {}", count(&those, state.as_str()));
        }
    }
    if !stuck.is_empty() {
        let stuck: Vec<&str> = stuck.iter().map(String::as_str).collect();
        line += &format!(", {}", count(&stuck, "stuck"));
    }
    // A name with a line break in it would be an assignment of its own.
    line.replace(char::is_control, " ")
}

fn count(names: &[&str], what: &str) -> String {
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!("{} {what}: {}{more}", names.len(), names[..names.len().min(NAMED)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Standing;

    fn census(states: &[(&str, State)]) -> Census {
        let standing = |(id, (name, state)): (usize, &(&str, State))| Standing {
            id: id as u64,
            name: (*name).to_owned(),
            state: *state,
            heart: None,
        };
        Census { standings: states.iter().enumerate().map(standing).collect(), stopping: false }
    }

    #[test]
    fn it_counts_those_who_are_well_and_names_the_others() {
        use State::*;
        let all = census(&[("b", Ready), ("a", Ready), ("door.decoder", Restarting), ("done", Exited)]);
        assert_eq!(line(&all, false, &[]), "2 of 3 ready, 1 restarting: door.decoder");
        assert_eq!(line(&all, false, &["a".to_owned()]), "2 of 3 ready, 1 restarting: door.decoder, 1 stuck: a");
        assert_eq!(line(&all, true, &[]), "stopping, 2 still running: a, b");
        let many = census(&[("d", Failed), ("c", Failed), ("b", Failed), ("a", Failed)]);
        assert_eq!(line(&many, false, &[]), "0 of 4 ready, 4 failed: a, b, c, …");
        assert_eq!(line(&census(&[]), false, &[]), "no processes");
        assert_eq!(line(&census(&[]), true, &[]), "stopping, nothing runs any more");
    }

    #[test]
    fn a_name_cannot_say_anything_to_systemd() {
        let told = line(&census(&[("x\nSTOPPING=1\u{85}", State::Failed)]), false, &[]);
        assert_eq!(told, "0 of 1 ready, 1 failed: x STOPPING=1 ");
    }
}
