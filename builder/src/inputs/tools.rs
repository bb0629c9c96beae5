//! The host's tools: where each really lies and which one it is.
//!
//! Asking a tool for its version starts a process, so the answer is remembered under what `stat` says
//! about the tool and the programs it runs, and asked anew when any of that changes.

use crate::{
    Context, Digest, doctor,
    exec::{self, Tool},
    files,
    index::Stamp,
    memory,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

/// A tool of the host and its identity. What is serialised is the identity alone, so that it may be
/// part of a key or manifest that must be the same wherever the tool lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostTool {
    /// The name it was asked for by, for instance `cc`.
    pub name: String,
    /// What it says of itself, without places on this host.
    pub version: String,
    /// The digest of the program and of the programs it runs.
    pub digest: Digest,
    /// The program itself, behind links and version managers.
    #[serde(skip)]
    pub path: PathBuf,
}

/// How to ask a tool which one it is.
#[derive(Clone, Copy)]
struct Question {
    name: &'static str,
    /// The program of the table of needs whose package has it.
    provider: &'static str,
    /// The arguments that make it print its version.
    version: &'static str,
    /// The programs that it runs itself; they count towards its identity.
    parts: &'static [&'static str],
}

const QUESTIONS: &[Question] = &[
    Question { name: "cc", provider: "gcc", version: "--version", parts: &["cc1", "as", "ld"] },
    Question {
        name: "aarch64-linux-gnu-gcc",
        provider: "aarch64-linux-gnu-gcc",
        version: "--version",
        parts: &["cc1", "as", "ld"],
    },
    Question {
        name: "riscv64-linux-gnu-gcc",
        provider: "riscv64-linux-gnu-gcc",
        version: "--version",
        parts: &["cc1", "as", "ld"],
    },
    Question { name: "cargo", provider: "cargo", version: "--version", parts: &[] },
    Question { name: "rustc", provider: "cargo", version: "-vV", parts: &[] },
];

/// A tool is missing or does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such program on PATH.
    #[error("`{name}` was not found on PATH\n  help: {}", install(name))]
    Missing {
        /// Its name.
        name: String,
    },
    /// The program is there but does not say which one it is.
    #[error("`{name}` at {path} does not work: {source}\n  help: {}", install(name))]
    Silent {
        /// Its name.
        name: String,
        /// Where it lies.
        path: PathBuf,
        /// What happened.
        source: Box<exec::Error>,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(exec::Error),
    /// A file could not be read.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Missing { .. } | Error::Silent { .. } => crate::ExitCode::HostLacks,
    Error::Cancelled(error) => error.exit_code(),
    Error::Files(error) => error.exit_code(),
});

fn question(name: &str) -> Question {
    const OTHER: Question = Question { name: "", provider: "", version: "--version", parts: &[] };
    QUESTIONS.iter().find(|question| question.name == name).copied().unwrap_or(OTHER)
}

fn install(name: &str) -> String {
    let Question { provider, .. } = question(name);
    if provider == "cargo" {
        return "install Rust from https://rustup.rs".to_owned();
    }
    let packages = doctor::packages_of(if provider.is_empty() { name } else { provider });
    let packages = packages.map_or_else(String::new, |names| format!(" ({names})"));
    format!("`cargo xtask doctor --fix` installs the package that has it{packages}")
}

/// Finds the tool `name` and says which one it is.
///
/// # Errors
/// When it is missing or does not work; both name the package that has it.
pub fn find(ctx: &Context<'_>, name: &str) -> Result<HostTool, Error> {
    let found = lookup(name).ok_or_else(|| Error::Missing { name: name.to_owned() })?;
    let file = memory_file(ctx, name);
    let choice = choice(ctx, name, &found)?;
    if let Some(known) = recall(&file, &choice) {
        return Ok(known);
    }
    let answer = ask(ctx, name, found)?;
    let watched = answer.watched.iter().map(|path| (path.clone(), stamp(path))).collect();
    let HostTool { name, version, digest, path } = answer.tool.clone();
    memory::keep(&file, &Remembered { choice, watched, name, version, digest, path });
    Ok(answer.tool)
}

