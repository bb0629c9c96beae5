//! apt with folders of its own: the host's lists, caches and locks stay as they are.

use super::{
    Error, Package,
    sources::{self, Sources},
};
use crate::{
    Context, Digest,
    exec::{self, Tool},
    files,
    lock::Lock,
};
use std::path::{Path, PathBuf};

/// apt's private place.
struct Apt<'a> {
    ctx: &'a Context<'a>,
    config: PathBuf,
    /// Held while the lists are used: apt itself does not wait.
    _lock: Lock,
}

/// Fetches all files of `package` into the folder `dir`.
pub(super) fn download(
    ctx: &Context<'_>,
    sources: &Sources,
    package: &Package,
    dir: &Path,
) -> Result<(), Error> {
    let apt = Apt::new(ctx, sources)?;
    // A mirror that one of several sources names may be gone; what counts is whether the package is there.
    let updated = apt.run("apt-get", &["update"], dir)?;
    let there = apt.versions(&package.name, dir)?;
    if !there.contains(&package.version) {
        let Package { name, version, .. } = package.clone();
        let help = match updated {
            Err(error) => format!("the list of packages could not be fetched: {error}"),
            Ok(_) => format!(
                "a mirror keeps the newest versions only: write one of them, and the sha256 of its .dsc, into the recipe, or name a mirror that keeps old ones by {}",
                sources::VARIABLE
            ),
        };
        return Err(Error::NotThere { name, version, there, help });
    }
    let wanted = format!("{}={}", package.name, package.version);
    let words = ["source", "--download-only", "--only-source", &wanted];
    apt.run("apt-get", &words, dir)?.map(drop).map_err(|source| {
        let Package { name, version, .. } = package.clone();
        Error::Fetch { name, version, source: Box::new(source) }
    })
}

impl<'a> Apt<'a> {
    fn new(ctx: &'a Context<'a>, sources: &Sources) -> Result<Self, Error> {
        if exec::which(Path::new("apt-get")).is_none() {
            return Err(Error::NoTool { tool: "apt-get" });
        }
        let home = ctx.cache.workspace("apt", &Digest::of_json(sources))?;
        let lock = Lock::take(&home.join("lock"), "lists of packages", ctx.progress, &ctx.cancel)?;
        sources::write(sources, &home.join("sources.list.d"))?;
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            files::create_dir_all(&home.join(folder))?;
        }
        files::write(&home.join("status"), "")?;
        let config = home.join("apt.conf");
        files::write(&config, configuration(&home))?;
        Ok(Self { ctx, config, _lock: lock })
    }

    /// Runs a program of apt in `dir`. Its failure is a result of its own.
    fn run(
        &self,
        program: &str,
        words: &[&str],
        dir: &Path,
    ) -> Result<Result<exec::Output, exec::Error>, Error> {
        let tool = Tool::new(program, dir).arg("-q").arg("-c").arg(&self.config).args(words);
        match tool.inherit(exec::NETWORK).inherit(&["APT_CONFIG"]).run(&self.ctx.cancel) {
            Err(error @ exec::Error::Cancelled { .. }) => Err(error.into()),
            done => Ok(done),
        }
    }

    /// The versions of the source package `name` that the lists name, in their order.
    fn versions(&self, name: &str, dir: &Path) -> Result<Vec<String>, Error> {
        // It fails when there is none.
        let shown =
            self.run("apt-cache", &["showsrc", "--only-source", name], dir)?.unwrap_or_default().stdout;
        let mut versions: Vec<String> = Vec::new();
        for version in shown.lines().filter_map(|line| line.strip_prefix("Version: ")) {
            let version = version.trim().to_owned();
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        Ok(versions)
    }
}

/// What is read after the host's own configuration, whose proxies, certificates and trusted keys hold.
fn configuration(home: &Path) -> String {
    let place = |name: &str| format!("\"{}\"", home.join(name).display());
    let mut text = String::new();
    // The host hooks things of its own to an update of its lists.
    for hooks in ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"] {
        text.push_str(&format!("#clear {hooks};\n"));
    }
    for (key, value) in [
        ("Dir::Etc::sourcelist", "\"/dev/null\"".to_owned()),
        ("Dir::Etc::sourceparts", place("sources.list.d")),
        ("Dir::State", place("state")),
        ("Dir::State::lists", place("state/lists")),
        ("Dir::State::status", place("status")),
        ("Dir::Cache", place("cache")),
        ("Dir::Cache::archives", place("cache/archives")),
        ("Dir::Log", place("log")),
        // As root, apt would fetch as a user who may not reach these folders.
        ("APT::Sandbox::User", "\"root\"".to_owned()),
        ("APT::Sandbox::Seccomp", "\"false\"".to_owned()),
        ("Acquire::Retries", "\"2\"".to_owned()),
        ("Acquire::Languages", "\"none\"".to_owned()),
    ] {
        text.push_str(&format!("{key} {value};\n"));
    }
    text
}
