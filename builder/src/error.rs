//! The one error type that reaches the command line, and what it means for the exit code.
//!
//! Each module has an error enum of its own whose variants' texts are what the user reads: what is
//! wrong, where, and what to do. [`Error`] only gathers them and knows their exit code.

use std::fmt;

/// The result of everything in this crate that a user can make fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the process exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Ok = 0,
    /// Something failed that is neither of the following.
    Failed = 1,
    /// The command line, a recipe or a kernel config is wrong.
    Usage = 2,
    /// The host lacks a tool, a package or a permission.
    HostLacks = 3,
    /// A smoke test failed.
    SmokeFailed = 4,
    /// Two builds differ.
    NotReproducible = 5,
}

/// Any failure, as text for the user and as an exit code.
#[derive(Debug)]
pub struct Error {
    code: ExitCode,
    inner: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// Wraps a module's own error under an exit code.
    pub fn new(code: ExitCode, inner: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { code, inner: inner.into() }
    }

    /// What is wrong in a file that the user wrote, piece by piece, when that is what this error is.
    pub fn diagnostics(&self) -> Option<&[crate::diagnostic::Diagnostic]> {
        self.inner.downcast_ref::<crate::diagnostic::Diagnostics>().map(|found| found.0.as_slice())
    }

    /// What the process exits with when this error ends it.
    pub fn code(&self) -> ExitCode {
        self.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

// The text says everything, causes included: a `source` would be printed after it a second time.
impl std::error::Error for Error {}

/// Gives a module's error its exit code, always the same or one chosen by a function of the error, and
/// makes it an [`Error`]. An error that wraps another module's asks that one.
macro_rules! exit_code {
    ($error:ty, $code:ident) => {
        $crate::exit_code!($error, |_error| $crate::ExitCode::$code);
    };
    ($error:ty, |$e:ident| $code:expr) => {
        impl $error {
            /// What the process exits with when this error ends it.
            pub fn exit_code(&self) -> $crate::ExitCode {
                let $e = self;
                $code
            }
        }

        impl From<$error> for $crate::Error {
            fn from(error: $error) -> Self {
                $crate::Error::new(error.exit_code(), error)
            }
        }
    };
}
pub(crate) use exit_code;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bindings, files, inputs, lock, root_task};

    #[test]
    fn a_full_disk_is_the_hosts_lack_wherever_it_shows() {
        let full = || files::Error {
            action: "write",
            path: "/x".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        let errors: [Error; 5] = [
            lock::Error::Files(full()).into(),
            bindings::Error::Cache(lock::Error::Files(full())).into(),
            root_task::Error::Tree(inputs::tree::Error::Files(full())).into(),
            inputs::python::Error::Cache(lock::Error::Files(full())).into(),
            inputs::registry::Error::Tool(inputs::tools::Error::Files(full())).into(),
        ];
        for error in errors {
            assert_eq!(error.code(), ExitCode::HostLacks, "{error}");
        }
    }
}
