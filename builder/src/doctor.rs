//! What the host lacks, as one line to copy; and its installation where that needs nobody's answer.

use crate::{
    Context,
    context::Cancel,
    exec::{self, Tool},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The table of needs, `builder/data/host-packages.toml`.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../data/host-packages.toml")).expect("a test reads the table")
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    managers: BTreeMap<String, Manager>,
    needs: Vec<Need>,
}

/// The package manager of one family of distributions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manager {
    /// `ID` and `ID_LIKE` of `/etc/os-release` that mean this family.
    ids: Vec<String>,
    /// Command that refreshes the list of packages.
    update: Option<String>,
    /// Command that installs the packages named after it.
    install: String,
    /// Whether that command never asks back.
    #[serde(default)]
    unattended: bool,
}

/// Something that Selkie needs on the host.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Need {
    name: String,
    /// A program on PATH; none where one of `files` is needed.
    program: Option<String>,
    /// Arguments with which the program must succeed; none means that it must only be there.
    check: Option<Vec<String>>,
    /// Files of which one must be there.
    #[serde(default)]
    files: Vec<PathBuf>,
    purpose: String,
    #[serde(default)]
    part: Part,
    /// Family to package names, separated by spaces.
    packages: BTreeMap<String, String>,
}

/// The part of Selkie that needs something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// All of it.
    #[default]
    Base,
    /// Functions with a network on target `process`.
    Network,
    /// Target `bare-metal`.
    BareMetal,
    /// POSIX programs with the libOS rumprun.
    Rumprun,
    /// Kernels that are built from the user's own source tree.
    KernelSource,
    /// The same where no Python package index can be reached.
    KernelSourceOffline,
    /// Kernels for machines with another architecture.
    OtherArchitectures,
    /// Functions made from source packages of Debian.
    DebianSources,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 8] = [
        Self::Base,
        Self::Network,
        Self::BareMetal,
        Self::Rumprun,
        Self::KernelSource,
        Self::KernelSourceOffline,
        Self::OtherArchitectures,
        Self::DebianSources,
    ];
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Base => "everything",
            Self::Network => "a network on target process",
            Self::BareMetal => "target bare-metal",
            Self::Rumprun => "a POSIX program on rumprun",
            Self::KernelSource => "a kernel from a source tree",
            Self::KernelSourceOffline => "a kernel from a source tree, without a network,",
            Self::OtherArchitectures => "a kernel for 64-bit Arm or RISC-V",
            Self::DebianSources => "a function from a Debian source package",
        })
    }
}

/// What the host has and lacks.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The distribution, as `/etc/os-release` calls itself.
    pub host: String,
    /// Everything that is needed, in the order of the table.
    pub items: Vec<Item>,
    /// The line that installs what is missing, ready to copy; none when nothing is missing or the
    /// distribution is not known.
    pub install: Option<String>,
    /// Whether KVM could speed up QEMU; whether it does is only known by booting under it.
    pub kvm: Kvm,
    /// What this kernel lacks of what a process locks itself down with.
    pub hardening: Hardening,
}

/// What the host's Linux offers to target `process`, by its version: whether a security module is switched
/// on, or a container's own filter stands before it, the tender says when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hardening {
    /// The release of the kernel.
    pub linux: String,
    /// The calls that it does not have, each with the release that has it.
    pub lacks: Vec<String>,
}

/// Calls of Linux that a process hardens itself with, and the first release with them. The filter itself has
/// been there since 3.5.
const HARDENING: [(&str, (u32, u32)); 4] =
    [("close_range", (5, 9)), ("Landlock", (5, 13)), ("MDWE", (6, 3)), ("mseal", (6, 10))];

impl Hardening {
    /// What a kernel of this release offers.
    fn of(release: &str) -> Self {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>());
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or_default();
        let version = (next(), next());
        let lacks = HARDENING.iter().filter(|(_, since)| version < *since);
        let lacks = lacks.map(|(name, (major, minor))| format!("{name} (Linux {major}.{minor})"));
        Self { linux: release.to_owned(), lacks: lacks.collect() }
    }
}

/// One need and whether it is met.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// What it is.
    pub name: String,
    /// What it is for.
    pub purpose: String,
    /// The part of Selkie that needs it.
    pub part: Part,
    /// Where it was found; none means that it is missing.
    pub found: Option<PathBuf>,
    /// The first line of its `--version`.
    pub version: Option<String>,
    /// The packages that have it, by family of distributions.
    pub packages: BTreeMap<String, String>,
}

