//! A private Python: a virtual environment in the cache with modules pinned by hash. The user's own
//! Python is only asked to make it.

use crate::{
    Context, Digest, cache, exec,
    exec::Tool,
    files,
    inputs::tools::{self, HostTool},
};
use std::path::{Path, PathBuf};

/// What pip reads from the environment to find the index. What it finds there is checked by hash.
const ENVIRONMENT: &[&str] = &[
    "HOME",
    "PIP_CERT",
    "PIP_CONFIG_FILE",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_TRUSTED_HOST",
    "REQUESTS_CA_BUNDLE",
];
/// What an environment takes on the disk, in bytes, roughly.
const ROOM: u64 = 16 << 20;

/// Which Python and which modules: known without making anything.
#[derive(Debug, Clone)]
pub struct Python {
    host: HostTool,
    /// A file with modules that are wheels.
    requirements: PathBuf,
    /// A file with modules that are made from their source.
    sources: Option<PathBuf>,
    /// The modules that will do when they are the host's own.
    modules: &'static [&'static str],
    /// What the cache keeps the environment under.
    key: Digest,
    /// The digest of interpreter and modules, the same wherever they lie.
    pub identity: Digest,
}

/// An environment that is there.
#[derive(Debug, Clone)]
pub struct PythonEnv {
    /// Its interpreter.
    pub python: PathBuf,
    /// The digest of interpreter and modules, the same wherever they lie.
    pub identity: Digest,
}

/// The environment could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no Python, or it does not work.
    #[error(transparent)]
    Tool(#[from] tools::Error),
    /// Python has no venv or ensurepip.
    #[error("Python cannot make a virtual environment for the kernel's generators: {error}{help}", error = .0, help = venv_help(.0))]
    NoVenv(Box<exec::Error>),
    /// The modules could not be had.
    #[error(
        "the Python modules of the kernel's generators cannot be installed: {0}\n  help: for a source tree that CMake configures the host's own will do: `cargo xtask doctor` names the packages"
    )]
    Install(Box<exec::Error>),
    /// Neither venv nor pip say that this is why they fail.
    #[error(
        "there is no room on the disk of {0} for the Python modules of the kernel's generators\n  help: make room on that disk (`cargo xtask clean` removes what Selkie wrote), or choose another folder with `--out`"
    )]
    DiskFull(PathBuf),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(Box<exec::Error>),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Tool(error) => error.exit_code(),
    Error::NoVenv(_) | Error::DiskFull(_) => crate::ExitCode::HostLacks,
    Error::Install(error) | Error::Cancelled(error) => error.exit_code(),
    Error::Cache(error) => error.exit_code(),
    Error::Files(error) => error.exit_code(),
});

/// What to do when there is no venv, unless the failure was understood and says so already.
fn venv_help(error: &exec::Error) -> &'static str {
    match error {
        exec::Error::Failed { help, .. } if !help.is_empty() => "",
        _ => "\n  help: `apt-get install python3-venv` on Debian and Ubuntu, or `cargo xtask doctor --fix`",
    }
}

/// Whether less is left on the disk of `dir` than an environment takes.
fn is_full(dir: &Path) -> bool {
    let left = |disk: rustix::fs::StatVfs| disk.f_bavail.saturating_mul(disk.f_frsize);
    rustix::fs::statvfs(dir).is_ok_and(|disk| left(disk) < ROOM)
}

impl Python {
    /// The host's Python with the modules that the file `requirements` pins, each with its hash.
    pub fn find(ctx: &Context<'_>, requirements: &Path) -> Result<Self, Error> {
        let host = tools::find(ctx, "python3")?;
        let identity = Digest::of_json(&(&host, Digest::of(files::read(requirements)?)));
        // An environment refers to the interpreter that it was made with by its place. Of the builder
        // only this file matters: a change elsewhere must not ask the network for the modules again.
        let key = Digest::of_json(&(include_str!("python.rs"), identity, Digest::of_path(&host.path)));
        let requirements = requirements.to_owned();
        Ok(Self { host, requirements, sources: None, modules: &[], key, identity })
    }

    /// With those, too, that the file `sources` pins, of which there are no wheels. They are made by the `setuptools`
    /// that the wheels have.
    pub fn with_sources(self, sources: &Path) -> Result<Self, Error> {
        let add = |to: Digest, file: Digest| Digest::of_json(&(to, file));
        let file = Digest::of(files::read(sources)?);
        let (key, identity) = (add(self.key, file), add(self.identity, file));
        Ok(Self { sources: Some(sources.to_owned()), key, identity, ..self })
    }

