//! Whether somebody without any rights could run a program and read files: whom systemd makes up is such a one.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use media::source::{CameraUrl, SourceKind};
use process::BoxError;

const MAY_READ: u32 = 0o004;
const MAY_ENTER_OR_RUN: u32 = 0o001;

/// Says what would keep such a user from it, before it is only in the journal.
pub fn check(program: &Path, sources: &[(String, CameraUrl)]) -> Result<(), BoxError> {
    let fix = "name a user who can by --run-as USER, install for yourself by --user, or";
    if let Some(closed) = closed(program, MAY_ENTER_OR_RUN | MAY_READ) {
        let program = program.display();
        return Err(format!(
            "run {program} as nobody in particular: {closed} is closed to others; {fix} copy it to /usr/local/bin"
        )
        .into());
    }
    for (_, url) in sources {
        if let SourceKind::File(path) = url.kind()
            && let Some(closed) = closed(path, MAY_READ)
        {
            let path = path.display();
            return Err(format!(
                "read {path} as nobody in particular: {closed} is closed to others; {fix} open it to all"
            )
            .into());
        }
    }
    Ok(())
}

/// The first folder on the way, or the file itself, that isn't open to everybody. What isn't there, says so later.
fn closed(file: &Path, needed: u32) -> Option<String> {
    let mut way: Vec<&Path> = file.ancestors().collect();
    way.reverse();
    let is_closed = |path: &&Path| {
        let needed = if *path == file { needed } else { MAY_ENTER_OR_RUN };
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & needed != needed)
    };
    way.into_iter().find(is_closed).map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_closed_folder_is_named() {
        let folder = std::env::temp_dir().join(format!("framewire-openness-{}", std::process::id()));
        let (inner, file) = (folder.join("inner"), folder.join("inner/clip.mp4"));
        fs::create_dir_all(&inner).unwrap();
        fs::write(&file, "x").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&folder, 0o711);
        mode(&inner, 0o755);
        mode(&file, 0o644);
        assert_eq!(closed(&file, MAY_READ), None);
        assert_eq!(closed(&file, MAY_READ | MAY_ENTER_OR_RUN), Some(file.display().to_string()));
        mode(&inner, 0o750);
        assert_eq!(closed(&file, MAY_READ), Some(inner.display().to_string()));
        fs::remove_dir_all(folder).unwrap();
    }
}