/// Whether this user can open `/dev/kvm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kvm {
    /// It can be opened.
    Open,
    /// It exists, but this user may not open it.
    NoPermission,
    /// There is none.
    Absent,
}

/// The host lacks something that could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is missing, and this user may not install it unasked.
    #[error("the host lacks {what}\n  help: {help}")]
    Missing {
        /// Names of what is missing.
        what: String,
        /// The line to copy, or the package names.
        help: String,
    },
    /// The package manager failed.
    #[error("installing {what} failed\n{source}")]
    Install {
        /// The packages.
        what: String,
        /// How it failed.
        source: Box<exec::Error>,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Install { source, .. } if matches!(**source, exec::Error::Cancelled { .. }) =>
        crate::ExitCode::Failed,
    _ => crate::ExitCode::HostLacks,
});

impl Report {
    /// What is missing.
    pub fn missing(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.found.is_none())
    }

    /// The names of what these parts lack, separated by commas; empty when they lack nothing.
    pub fn missing_names(&self, parts: &[Part]) -> String {
        let items = self.missing().filter(|item| parts.contains(&item.part));
        items.map(|item| item.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// An error that says what these parts lack and what to do; none when they lack nothing.
    pub fn error(&self, parts: &[Part]) -> Option<Error> {
        let what = self.missing_names(parts);
        (!what.is_empty()).then(|| Error::Missing { what, help: self.help() })
    }

    /// The line to copy, or, where the distribution is unknown, the package names elsewhere.
    fn help(&self) -> String {
        if let Some(line) = &self.install {
            return line.clone();
        }
        let lines = TABLE.managers.iter().map(|(family, manager)| {
            format!("\n    {family}: {} {}", manager.install, packages(self.missing(), family).join(" "))
        });
        format!("install what your distribution calls these packages:{}", lines.collect::<String>())
    }
}

/// Looks for everything that Selkie needs.
pub fn check(root: &Path) -> Report {
    let release = os_release();
    let items = TABLE.needs.iter().map(|need| look_for(need, root)).collect();
    let mut report =
        Report { host: pretty_name(&release), items, install: None, kvm: kvm(), hardening: hardening() };
    if let Some((family, manager)) = family(&release)
        && report.missing().next().is_some()
    {
        report.install = Some(line(manager, &packages(report.missing(), family), is_root()));
    }
    report
}

/// The packages that have `program`, as `family: packages`, for an error about a missing tool.
pub fn packages_of(program: &str) -> Option<String> {
    Some(TABLE.needs.iter().find(|need| need.program.as_deref() == Some(program))?.packages())
}

/// The file that meets the need `name`, else the packages that have one.
pub(crate) fn file(name: &str) -> Result<PathBuf, String> {
    let need = TABLE.needs.iter().find(|need| need.name == name);
    need.and_then(Need::file).ok_or_else(|| packages_of_need(name))
}

/// The packages that meet the need `name`, as `family: packages`.
pub(crate) fn packages_of_need(name: &str) -> String {
    let need = TABLE.needs.iter().find(|need| need.name == name);
    need.map_or_else(|| "unknown".to_owned(), Need::packages)
}

impl Need {
    /// The packages that have it, as `family: packages`.
    fn packages(&self) -> String {
        let names = self.packages.iter().map(|(family, names)| format!("{family}: {names}"));
        names.collect::<Vec<_>>().join("; ")
    }

    /// The first of its files that is there.
    fn file(&self) -> Option<PathBuf> {
        self.files.iter().find(|file| file.is_file()).cloned()
    }
}

/// Installs what these parts lack when that needs nobody's answer (apt, as root or by `sudo -n`), and looks
/// again. Says before what it installs.
///
/// # Errors
/// When something is missing still: with the line to copy.
pub fn ensure(ctx: &Context<'_>, parts: &[Part]) -> Result<Report, Error> {
    let report = check(&ctx.project.root);
    let Some(error) = report.error(parts) else { return Ok(report) };
    let Some((family, manager)) = family(&os_release()).filter(|(_, manager)| manager.unattended) else {
        return Err(error);
    };
    let Some(prefix) = privilege(&ctx.project.root, &ctx.cancel) else { return Err(error) };
    let wanted = report.missing().filter(|item| parts.contains(&item.part));
    install(manager, prefix, &packages(wanted, family), ctx)?;
    let report = check(&ctx.project.root);
    report.error(parts).map_or(Ok(report), Err)
}

fn install(manager: &Manager, prefix: &[&str], names: &[String], ctx: &Context<'_>) -> Result<(), Error> {
    let what = names.join(" ");
    ctx.progress.note(&format!("the host lacks the packages {what}: installing them"));
    let commands = manager.update.iter().cloned().chain([format!("{} {what}", manager.install)]);
    for command in commands {
        let mut words = prefix.iter().copied().chain(command.split_whitespace());
        let Some(program) = words.next() else { continue };
        ctx.progress.begin(&command);
        let tool = Tool::new(program, &ctx.project.root).args(words).env("DEBIAN_FRONTEND", "noninteractive");
        let result = tool.inherit(exec::NETWORK).inherit(&["APT_CONFIG"]).run(&ctx.cancel);
        ctx.progress.end(&command, if result.is_ok() { "done" } else { "failed" });
        result.map_err(|source| Error::Install { what: what.clone(), source: Box::new(source) })?;
    }
    Ok(())
}

/// The words that run a command as root without a question; none when that is not possible.
fn privilege(cwd: &Path, cancel: &Cancel) -> Option<&'static [&'static str]> {
    if is_root() {
        return Some(&["env"]);
    }
    let sudo = Tool::new("sudo", cwd).args(["-n", "true"]).run(cancel);
    sudo.is_ok().then_some(&["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"])
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn look_for(need: &Need, cwd: &Path) -> Item {
    let program = need.program.as_deref();
    let run = |args: &[String]| Tool::new(program?, cwd).args(args).run(&Cancel::default()).ok();
    let usable = need.check.as_ref().is_none_or(|args| run(args).is_some());
    let found = match program {
        Some(program) => exec::which(program.as_ref()).filter(|_| usable),
        None => need.file(),
    };
    let version = found.as_ref().and_then(|_| run(&["--version".into()]));
    Item {
        name: need.name.clone(),
        purpose: need.purpose.clone(),
        part: need.part,
        found,
        version: version.and_then(|output| output.stdout.lines().next().map(str::to_owned)),
        packages: need.packages.clone(),
    }
}

/// The packages that meet `items` in a family, each once, in order.
fn packages<'a>(items: impl Iterator<Item = &'a Item>, family: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in items.filter_map(|item| item.packages.get(family)).flat_map(|names| names.split_whitespace())
    {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn line(manager: &Manager, names: &[String], root: bool) -> String {
    let sudo = if root { "" } else { "sudo " };
    let update = manager.update.as_ref().map(|update| format!("{sudo}{update} && ")).unwrap_or_default();
    format!("{update}{sudo}{} {}", manager.install, names.join(" "))
}

/// How the distribution describes itself (os-release(5)); empty when it does not.
fn os_release() -> String {
    fs::read_to_string("/etc/os-release").unwrap_or_default()
}

/// What the distribution calls itself in package URLs.
pub(crate) fn distribution() -> Option<String> {
    value(&os_release(), "ID").map(str::to_owned)
}

/// The family whose ids contain the host's `ID` or one of its `ID_LIKE`.
fn family(release: &str) -> Option<(&'static str, &'static Manager)> {
    let ids = ["ID", "ID_LIKE"].iter().filter_map(|key| value(release, key)).collect::<Vec<_>>().join(" ");
    let known =
        |manager: &Manager| ids.split_whitespace().any(|id| manager.ids.iter().any(|known| known == id));
    TABLE
        .managers
        .iter()
        .find(|(_, manager)| known(manager))
        .map(|(family, manager)| (family.as_str(), manager))
}

fn pretty_name(release: &str) -> String {
    value(release, "PRETTY_NAME").unwrap_or("an unknown distribution").to_owned()
}

/// The value of a key of `/etc/os-release` (os-release(5)), without its quotes.
fn value<'a>(release: &'a str, key: &str) -> Option<&'a str> {
    let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']))
}