    /// Takes the host's own modules, of its distribution for instance, where the pinned ones cannot be had.
    pub fn or_hosts(self, modules: &'static [&'static str]) -> Self {
        Self { modules, ..self }
    }

    /// The environment, made when it is not there.
    pub fn environment(&self, ctx: &Context<'_>) -> Result<PythonEnv, Error> {
        match self.pinned(ctx) {
            Err(error @ (Error::NoVenv(_) | Error::Install(_))) => self.hosts_own(ctx).ok_or(error),
            other => other,
        }
    }

    /// The host's own Python, when it has all modules that would do.
    fn hosts_own(&self, ctx: &Context<'_>) -> Option<PythonEnv> {
        let import = format!("import {}", self.modules.join(", "));
        let there = !self.modules.is_empty()
            && Tool::new(&self.host.path, &ctx.project.root)
                .args(["-I", "-c", &import])
                .run(&ctx.cancel)
                .is_ok();
        if there {
            ctx.progress.note("the pinned Python modules cannot be had: the host's own are used");
        }
        there.then(|| PythonEnv { python: self.host.path.clone(), identity: self.identity })
    }

    /// The environment with the pinned modules.
    fn pinned(&self, ctx: &Context<'_>) -> Result<PythonEnv, Error> {
        let entry = ctx.cache.keyed_step("python", self.key, |dir| {
            ctx.progress.begin("python");
            let made = self.make(ctx, dir);
            let note = if made.is_ok() { "the kernel's generators have what they import" } else { "failed" };
            ctx.progress.end("python", note);
            made
        })?;
        Ok(PythonEnv { python: entry.dir.join("bin/python"), identity: self.identity })
    }

    fn make(&self, ctx: &Context<'_>, dir: &Path) -> Result<(), Error> {
        let failed = |error: fn(Box<exec::Error>) -> Error| {
            move |source| match source {
                exec::Error::Cancelled { .. } => Error::Cancelled(Box::new(source)),
                _ if is_full(dir) => Error::DiskFull(dir.to_owned()),
                source => error(Box::new(source)),
            }
        };
        let venv = Tool::new(&self.host.path, dir).env("TMPDIR", dir).args(["-I", "-m", "venv", "."]);
        venv.run(&ctx.cancel).map_err(failed(Error::NoVenv))?;
        let pip = ["-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-cache-dir"];
        let install = |file: &Path, form: &[&str]| {
            let tool = Tool::new(dir.join("bin/python"), dir).env("TMPDIR", dir).args(pip);
            let tool = tool.args(["install", "--quiet", "--require-hashes", "--no-deps"]).args(form);
            let tool = tool.arg("--requirement").arg(file).inherit(exec::NETWORK).inherit(ENVIRONMENT);
            tool.run(&ctx.cancel).map_err(failed(Error::Install))
        };
        install(&self.requirements, &["--only-binary", ":all:"])?;
        if let Some(sources) = &self.sources {
            // pip would fetch what makes a wheel of them, unpinned.
            install(sources, &["--no-binary", ":all:", "--no-build-isolation"])?;
        }
        // pip has done its work; hundreds of files would be checked at every build.
        let pinned = files::read(&self.requirements)?;
        let pinned = String::from_utf8_lossy(&pinned);
        let idle = ["setuptools", "pip"].into_iter().filter(|name| !pinned.contains(&format!("\n{name}==")));
        let remove = Tool::new(dir.join("bin/python"), dir).env("TMPDIR", dir).args(pip);
        let remove = remove.args(["uninstall", "--yes", "--quiet"]).args(idle);
        remove.run(&ctx.cancel).map_err(failed(Error::Install))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExitCode, Project, context::Silent};
    use std::{fs, os::unix::fs::PermissionsExt};

    /// What a Python that runs `script` whatever it is asked makes of an environment.
    fn with(script: &str) -> crate::Error {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
        let path = dir.path().join("python3");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let host = HostTool { name: "python3".into(), version: "3".into(), digest: Digest::of(script), path };
        let (requirements, key) = (dir.path().join("requirements.txt"), Digest::of("key"));
        let python = Python { host, requirements, sources: None, modules: &[], key, identity: key };
        python.environment(&Context::new(&project, &Silent)).unwrap_err().into()
    }

    #[test]
    fn a_python_without_venv_is_the_hosts_lack_and_the_package_is_named_once() {
        for script in ["echo 'No module named venv' >&2; exit 1", "exit 1"] {
            let error = with(script);
            assert_eq!(error.code(), ExitCode::HostLacks);
            let text = error.to_string();
            assert_eq!(text.matches("apt-get install python3-venv").count(), 1, "{text}");
        }
    }

    #[test]
    fn modules_that_cannot_be_had_are_an_error_with_pips_words() {
        let pip = "mkdir bin && printf '#!/bin/sh\\necho THESE PACKAGES DO NOT MATCH THE HASHES; exit 1' > bin/python && chmod +x bin/python";
        let error = with(pip);
        assert_eq!(error.code(), ExitCode::Failed);
        let text = error.to_string();
        assert!(text.contains("DO NOT MATCH THE HASHES") && text.contains("cannot be installed"), "{text}");
    }

    #[test]
    fn a_full_disk_is_recognised() {
        assert!(is_full(Path::new("/proc")), "nothing fits there");
        assert!(!is_full(&std::env::temp_dir()));
    }

    #[test]
    fn every_module_is_pinned_by_hash() {
        let project = Project::here();
        let files = [
            (project.python_requirements(), 3),
            (project.cmake_requirements(), 3),
            (project.device_tree_requirements(), 1),
        ];
        for (path, least) in files {
            let text = fs::read_to_string(path).unwrap().replace("\\\n", "");
            let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            assert!(lines.clone().count() >= least);
            for line in lines {
                assert!(line.contains("==") && line.contains(" --hash=sha256:"), "{line}");
            }
        }
    }
}
