//! `framewire install`: a unit of systemd for a command line.

mod openness;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf, absolute},
};

use clap::Args;
use media::source::{CameraUrl, SourceKind};
use process::{BoxError, systemd::Unit};

use crate::{
    command_line::{self, Page},
    printer::Printer,
    secrets,
};

/// The first line of what this writes: a unit without it is somebody else's.
const MARK: &str = "# Written by framewire install; another one replaces it. For changes: systemctl edit.\n";

/// What is to run, and how.
#[derive(Debug, Args)]
pub struct Install {
    /// Where the pictures come from, as for `run`
    sources: Vec<String>,
    #[command(flatten)]
    pub page: Page,
    /// For your own systemd (systemctl --user) in place of the machine's
    #[arg(long)]
    user: bool,
    /// As whom it runs; by default as nobody in particular (DynamicUser=), who can read what all can
    #[arg(long, value_name = "USER", conflicts_with = "user")]
    run_as: Option<String>,
    /// The unit's name
    #[arg(long, default_value = "framewire")]
    name: String,
    /// The most memory that all its processes may have together, such as 2G
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory_max: Option<u64>,
    /// From where on they are slowed down [default: nine tenths of --memory-max]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory_high: Option<u64>,
    /// Prints the unit instead of writing it
    #[arg(long)]
    print: bool,
    /// Writes below this folder, as if it were the root: for an image
    #[arg(long, value_name = "FOLDER", conflicts_with = "user")]
    root: Option<PathBuf>,
}

/// What is to be written.
struct Files {
    unit: Unit,
    units: PathBuf,
    secrets: PathBuf,
    /// Each with its text, or without one if it is to go.
    secret: Vec<(&'static str, Option<String>)>,
}

impl Install {
    /// Writes the unit, or prints it. Whether it is started is up to whoever reads what to do then.
    pub fn obey(self, printer: &Printer) -> Result<(), BoxError> {
        let program = own_program()?;
        let sources = self.sources()?;
        let files = self.files(&program, &sources)?;
        let Files { unit, units, secrets, secret } = &files;
        let (service, slice) = (format!("{MARK}{}", unit.service()?), format!("{MARK}{}", unit.slice()?));
        let (service_file, slice_file) = (units.join(unit.service_name()), units.join(unit.slice_name()));
        if self.print {
            printer.say(&format!("# {}\n{service}\n# {}\n{slice}", service_file.display(), slice_file.display()));
            for (ending, _) in secret.iter().filter(|(_, text)| text.is_some()) {
                let file = self.secret_file(secrets, ending);
                printer.say(&format!("# and, readable by its owner only: {}", file.display()));
            }
            return Ok(());
        }
        if !self.user && self.run_as.is_none() {
            openness::check(&program, &sources)?;
        }
        let is_new = !service_file.exists();
        for file in [&service_file, &slice_file] {
            check_ours(file)?;
        }
        make_folder(units)?;
        if secret.iter().any(|(_, text)| text.is_some()) {
            make_folder(secrets)?;
        }
        // What the unit refers to comes before it.
        for (ending, text) in secret {
            let file = self.secret_file(secrets, ending);
            match text {
                Some(text) => {
                    secrets::write(&file, text)?;
                    printer.say(&format!("wrote {}, which only its owner can read", file.display()));
                }
                // A password that isn't needed any more.
                None => _ = fs::remove_file(file),
            }
        }
        for (file, text) in [(&slice_file, &slice), (&service_file, &service)] {
            secrets::replace(file, text, 0o644)?;
            printer.say(&format!("wrote {}", file.display()));
        }
        let systemctl = if self.user { "systemctl --user" } else { "systemctl" };
        let start = if is_new { "enable --now" } else { "restart" };
        printer.say(&format!("Now run:\n  {systemctl} daemon-reload\n  {systemctl} {start} {}", unit.service_name()));
        Ok(())
    }

    /// With whole paths: a unit has no folder that it was written in.
    fn sources(&self) -> Result<Vec<(String, CameraUrl)>, BoxError> {
        let parsed = command_line::parse(&self.sources)?.into_iter().zip(&self.sources);
        let whole = parsed.map(|(url, text)| match url.kind() {
            SourceKind::Rtsp(_) => Ok((text.clone(), url)),
            SourceKind::File(path) => {
                let path = absolute(path)?;
                let text = path.to_str().ok_or("use a file as a source: its path isn't UTF-8, which a unit must be")?;
                let url = format!("file:{text}").parse()?;
                Ok((text.to_owned(), url))
            }
        });
        whole.collect()
    }

