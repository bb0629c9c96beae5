//! What is varied, and how each variation changes the surroundings of a build.

use super::{Lab, inside::Spec};
use crate::{exec, files, plan::InputKind, recipe::RootTaskSource, root_task};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

/// Something that builds on two machines, or two builds on one, may differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variation {
    /// Nothing: what differs here differs by chance.
    Again,
    /// A folder with a short path.
    FolderShort,
    /// A folder with a very long path.
    FolderLong,
    /// A folder with spaces and letters that are not ASCII.
    FolderOdd,
    /// The time of day, and the times of the source files.
    Time,
    /// The time zone.
    TimeZone,
    /// The language.
    Locale,
    /// Rights of new files.
    Umask,
    /// The user's name and number.
    User,
    /// The host's name.
    Host,
    /// The number of processors.
    Cpus,
    /// Variables that tools obey.
    Environment,
    /// HOME and CARGO_HOME.
    Home,
    /// The order of the folders of PATH.
    PathOrder,
    /// The order in which folders list their entries.
    DirectoryOrder,
    /// Addresses of programs and their memory.
    Aslr,
    /// What the kernel says that it is.
    KernelVersion,
    /// Whether there is a terminal.
    Terminal,
    /// What an earlier build of other sources left.
    Stale,
}

impl Variation {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 19] = [
        Self::Again,
        Self::FolderShort,
        Self::FolderLong,
        Self::FolderOdd,
        Self::Time,
        Self::TimeZone,
        Self::Locale,
        Self::Umask,
        Self::User,
        Self::Host,
        Self::Cpus,
        Self::Environment,
        Self::Home,
        Self::PathOrder,
        Self::DirectoryOrder,
        Self::Aslr,
        Self::KernelVersion,
        Self::Terminal,
        Self::Stale,
    ];

    /// Its name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::FolderShort => "folder-short",
            Self::FolderLong => "folder-long",
            Self::FolderOdd => "folder-odd",
            Self::Time => "time",
            Self::TimeZone => "time-zone",
            Self::Locale => "locale",
            Self::Umask => "umask",
            Self::User => "user",
            Self::Host => "host",
            Self::Cpus => "cpus",
            Self::Environment => "environment",
            Self::Home => "home",
            Self::PathOrder => "path-order",
            Self::DirectoryOrder => "directory-order",
            Self::Aslr => "aslr",
            Self::KernelVersion => "kernel-version",
            Self::Terminal => "terminal",
            Self::Stale => "stale",
        }
    }
}

/// The name of the user and of the host that builds are done as.
const OTHER_NAME: &str = "selkie-repro";
/// Its number.
const OTHER_USER: u32 = 31337;
/// Kathmandu's zone, in a form that needs no file: not even its minutes are those of UTC.
const ZONE: &str = "<+0545>-5:45";
/// The variables of the row `environment`.
const NOISE: &str = include_str!("../../data/repro/noise.toml");
/// Behind an edited source: another root task.
const EDIT: &str = "\n#[used]\nstatic SELKIE_STALE: [u8; 64] = [1; 64];\n";
/// The same in C.
const EDIT_C: &str = "\n__attribute__((used)) static const char selkie_stale[64] = { 1 };\n";
/// A part of a path that is as long as a file's name may be, nearly.
const LONG: usize = 200;

/// The variables that change what tools do where they reach them.
///
/// # Panics
/// Never: a test reads the file.
pub fn noise() -> BTreeMap<String, String> {
    toml::from_str(NOISE).expect("checked by a test")
}