/// The program that a name leads to: PATH, but the very Cargo that runs us and its compiler.
pub fn lookup(name: &str) -> Option<PathBuf> {
    if let ("cargo" | "rustc", Some(cargo)) = (name, env::var_os("CARGO")) {
        let own = Path::new(&cargo).with_file_name(name);
        if own.is_absolute() && exec::is_executable(&own) {
            return Some(own);
        }
    }
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| exec::is_executable(path));
    }
    exec::which(Path::new(name))
}

/// What decides which program a version manager starts, besides the files that are watched.
fn choice(ctx: &Context<'_>, name: &str, found: &Path) -> Result<Vec<String>, Error> {
    let mut choice = vec![found.display().to_string()];
    let variables: &[&str] = match name {
        "cargo" | "rustc" => &["RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "HOME"],
        "python3" => &["PYENV_VERSION", "PYENV_ROOT", "HOME"],
        _ => &[],
    };
    for variable in variables {
        choice.push(env::var(variable).unwrap_or_default());
    }
    let file = match name {
        "cargo" | "rustc" => "rust-toolchain.toml",
        "python3" => ".python-version",
        _ => return Ok(choice),
    };
    let path = ctx.project.root.join(file);
    match fs::read(&path) {
        Ok(bytes) => choice.push(Digest::of(bytes).to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(files::Error::at("read", &path)(error).into()),
    }
    Ok(choice)
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    choice: Vec<String>,
    watched: BTreeMap<PathBuf, Option<[u64; 4]>>,
    name: String,
    version: String,
    digest: Digest,
    path: PathBuf,
}

fn memory_file(ctx: &Context<'_>, name: &str) -> PathBuf {
    ctx.project.cache().join("tools").join(format!("{}.json", name.replace('/', "_")))
}

fn recall(file: &Path, choice: &[String]) -> Option<HostTool> {
    let known: Remembered = memory::recall(file)?;
    let same = known.choice == choice && known.watched.iter().all(|(path, then)| stamp(path) == *then);
    let Remembered { name, version, digest, path, .. } = known;
    same.then_some(HostTool { name, version, digest, path })
}

fn stamp(path: &Path) -> Option<[u64; 4]> {
    let Stamp { size, mtime, ctime, inode } = Stamp::at(path).ok()?;
    Some([size, mtime as u64, ctime as u64, inode])
}

struct Answer {
    tool: HostTool,
    watched: Vec<PathBuf>,
}

fn ask(ctx: &Context<'_>, name: &str, found: PathBuf) -> Result<Answer, Error> {
    let query = |program: &Path, args: &[&str]| -> Result<String, Error> {
        let tool = Tool::new(program, &ctx.project.root).args(args);
        let variables =
            ["HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_HOME", "PYENV_ROOT", "PYENV_VERSION"];
        let output = tool.inherit(&variables).run(&ctx.cancel);
        output.map(|output| output.stdout.trim().to_owned()).map_err(|source| match source {
            exec::Error::Cancelled { .. } => Error::Cancelled(source),
            source => {
                Error::Silent { name: name.to_owned(), path: program.to_owned(), source: Box::new(source) }
            }
        })
    };
    let path = match name {
        "cargo" | "rustc" => behind_rustup(name, &found, &query)?,
        "python3" => PathBuf::from(query(&found, &["-c", "import sys; print(sys.executable)"])?),
        _ => found.clone(),
    };
    let Question { version, parts: programs, .. } = question(name);
    // Some say by which path they were called.
    let called = path.file_name().unwrap_or_default().to_string_lossy();
    let version = first_lines(&query(&path, &[version])?.replace(&*path.to_string_lossy(), &called));
    let mut parts = Vec::new();
    for part in programs {
        let answer = query(&path, &[&format!("-print-prog-name={part}")])?;
        // A bare name means that the compiler would look on PATH.
        parts.extend(if answer.contains('/') { Some(PathBuf::from(answer)) } else { lookup(&answer) });
    }
    let mut digests = Vec::new();
    for program in std::iter::once(&path).chain(&parts) {
        digests.push(Digest::of_file(program).map_err(files::Error::at("read", program))?);
    }
    let tool =
        HostTool { name: name.to_owned(), version, digest: Digest::of_json(&digests), path: path.clone() };
    let mut watched = parts;
    watched.extend(version_manager_files());
    watched.extend([found, path]);
    Ok(Answer { tool, watched })
}

/// The real Cargo or rustc when `found` is rustup's stand-in.
fn behind_rustup(
    name: &str,
    found: &Path,
    query: &impl Fn(&Path, &[&str]) -> Result<String, Error>,
) -> Result<PathBuf, Error> {
    let rustup =
        fs::canonicalize(found).is_ok_and(|real| real.file_name().is_some_and(|name| name == "rustup"));
    if !rustup {
        return Ok(found.to_owned());
    }
    let sysroot = query(&found.with_file_name("rustc"), &["--print", "sysroot"])?;
    let real = Path::new(&sysroot).join("bin").join(name);
    Ok(if exec::is_executable(&real) { real } else { found.to_owned() })
}

/// The files with which rustup and pyenv choose a version.
fn version_manager_files() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let root =
        |variable: &str, usual: &str| env::var_os(variable).map_or_else(|| home.join(usual), PathBuf::from);
    vec![root("RUSTUP_HOME", ".rustup").join("settings.toml"), root("PYENV_ROOT", ".pyenv").join("version")]
}

/// Up to the first empty line: what follows is the licence.
fn first_lines(text: &str) -> String {
    text.lines().take_while(|line| !line.trim().is_empty()).take(12).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, context::Silent};
    use std::os::unix::fs::PermissionsExt;

    fn context(dir: &Path) -> Project {
        Project { root: dir.to_owned(), out: dir.join("out") }
    }

    fn script(path: &Path, version: &str, log: &Path) {
        let text = format!("#!/bin/sh\necho asked >> {}\necho 'tool {version}'\n", log.display());
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_tool_is_asked_once_and_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let project = context(dir.path());
        let ctx = Context::new(&project, &Silent);
        let (tool, log) = (dir.path().join("tool"), dir.path().join("log"));
        let name = tool.to_str().unwrap();
        let asked = || fs::read_to_string(&log).unwrap().lines().count();

        script(&tool, "1", &log);
        let first = find(&ctx, name).unwrap();
        assert_eq!(first.version, "tool 1");
        assert_eq!(find(&ctx, name).unwrap(), first);
        assert_eq!(asked(), 1);

        script(&tool, "2", &log);
        let second = find(&ctx, name).unwrap();
        assert_eq!(second.version, "tool 2");
        assert_ne!(second.digest, first.digest);
        assert_eq!(asked(), 2);
    }

    #[test]
    fn the_path_of_a_tool_is_no_part_of_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let project = context(dir.path());
        let tool = dir.path().join("tool");
        fs::write(&tool, "#!/bin/sh\necho \"$0 (GRUB) 2\"\n").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        let found = find(&Context::new(&project, &Silent), tool.to_str().unwrap()).unwrap();
        assert_eq!(found.version, "tool (GRUB) 2");
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let text = Error::Missing { name: "cc".to_owned() }.to_string();
        assert!(text.contains("debian: gcc"), "{text}");
        let error = crate::Error::from(Error::Missing { name: "cc".to_owned() });
        assert_eq!(error.code(), crate::ExitCode::HostLacks);
    }

    #[test]
    fn the_compiler_is_identified_with_its_parts() {
        let dir = tempfile::tempdir().unwrap();
        let project = context(dir.path());
        let ctx = Context::new(&project, &Silent);
        let cc = find(&ctx, "cc").unwrap();
        assert_eq!(find(&ctx, "cc").unwrap(), cc);
        assert!(cc.path.is_absolute());
        assert!(!cc.version.is_empty());
    }
}
