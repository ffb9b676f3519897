//! Files with passwords and tokens in them.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use process::BoxError;

/// More than this is no list of sources.
const MAX_BYTES: u64 = 1 << 20;

/// The lines of a file that others can't read. Empty ones, and those that begin with `#`, are left out.
pub fn lines(file: &Path) -> Result<Vec<String>, BoxError> {
    let failed = |what: &str| format!("read {}: {what}", file.display());
    let opened = File::open(file).map_err(|error| failed(&error.to_string()))?;
    // Of the open file, so that it can't be another one by now. The group's bits don't count: systemd gives a credential to
    // its service by a list of rights, which shows there.
    let mode = opened.metadata().map_err(|error| failed(&error.to_string()))?.permissions().mode();
    if mode & 0o006 != 0 {
        return Err(failed("everybody may, and there may be passwords in it; chmod 600 it first").into());
    }
    let mut text = String::new();
    let read = opened.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| failed(&error.to_string()))?;
    if read as u64 > MAX_BYTES {
        return Err(failed("it is too large for such a file").into());
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(ToOwned::to_owned).collect())
}

/// Writes a file that only its owner can read; nobody ever sees half of it, or could read it before.
pub fn write(file: &Path, text: &str) -> Result<(), BoxError> {
    replace(file, text, 0o600)
}

/// Writes a file in place of whatever had its name, whole.
pub fn replace(file: &Path, text: &str, mode: u32) -> Result<(), BoxError> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = file.with_file_name(name);
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).and_then(|mut opened| {
        // The process's mask may have taken rights away that others are to have.
        opened.set_permissions(fs::Permissions::from_mode(mode))?;
        opened.write_all(text.as_bytes())?;
        opened.sync_all()?;
        fs::rename(&new, file)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&new);
        format!("write {}: {error}", file.display()).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_by_its_owner_and_refused_if_all_can_read_it() {
        let folder = std::env::temp_dir().join(format!("framewire-secrets-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("sources");
        write(&file, "# mine\n\nrtsp://a:b@c/d\n clip.mp4 \n").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(lines(&file).unwrap(), ["rtsp://a:b@c/d", "clip.mp4"]);
        write(&file, "x").unwrap();
        assert_eq!(lines(&file).unwrap(), ["x"], "replaced");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(lines(&file).unwrap_err().to_string().contains("chmod 600"));
        assert!(lines(&folder.join("none")).unwrap_err().to_string().contains("No such file"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
        fs::remove_dir_all(folder).unwrap();
    }
}
