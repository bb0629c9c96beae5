//! What `run` changes in a function's run configuration, without a rebuild.

use crate::{
    recipe::Env,
    run_config::{self, Override},
};
use std::{collections::BTreeSet, ffi::OsString, fmt, fs, io, path::Path};

/// The options `--arg`, `--env` and `--secret`, as written.
///
/// A secret's value is read when the image starts, goes to the guest through an anonymous file that
/// only QEMU inherits, and never appears on a command line, on a disk or in a log.
#[derive(Clone, Default)]
pub struct Overrides {
    /// Arguments instead of the image's, when there are any.
    pub args: Vec<String>,
    /// `NAME=VALUE`, or `NAME` for the value that the host's environment has.
    pub env: Vec<String>,
    /// `NAME` for the value that the host's environment has, or `NAME=@FILE`.
    pub secrets: Vec<String>,
}

/// Names only: a value may be somebody's secret.
impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |all: &[String]| -> Vec<_> { all.iter().map(|one| split(one).0.to_owned()).collect() };
        f.debug_struct("Overrides")
            .field("args", &self.args)
            .field("env", &names(&self.env))
            .field("secrets", &names(&self.secrets))
            .finish()
    }
}

/// An override that cannot be used. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub enum OverridesError {
    /// The host's environment has no such variable.
    #[error("`{option} {name}` takes its value from the environment, which has no `{name}`\n  help: {help}")]
    NotSet {
        /// `--env` or `--secret`.
        option: &'static str,
        /// The variable.
        name: String,
        /// What to write instead.
        help: String,
    },
    /// A secret's value was written on the command line.
    #[error(
        "`--secret {name}=…` has its value on the command line, where everybody on this host can read it\n  \
         help: put it into a file and write `--secret {name}=@FILE`, or into the environment and write \
         `--secret {name}`"
    )]
    OnCommandLine {
        /// The secret.
        name: String,
    },
    /// A secret's file cannot be read.
    #[error("`--secret {name}=@{path}`: {source}")]
    File {
        /// The secret.
        name: String,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A value is no text.
    #[error("the value of `{name}` is not UTF-8; a function's environment is text")]
    NotText {
        /// The variable.
        name: String,
    },
    /// A name comes twice.
    #[error("`{name}` is given twice\n  help: `--env` and `--secret` share their names")]
    Twice {
        /// The variable.
        name: String,
    },
}

crate::exit_code!(OverridesError, Usage);

impl Overrides {
    /// Whether nothing is overridden.
    pub(super) fn are_none(&self) -> bool {
        self.args.is_empty() && self.env.is_empty() && self.secrets.is_empty()
    }

    /// The content of the file that is handed over, or none when nothing is overridden. `host` is the host's environment.
    pub(super) fn encode(&self, host: impl Fn(&str) -> Option<OsString>) -> crate::Result<Option<Vec<u8>>> {
        let args = (!self.args.is_empty()).then(|| self.args.clone());
        let wanted = Override { args, env: self.env(host)?, ..Override::default() };
        if wanted.is_empty() {
            return Ok(None);
        }
        // The encoder's message about a value would show it.
        let secret = |name: &str| self.secrets.iter().any(|secret| split(secret).0 == name);
        if let Some((name, _)) = wanted.env.iter().find(|(name, value)| secret(name) && value.contains('\0'))
        {
            return Err(run_config::Error::Nul { what: format!("the secret `{name}`") }.into());
        }
        Ok(Some(wanted.encode()?))
    }

    fn env(&self, host: impl Fn(&str) -> Option<OsString>) -> Result<Env, OverridesError> {
        let from_host = |option: &'static str, name: &str, help: String| match host(name) {
            Some(value) => text(name, value.into_encoded_bytes()),
            None => Err(OverridesError::NotSet { option, name: name.into(), help }),
        };
        let mut pairs = Vec::new();
        for written in &self.env {
            pairs.push(match split(written) {
                (name, Some(value)) => (name, value.to_owned()),
                (name, None) => (name, from_host("--env", name, format!("`--env {name}=VALUE` gives one"))?),
            });
        }
        for written in &self.secrets {
            pairs.push(match split(written) {
                (name, Some(value)) => (name, from_file(name, value)?),
                (name, None) => {
                    (name, from_host("--secret", name, format!("`--secret {name}=@FILE` reads a file"))?)
                }
            });
        }
        let mut seen = BTreeSet::new();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !seen.insert(*name)) {
            return Err(OverridesError::Twice { name: (*name).to_owned() });
        }
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

fn split(written: &str) -> (&str, Option<&str>) {
    written.split_once('=').map_or((written, None), |(name, value)| (name, Some(value)))
}

fn from_file(name: &str, written: &str) -> Result<String, OverridesError> {
    match written.strip_prefix('@') {
        Some(path) => secret_from_file(name, Path::new(path)),
        None => Err(OverridesError::OnCommandLine { name: name.into() }),
    }
}

/// The value of a secret from a file, without the line end that editors put last.
pub(crate) fn secret_from_file(name: &str, path: &Path) -> Result<String, OverridesError> {
    let file = |source| OverridesError::File { name: name.into(), path: path.display().to_string(), source };
    let mut value = text(name, fs::read(path).map_err(file)?)?;
    if value.ends_with('\n') {
        value.pop();
    }
    Ok(value)
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, OverridesError> {
    String::from_utf8(bytes).map_err(|_| OverridesError::NotText { name: name.into() })
}
