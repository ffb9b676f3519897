//! Which part of the tree is ours.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{NoTree, Tree};

/// What systemd sets on a group with `Delegate=yes`: the first if it runs as root, the second for users too.
const MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];

/// The part of the tree that this program was given: the group that it was started in, if that is delegated to it.
///
/// That isn't known by being allowed to write there: root may write everywhere, and would then arrange the groups of a
/// session or of a whole machine. So it is the mark that counts, which whoever delegates sets.
///
/// # Errors
///
/// [`NoTree`]: why there is none. All but the last is usual.
pub(crate) fn find() -> Result<Tree, NoTree> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let own = place(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo")).ok_or(NoTree::None)?;
    if is_marked(&own) { Tree::inside(&own) } else { Err(NoTree::NotDelegated(own)) }
}

fn is_marked(group: &Path) -> bool {
    MARKS.iter().any(|mark| {
        let mut value = [0; 8];
        rustix::fs::getxattr(group, *mark, &mut value).is_ok_and(|length| value[..length].trim_ascii() == b"1")
    })
}

/// Where a process's group of version 2 is, by what the kernel says of its groups and of what is mounted.
pub(super) fn place(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        // "36 35 98:0 /root /mount-point options… - type source …"
        let (before, after) = line.split_once(" - ")?;
        let mut words = before.split(' ').skip(3);
        let (root, point) = (unescape(words.next()?), unescape(words.next()?));
        // In a container, the mount may begin somewhere inside of the tree.
        let inside = Path::new(group).strip_prefix(&root).ok()?;
        (after.split(' ').next() == Some("cgroup2")).then(|| point.join(inside))
    })
}

/// A path as in mountinfo: blanks and the like as `\040`.
fn unescape(text: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| more.get(..3)).flatten();
        let code = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &more[3..] } else { more };
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}