impl Lab<'_> {
    /// The build with `variation`, in the folder that it names, and what to say of it; or why it cannot be.
    pub(super) fn vary(&self, variation: Variation) -> Result<(Spec, String), String> {
        let mut spec = self.spec(variation.name(), &self.folder);
        let how = match variation {
            Variation::FolderShort | Variation::FolderLong | Variation::FolderOdd => {
                let folder = self.other_folder(variation);
                spec = self.spec(variation.name(), &folder);
                format!("a path of {} bytes", folder.as_os_str().len())
            }
            Variation::TimeZone
            | Variation::Locale
            | Variation::Environment
            | Variation::Home
            | Variation::PathOrder => self.variables(variation, &mut spec.env)?,
            _ => self.surroundings(variation, &mut spec)?,
        };
        Ok((spec, how))
    }

    /// Varies what variables alone can.
    fn variables(&self, variation: Variation, env: &mut BTreeMap<String, String>) -> Result<String, String> {
        Ok(match variation {
            Variation::TimeZone => {
                env.insert("TZ".into(), ZONE.into());
                format!("TZ={ZONE}")
            }
            Variation::Locale => {
                let (locale, note) = self.locale();
                env.extend(["LC_ALL", "LANG"].map(|name| (name.into(), locale.clone())));
                env.insert("LANGUAGE".into(), "tr:de".into());
                format!("LC_ALL={locale}{note}")
            }
            Variation::Home => {
                let home = self.home().map_err(|error| error.to_string())?;
                env.insert("CARGO_HOME".into(), home.join("cargo").display().to_string());
                env.insert("HOME".into(), home.display().to_string());
                "both fresh; Cargo unpacks all crates anew".to_owned()
            }
            Variation::PathOrder => {
                let (path, how) = self.path_order()?;
                env.insert("PATH".into(), path);
                how
            }
            _ => {
                let noise = noise();
                let count = noise.len();
                env.extend(noise);
                format!("{count} variables more, CFLAGS and RUSTFLAGS among them")
            }
        })
    }

    /// Varies what surrounds the process.
    fn surroundings(&self, variation: Variation, spec: &mut Spec) -> Result<String, String> {
        let named = |spec: &mut Spec, names: &[&str], value: &str| {
            spec.env.extend(names.iter().map(|name| ((*name).to_owned(), value.to_owned())));
        };
        Ok(match variation {
            Variation::Time => {
                spec.ways.etc = Some(self.later.clone()?);
                spec.ways.mtime = Some(1_000_000_000);
                "400 days and some hours later, sources of 2001; not for static programs".to_owned()
            }
            Variation::Umask => {
                spec.ways.umask = 0o077;
                "077".to_owned()
            }
            Variation::User => {
                spec.ways.user = Some(OTHER_USER);
                spec.ways.etc = Some(self.etc_of("user").map_err(|error| error.to_string())?);
                named(spec, &["USER", "LOGNAME"], OTHER_NAME);
                format!("{OTHER_NAME}, number {OTHER_USER}")
            }
            Variation::Host => {
                let host = format!("{OTHER_NAME}-host");
                named(spec, &["HOSTNAME"], &host);
                spec.ways.host = Some(host.clone());
                host
            }
            Variation::Cpus => {
                spec.ways.one_cpu = true;
                format!("1 of {}", std::thread::available_parallelism().map_or(1, usize::from))
            }
            Variation::DirectoryOrder => {
                spec.ways.reordered = true;
                // Who builds says how.
                String::new()
            }
            Variation::Aslr => {
                self.still.clone()?;
                spec.wrapper.clear();
                "on; off in all other rows".to_owned()
            }
            Variation::KernelVersion => {
                let said = self.uname26()?;
                spec.wrapper.extend(["setarch", "--uname-2.6"].map(str::to_owned));
                said
            }
            Variation::Terminal => {
                exec::which(Path::new("setsid")).ok_or("`setsid` of util-linux is not there")?;
                spec.ways.terminal = true;
                named(spec, &["TERM"], "xterm-256color");
                named(spec, &["COLUMNS"], "40");
                named(spec, &["CLICOLOR_FORCE"], "1");
                "one of its own, 40 columns".to_owned()
            }
            Variation::Stale => {
                let (path, text) = self.edited()?;
                let said = format!("what a build with an edited {} left", name_of(&path));
                spec.ways.edit = Some((self.copy_of(&self.folder, &path), text.to_owned()));
                said
            }
            // The rest is varied elsewhere, or not at all.
            _ => "nothing".to_owned(),
        })
    }

    fn other_folder(&self, variation: Variation) -> PathBuf {
        let scratch = self.scratch();
        match variation {
            Variation::FolderShort => self.short.path().join("b"),
            Variation::FolderLong => ["l", "o", "n", "g"]
                .iter()
                .fold(scratch.to_owned(), |folder, letter| folder.join(letter.repeat(LONG))),
            _ => scratch.join("a folder/mit Ümlauten, und/海豹 'n' more"),
        }
    }

    /// A locale that is installed and is none of those without a language, when there is one.
    fn locale(&self) -> (String, &'static str) {
        let installed = self.tool("locale").arg("-a").run(&self.ctx.cancel).unwrap_or_default().stdout;
        let plain = ["C", "POSIX", "C.utf8", "C.UTF-8"];
        let languages: Vec<_> = installed.lines().filter(|name| !plain.contains(name)).collect();
        // Turkish has letters that other languages change to others in upper case.
        let best = languages.iter().find(|name| name.starts_with("tr_")).or(languages.first());
        match best {
            Some(name) => ((*name).to_owned(), ""),
            None => ("C.UTF-8".to_owned(), ", LANGUAGE=tr:de; no other locale is installed"),
        }
    }

    /// An empty home, and one of Cargo that has the same registry but has unpacked nothing.
    fn home(&self) -> Result<PathBuf, files::Error> {
        let home = self.scratch().join("home of another");
        let cargo = home.join("cargo");
        files::create_dir_all(&cargo)?;
        if let Some(own) = root_task::cargo_home() {
            link_registry(&own, &cargo)?;
        }
        Ok(home)
    }

    /// PATH the other way round, with folders that are not there; programs that are used stay the same.
    fn path_order(&self) -> Result<(String, String), String> {
        let path = env::var("PATH").map_err(|error| format!("PATH: {error}"))?;
        let folders: Vec<PathBuf> = env::split_paths(&path).collect();
        let tools = self.plans.iter().flat_map(|plan| &plan.inputs);
        let tools: Vec<&str> =
            tools.filter(|one| one.kind == InputKind::Tool).map(|one| one.name.as_str()).collect();
        let find = |folders: &[PathBuf], tool: &str| {
            let found =
                folders.iter().map(|folder| folder.join(tool)).find(|path| exec::is_executable(path))?;
            fs::canonicalize(found).ok()
        };
        let mut other: Vec<PathBuf> = folders.iter().rev().cloned().collect();
        let mut how = "the other way round";
        if tools.iter().any(|tool| find(&folders, tool) != find(&other, tool)) {
            // Another program is another input, not another order.
            other = folders.clone();
            how = "folders before and behind; the other way round, other programs would come first";
        }
        other.insert(0, self.scratch().join("not there"));
        other.push(self.scratch().join("nor there"));
        let joined = env::join_paths(other).map_err(|error| error.to_string())?;
        Ok((joined.to_string_lossy().into_owned(), how.to_owned()))
    }

    /// Whether a program can be told that the kernel is an old one.
    fn uname26(&self) -> Result<String, String> {
        let real = self.tool("uname").arg("-r").run(&self.ctx.cancel).map_err(|error| error.to_string())?;
        let told = self.tool("setarch").args(["--uname-2.6", "uname", "-r"]).run(&self.ctx.cancel);
        let told = told.map_err(|error| first_line(&format!("setarch --uname-2.6: {error}")))?;
        if told.stdout == real.stdout {
            return Err("the kernel does not know `setarch --uname-2.6`".to_owned());
        }
        Ok(format!("{}, not {}", told.stdout.trim(), real.stdout.trim()))
    }

    /// A source file of the function, and what makes it another program.
    fn edited(&self) -> Result<(PathBuf, &'static str), String> {
        match &self.recipe.source {
            RootTaskSource::C(list) => {
                let first = list.first().ok_or("there is no source")?;
                Ok((first.path.clone(), EDIT_C))
            }
            RootTaskSource::Crate(folder) => {
                let main = root_task::main_of_crate(self.ctx, &folder.path, &self.plans[0].toolchain);
                Ok((main.map_err(|error| error.to_string())?, EDIT))
            }
            RootTaskSource::Package(_) => {
                Err("the root task is made of a source package, which is pinned by its digest".to_owned())
            }
            RootTaskSource::Program(_) | RootTaskSource::Prebuilt(_) => {
                Err("the root task is prebuilt: there is no source".to_owned())
            }
        }
    }
}