fn hardening() -> Hardening {
    Hardening::of(&rustix::system::uname().release().to_string_lossy())
}

/// Whether this user can open `/dev/kvm`.
pub(crate) fn kvm() -> Kvm {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Kvm::Open,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Kvm::NoPermission,
        Err(_) => Kvm::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(release: &str) -> Option<&'static str> {
        family(release).map(|(name, _)| name)
    }

    fn missing(name: &str) -> Item {
        let need = TABLE.needs.iter().find(|need| need.name == name).expect("a need of the table");
        Item {
            name: name.into(),
            purpose: String::new(),
            part: need.part,
            found: None,
            version: None,
            packages: need.packages.clone(),
        }
    }

    #[test]
    fn every_need_has_packages_in_every_family() {
        for need in &TABLE.needs {
            for family in TABLE.managers.keys() {
                assert!(need.packages.contains_key(family), "{} has no package for {family}", need.name);
            }
        }
    }

    #[test]
    fn what_ci_installs_is_what_the_table_says() {
        let script = include_str!("../../.ci/run");
        // There is no user's source tree where the tests of a change run.
        let wanted =
            |need: &&Need| matches!(need.part, Part::Base | Part::Network | Part::BareMetal | Part::Rumprun);
        for need in TABLE.needs.iter().filter(wanted) {
            for package in need.packages["debian"].split_whitespace() {
                assert!(script.split_whitespace().any(|word| word == package), "{package} is not in .ci/run");
            }
        }
    }

    #[test]
    fn every_need_is_a_program_or_a_file() {
        for need in &TABLE.needs {
            assert_eq!(need.program.is_none(), !need.files.is_empty(), "{}", need.name);
        }
    }

    #[test]
    fn a_file_that_is_missing_is_named_by_its_packages() {
        let need = Need {
            name: "x".into(),
            program: None,
            check: None,
            files: vec!["/no/such/file".into(), "/etc".into()],
            purpose: String::new(),
            part: Part::BareMetal,
            packages: [("debian".to_owned(), "ovmf".to_owned())].into(),
        };
        assert_eq!((need.file(), need.packages().as_str()), (None, "debian: ovmf"));
        for known in ["UEFI for QEMU", "iPXE for QEMU"] {
            assert!(file(known).is_ok() || file(known).unwrap_err().contains("debian: "), "{known}");
        }
    }

    #[test]
    fn a_part_lacks_only_what_it_needs() {
        let report = Report {
            host: "x".into(),
            items: vec![missing("UEFI for QEMU")],
            install: None,
            kvm: Kvm::Absent,
            hardening: hardening(),
        };
        assert!(report.error(&[Part::Base]).is_none());
        assert_eq!(report.missing_names(&[Part::BareMetal]), "UEFI for QEMU");
    }

    #[test]
    fn families_are_known_by_id_and_by_id_like() {
        assert_eq!(name_of("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"), Some("debian"));
        assert_eq!(name_of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some("debian"));
        assert_eq!(name_of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Some("fedora"));
        assert_eq!(name_of("ID=manjaro\nID_LIKE=arch\n"), Some("arch"));
        assert_eq!(name_of("ID=plan9\n"), None);
        assert_eq!(name_of(""), None);
    }

    #[test]
    fn packages_are_named_once() {
        let items = [missing("Python"), missing("Python venv")];
        assert_eq!(packages(items.iter(), "arch"), ["python"]);
        assert_eq!(packages(items.iter(), "debian"), ["python3", "python3-venv"]);
    }

    #[test]
    fn the_line_to_copy_uses_sudo_only_where_needed() {
        let names = packages([missing("QEMU")].iter(), "debian");
        let manager = &TABLE.managers["debian"];
        assert_eq!(
            line(manager, &names, true),
            "apt-get update && apt-get install -y --no-install-recommends qemu-system-x86"
        );
        assert!(line(manager, &names, false).contains("&& sudo apt-get install"));
    }

    #[test]
    fn an_unknown_distribution_gets_the_names_elsewhere() {
        let report = Report {
            host: "x".into(),
            items: vec![missing("QEMU")],
            install: None,
            kvm: Kvm::Absent,
            hardening: hardening(),
        };
        let text = report.error(&Part::ALL).expect("QEMU is missing").to_string();
        for part in ["the host lacks QEMU", "debian: apt-get", "fedora: dnf", "arch: pacman"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn nothing_missing_is_no_error() {
        let report = Report {
            host: "x".into(),
            items: Vec::new(),
            install: None,
            kvm: Kvm::Absent,
            hardening: hardening(),
        };
        assert!(report.error(&Part::ALL).is_none());
    }

    #[test]
    fn hardening_goes_by_the_release() {
        let lacks = |release: &str| Hardening::of(release).lacks;
        assert!(lacks("6.18.5").is_empty() && lacks("6.10.0-rc1").is_empty());
        assert_eq!(lacks("6.1.0-18-amd64"), ["MDWE (Linux 6.3)", "mseal (Linux 6.10)"]);
        assert_eq!(lacks("5.4").len(), 4);
        assert_eq!(lacks("strange").len(), 4);
    }
}
