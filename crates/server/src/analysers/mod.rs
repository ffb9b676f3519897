//! The analysers in Python, as the terminal's main loop follows them: what is wrong with each, when its files were saved, and what it was told.

mod imports;
mod parameters;
mod saved;

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

pub use self::parameters::set;
use self::saved::Watched;
use blocks::Motion;
use graph::{Block, BoxError, Change, Exit, State, StatusPage, Text};

use crate::plan::unique;

/// How often files are looked at. A person who saves one doesn't notice it, and a look costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A file of analyses, as it was named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// Absolute.
    pub file: PathBuf,
    /// The function or class in it.
    pub name: Option<String>,
    /// Its parameters, as texts.
    pub parameters: BTreeMap<String, String>,
}

/// An analyser's process.
#[derive(Clone, Debug)]
pub struct Analyser {
    /// The process's name.
    pub process: String,
    /// Its file.
    pub file: PathBuf,
    /// Its status page.
    pub page: Arc<StatusPage>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Analysers {
    /// In the order of the command line.
    pub all: Vec<Analyser>,
    /// Whether they are started anew when their file is saved.
    pub watch: bool,
    /// How long they have to stop.
    pub stop_within: Duration,
}

impl Analysis {
    /// Reads `people.py` or `people.py:NAME`.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    pub fn parse(text: &str) -> Result<Self, BoxError> {
        let named = text
            .rsplit_once(':')
            .filter(|(file, name)| is_name(name) && !Path::new(text).is_file() && !file.is_empty());
        let (file, name) = named.map_or((text, None), |(file, name)| (file, Some(name.to_owned())));
        let failed = |why: &dyn std::fmt::Display| {
            format!("analyse with {file}: {why}; it is to be a Python file, as FILE.py or FILE.py:NAME")
        };
        let file = fs::canonicalize(file).map_err(|error| failed(&error))?;
        if !file.is_file() {
            return Err(failed(&"it is no file").into());
        }
        Ok(Self { file, name, parameters: BTreeMap::new() })
    }

    /// What its findings are said to come from: the function's name if one was given, else the file's.
    pub fn block(&self) -> String {
        let stem = || self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(stem)
    }
}

/// What the findings of each are said to come from: names that differ, also from what comes with Framewire.
pub fn blocks(analyses: &[Analysis]) -> Vec<String> {
    let mut taken = HashSet::from([Motion::KIND.to_owned()]);
    analyses.iter().map(|analysis| unique(&analysis.block(), &mut taken)).collect()
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|first| first.is_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_alphanumeric() || character == '_')
}

impl Analysers {
    /// Says on the page of whoever has died why, and that it is well once it is ready again.
    pub fn follow(&self, change: &Change) {
        let Some(analyser) = self.all.iter().find(|analyser| analyser.process == change.name) else { return };
        match (&change.exit, change.state) {
            (_, State::Ready) => analyser.page.set_text(Text::Failure, ""),
            (Some((exit, lines)), State::Restarting | State::Failed) => {
                // What it said of its end is more than what it happened to print before.
                let said = matches!(exit, Exit::Failed(_) | Exit::Panic(_));
                let lines = if said { &[] } else { &lines[..] };
                let way_out = match (change.state, self.watch) {
                    (State::Failed, true) => "\nIt is started again when its file is saved.",
                    (State::Failed, false) => "\nIt isn't started again; with --watch it is when its file is saved.",
                    _ => "",
                };
                let room = Text::Failure.capacity() - way_out.len();
                analyser.page.set_text(Text::Failure, &(why(&exit.to_string(), lines, room) + way_out));
            }
            _ => {}
        }
    }

    /// Calls `saved` with the name of each process whose file, or a module of its folder that it imports, was saved, and with that
    /// file; from a thread of its own, for ever.
    ///
    /// # Errors
    ///
    /// If there can't be another thread.
    pub fn when_saved(&self, saved: impl Fn(String, PathBuf) + Send + 'static) -> std::io::Result<()> {
        if !self.watch || self.all.is_empty() {
            return Ok(());
        }
        let mut files: Vec<(String, Watched)> =
            self.all.iter().map(|it| (it.process.clone(), Watched::new(it.file.clone()))).collect();
        thread::Builder::new().name("watch".to_owned()).spawn(move || {
            loop {
                thread::sleep(LOOK_EVERY); // sleep: files on network disks tell nobody when they change
                for (process, watched) in &mut files {
                    if let Some(file) = watched.look() {
                        saved(process.clone(), file);
                    }
                }
            }
        })?;
        Ok(())
    }
}

/// With these words begin the lines by which an interpreter says where a thread is (`faulthandler`); the main one's are the last.
const WHERE_IT_IS: &str = "(most recent call first):";

/// How it ended, and of its last lines what there is room for: of where it was, as it hung, the beginning; of a traceback
/// the end, which says most of it.
fn why(exit: &str, lines: &[String], room: usize) -> String {
    let hung_at = lines.iter().rposition(|line| line.ends_with(WHERE_IT_IS));
    let lines = &lines[hung_at.unwrap_or(0)..];
    let text = lines.iter().fold(exit.to_owned(), |text, line| text + "\n" + line);
    let kept = room.saturating_sub("…".len());
    if text.len() <= room {
        text
    } else if hung_at.is_some() {
        format!("{}…", &text[..text.floor_char_boundary(kept)])
    } else {
        format!("…{}", &text[text.ceil_char_boundary(text.len() - kept)..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_name_what_is_in_it() {
        let folder = std::env::temp_dir().join(format!("framewire-analysis-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("people.py");
        fs::write(&file, "").unwrap();
        let (file, text) = (fs::canonicalize(&file).unwrap(), file.display().to_string());
        let plain = Analysis::parse(&text).unwrap();
        assert_eq!((plain.block().as_str(), &plain.file), ("people", &file));
        let named = Analysis::parse(&format!("{text}:Counter")).unwrap();
        assert_eq!((named.block().as_str(), named.name.as_deref()), ("Counter", Some("Counter")));
        for wrong in [format!("{text}x"), format!("{text}:a-b"), folder.display().to_string()] {
            let error = Analysis::parse(&wrong).unwrap_err().to_string();
            assert!(error.contains("FILE.py:NAME") && error.contains(&folder.display().to_string()), "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn of_a_traceback_the_end_is_kept_and_of_where_it_hung_the_beginning() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(why("died", &lines(&["why"]), 8), "died\nwhy");
        assert_eq!(why("died", &lines(&["a long traceback"]), 12), "…traceback");
        assert_eq!(why("ääää", &[], 6), "…ä");
        let threads = [&format!("A {WHERE_IT_IS}"), "  other", &format!("B {WHERE_IT_IS}"), "  in here", "  of that"];
        assert_eq!(why("hung", &lines(&threads), 1000), format!("hung\nB {WHERE_IT_IS}\n  in here\n  of that"));
        assert_eq!(why("hung", &lines(&threads), 45), format!("hung\nB {WHERE_IT_IS}\n  in here…"));
    }
}