/// Makes `to` a home of Cargo that has the registry of `from` and its settings, but has unpacked nothing.
///
/// # Errors
/// When a folder or link cannot be made.
pub fn link_registry(from: &Path, to: &Path) -> Result<(), files::Error> {
    files::create_dir_all(&to.join("registry"))?;
    let shared = ["registry/index", "registry/cache", "config.toml", "credentials.toml", "bin"];
    for name in shared.iter().filter(|name| from.join(name).exists()) {
        let link = to.join(name);
        if fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink(from.join(name), &link).map_err(files::Error::at("make", &link))?;
        }
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The first line of an error, for a cell of a table.
pub(super) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The files of `/etc` of somebody else.
pub(super) fn passwd_of_another() -> [(&'static str, String); 3] {
    [
        ("passwd", format!("{OTHER_NAME}:x:{OTHER_USER}:{OTHER_USER}:Somebody Else:/nonexistent:/bin/sh\n")),
        ("group", format!("{OTHER_NAME}:x:{OTHER_USER}:\n")),
        ("hostname", format!("{OTHER_NAME}-host\n")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variation_has_a_name_of_its_own_and_is_serialised_by_it() {
        let mut names: Vec<_> = Variation::ALL.iter().map(|one| one.name()).collect();
        for variation in Variation::ALL {
            assert_eq!(serde_json::to_value(variation).unwrap(), variation.name());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Variation::ALL.len());
    }

    #[test]
    fn the_noise_is_read_and_has_what_it_must() {
        let noise = noise();
        for name in ["RUSTFLAGS", "CFLAGS", "CPATH", "MAKEFLAGS", "PYTHONPATH", "GCC_EXEC_PREFIX"] {
            assert!(noise.contains_key(name), "{name}");
        }
        // These are inputs of their own.
        assert!(!noise.contains_key("SEL4_PREFIX") && !noise.contains_key("SOURCE_DATE_EPOCH"));
    }
}