    fn files(&self, program: &Path, sources: &[(String, CameraUrl)]) -> Result<Files, BoxError> {
        let etc = self.root.clone().unwrap_or_else(|| PathBuf::from("/")).join("etc");
        let (units, secrets) = if self.user {
            let config = config_folder()?;
            (config.join("systemd/user"), config.join("framewire"))
        } else {
            (etc.join("systemd/system"), etc.join("framewire"))
        };
        let mut unit = Unit::new(&self.name, program).description(description(sources)).argument("run");
        if self.user {
            unit = unit.for_user_manager();
        }
        if let Some(user) = &self.run_as {
            unit = unit.user(user);
        }
        if let Some(most) = self.memory_max {
            unit = unit.memory_max(most).memory_high(self.memory_high.unwrap_or(most / 10 * 9));
        } else if let Some(high) = self.memory_high {
            unit = unit.memory_high(high);
        }
        if let Some(listen) = self.page.listen {
            unit = unit.argument("--listen").argument(listen.to_string());
        }
        let mut secret = Vec::new();
        let token = self.token()?;
        if token.is_some() {
            unit = self.refer_to(unit.argument("--token-from"), &secrets, "token");
        }
        secret.push(("token", token.map(|token| token + "\n")));
        let is_secret = sources.iter().any(|(_, url)| hides_something(url));
        if is_secret {
            unit = self.refer_to(unit.argument("--sources-from"), &secrets, "sources");
        } else if !sources.is_empty() {
            unit = sources.iter().fold(unit.argument("--"), |unit, (text, _)| unit.argument(text));
        }
        secret.push(("sources", is_secret.then(|| list(sources)).transpose()?));
        Ok(Files { unit, units, secrets, secret })
    }

    /// A secret goes to the machine's service as a credential, which systemd reads as root; to a user's own, as the file.
    fn refer_to(&self, unit: Unit, secrets: &Path, ending: &'static str) -> Unit {
        let file = self.secret_file(secrets, ending);
        if self.user {
            return unit.argument(file);
        }
        // Where it will be on the machine whose root this is.
        let file = self
            .root
            .as_ref()
            .and_then(|root| file.strip_prefix(root).ok())
            .map_or(file.clone(), |rest| Path::new("/").join(rest));
        unit.credential(ending, file).credential_argument(ending)
    }

    fn secret_file(&self, folder: &Path, ending: &str) -> PathBuf {
        folder.join(format!("{}.{ending}", self.name))
    }

    /// One that stays the same over restarts, if one is needed.
    fn token(&self) -> Result<Option<String>, BoxError> {
        let told = match &self.page.token_from {
            Some(file) => secrets::lines(file)?.pop(),
            None => self.page.token.clone(),
        };
        match told {
            Some(token) => Ok(Some(command_line::checked(token)?)),
            None if self.page.listen.is_some_and(|address| !address.ip().is_loopback()) => {
                Ok(Some(command_line::made_up()?))
            }
            None => Ok(None),
        }
    }
}

fn description(sources: &[(String, CameraUrl)]) -> String {
    match sources {
        [] => "Framewire: the demonstration".to_owned(),
        // As it is shown: without its password.
        [(_, url)] => format!("Framewire: {url}"),
        sources => format!("Framewire: {} sources", sources.len()),
    }
}

/// Whether its text has something in it that isn't for everybody.
fn hides_something(url: &CameraUrl) -> bool {
    url.credentials().is_some() || url.to_string().contains("***")
}

fn list(sources: &[(String, CameraUrl)]) -> Result<String, BoxError> {
    let mut list = String::from("# One source a line, as for framewire run.\n");
    for (index, (text, _)) in sources.iter().enumerate() {
        if text.contains(['\n', '\r']) || text.trim() != text {
            return Err(format!("use source {}: it has line breaks in it, or blanks at an end", index + 1).into());
        }
        list += text;
        list.push('\n');
    }
    Ok(list)
}

fn own_program() -> Result<PathBuf, BoxError> {
    let program = std::env::current_exe()?;
    if !program.exists() {
        let program = program.display();
        return Err(format!("name the program in a unit: {program} isn't there any more; start the new one").into());
    }
    Ok(program)
}

fn config_folder() -> Result<PathBuf, BoxError> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    folder.ok_or_else(|| "find your own units: neither XDG_CONFIG_HOME nor HOME is set".into())
}

fn make_folder(folder: &Path) -> Result<(), BoxError> {
    fs::create_dir_all(folder).map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::PermissionDenied { "; it takes root, or --user" } else { "" };
        format!("make the folder {}: {error}{hint}", folder.display()).into()
    })
}

fn check_ours(file: &Path) -> Result<(), BoxError> {
    match fs::read_to_string(file) {
        Ok(text) if !text.starts_with(MARK) => {
            let name = file.file_name().unwrap_or(OsStr::new("it")).to_string_lossy();
            let file = file.display();
            Err(format!("replace {file}: {name} wasn't written by this command; choose another --name, or remove it")
                .into())
        }
        _ => Ok(()),
    }
}

/// A size such as `2G`.
fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.find(|character: char| !character.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("give a number of bytes, with K, M, G or T if you like: 512M".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "it doesn't begin with a number".to_owned())?;
    let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "it is nothing, or more than there can be".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(bytes("512M"), Ok(512 << 20));
        assert_eq!((bytes("4096"), bytes("2g")), (Ok(4096), Ok(2 << 30)));
        for bad in ["", "G", "-1", "0", "2GB", "50%", "99999999999T"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
