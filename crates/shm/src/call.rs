//! System calls that fail, by name: "too many open files" alone doesn't say what could not be opened.

use std::io;

/// What the kernel said, and to which call.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {source}")]
struct Failed {
    call: &'static str,
    source: io::Error,
}

/// Names the system call that an error comes from. Its kind stays what it was.
pub(crate) fn failed<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> io::Error {
    move |source| {
        let source = source.into();
        io::Error::new(source.kind(), Failed { call, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_call_and_keeps_its_kind() {
        let error = failed("eventfd")(rustix::io::Errno::AGAIN);
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().starts_with("eventfd: "), "{error}");
    }
}
