//! Recipes: one TOML file that describes one function's images.

mod body;
mod check;
mod expand;
mod load;
mod need;
mod raw;
#[cfg(test)]
mod tests;
mod units;

pub use body::{Answer, Body};
pub(crate) use load::schema;
pub use raw::*;
pub use units::{GIB, KIB, MIB, show_period, show_size};

use crate::{
    Digest, Project, Result, Target,
    inputs::debian::Package,
    kernel_config::{KernelConfig, UserSource},
    net::Tap,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// A checked recipe: defaults filled in, sizes in bytes. Nothing in it is still to be decided but what
/// depends on other files. Serialised, it says nothing about where it lies and how it is commented, so
/// that its digest is the same on every machine.
#[derive(Debug, Clone, Serialize)]
pub struct Recipe {
    /// The file it was read from.
    #[serde(skip)]
    pub path: PathBuf,
    /// The digest of that file's bytes.
    #[serde(skip)]
    pub digest: Digest,
    /// Who the function is.
    pub function: RawFunction,
    /// What the root task is made of.
    pub source: RootTaskSource,
    /// Cargo features of the function's crate.
    pub features: Vec<String>,
    /// What gives the function an OS.
    pub libos: LibOs,
    /// What `libos = "rumprun"` is made of; none for another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rumprun: Option<Rumprun>,
    /// Stack of the root task's first thread, in bytes; a multiple of 4096; 0 for a prebuilt root task,
    /// which decides for itself.
    pub stack: u64,
    /// Heap, in bytes; a multiple of 4096; mapped at start-up from untypeds; 0 likewise.
    pub heap: u64,
    /// Whether the runtime reads a PC's ACPI tables; false for a prebuilt root task.
    pub acpi: bool,
    /// The kernel config's name.
    pub kernel: String,
    /// The source that the user names for it.
    #[serde(skip)]
    pub kernel_source: Option<UserSource>,
    /// The kernel that is booted, when it is not the one that the kernel config describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prebuilt_kernel: Option<InputPath>,
    /// Devices that the function owns.
    pub devices: RawDevices,
    /// Bytes of its disk where Selkie makes it, a multiple of 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// The folder whose files lie in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<InputPath>,
    /// What the function is started with.
    pub run: RawRun,
    /// The `qemu` target, when the recipe has it.
    pub qemu: QemuTarget,
    /// The `process` target.
    pub process: ProcessTarget,
    /// The `bare-metal` target.
    pub bare_metal: BareMetalTarget,
    /// What the function cannot do without.
    pub needs: Vec<Need>,
    /// What the function uses where it is there.
    pub wants: Vec<Need>,
    /// The smoke test; none when the recipe has no `[smoke]`.
    pub smoke: Option<Smoke>,
}

/// Another kernel than the recipe's own, as the user asks for it on the command line.
#[derive(Debug, Clone, Default)]
pub struct KernelChoice {
    /// The kernel config's name.
    pub config: Option<String>,
    /// A source tree or prefix.
    pub source: Option<UserSource>,
}

impl Recipe {
    /// The recipe with the kernel that the user asks for.
    pub fn with_kernel(mut self, project: &Project, choice: &KernelChoice) -> Result<Self> {
        let config = choice.config.as_ref().unwrap_or(&self.kernel);
        let config = KernelConfig::load_with(project, config, choice.source.as_ref())?;
        self.kernel = config.name;
        self.kernel_source = choice.source.clone();
        Ok(self)
    }

    /// Cargo features that its crate is built with: its own, and the one that links a console's driver.
    pub(crate) fn cargo_features(&self) -> Vec<String> {
        /// The feature of the libOS with the driver of a virtio console.
        const CONSOLE: &str = "selkie-native/console";
        let virtio = self.devices.console_kind() == ConsoleKind::Virtio;
        self.features.iter().map(String::as_str).chain(virtio.then_some(CONSOLE)).map(str::to_owned).collect()
    }

    /// The recipe with the rumprun tree that the user names; as it was when none is named, or none is needed.
    pub fn with_rumprun(mut self, tree: Option<&Path>) -> Self {
        if let (Some(rumprun), Some(tree)) = (&mut self.rumprun, tree) {
            rumprun.named = Some(tree.to_owned());
        }
        self
    }

    /// The targets that the recipe is built for unless others are named: those that have what it needs, and
    /// `bare-metal` only when the recipe has a table for it, because it asks the host for a boot loader.
    pub fn targets(&self) -> Vec<Target> {
        let wanted = |target| target != Target::BareMetal || self.bare_metal.wanted;
        let able = |target| self.lacks(target).is_none();
        Target::ALL.iter().copied().filter(|target| wanted(*target) && able(*target)).collect()
    }

    /// Memory of the machine or process, in bytes.
    pub fn memory(&self, target: Target) -> u64 {
        match target {
            Target::Qemu => self.qemu.memory,
            Target::Process => self.process.memory,
            Target::BareMetal => self.bare_metal.memory,
        }
    }

    /// The first thing that the function cannot do without and `target` does not have.
    pub fn lacks(&self, target: Target) -> Option<Need> {
        self.needs.iter().copied().find(|need| need.lacking(target).is_some())
    }
}

/// What a root task is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootTaskSource {
    /// A crate with a binary target: its folder.
    Crate(InputPath),
    /// C sources, compiled against `selkie.h`, or against NetBSD's libc where the libOS is rumprun.
    C(Vec<InputPath>),
    /// C files of a source package, for the libOS rumprun.
    Package(SourcePackage),
    /// A program that rumprun's compiler linked, for the libOS rumprun.
    Program(InputPath),
    /// An ELF that was linked elsewhere.
    Prebuilt(InputPath),
}

/// What is compiled of a source package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourcePackage {
    /// The package.
    pub package: Package,
    /// Commands that make sources out of others, each a program and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prepare: Vec<Vec<String>>,
    /// Patterns of the files that are compiled.
    pub files: Vec<String>,
    /// Patterns of those that are not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Folders with headers, from the package's top folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
}

/// What the libOS rumprun is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rumprun {
    /// The tree that the recipe names.
    #[serde(skip)]
    pub tree: Option<InputPath>,
    /// The tree that the user names, instead.
    #[serde(skip)]
    pub named: Option<PathBuf>,
    /// What is linked of NetBSD's kernel beside what is always there, sorted.
    pub components: Vec<Component>,
    /// Further flags for the C files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cflags: Vec<String>,
    /// What gethostname(3) says.
    pub hostname: String,
    /// What is mounted before `main` is called, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mount: Vec<RawMount>,
}

/// A path in a recipe. It serialises as it was written, so that no digest depends on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct InputPath {
    /// As written, relative to the recipe's folder.
    pub written: String,
    /// Where it is: absolute, without `..`.
    #[serde(skip)]
    pub path: PathBuf,
}

/// How QEMU runs the image.
#[derive(Debug, Clone, Serialize)]
pub struct QemuTarget {
    /// Guest memory in bytes; a multiple of 1 MiB.
    pub memory: u64,
    /// `-machine`
    pub machine: Machine,
    /// `-cpu`; none means the one that the kernel config asks for.
    pub cpu: Option<String>,
    /// Further arguments, as written.
    pub extra_args: Vec<String>,
}

/// How a Linux process runs the root task.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessTarget {
    /// Memory in bytes; a multiple of 1 MiB.
    pub memory: u64,
    /// Whether the console takes input.
    pub input: bool,
}

/// How the firmware of a PC boots the image.
#[derive(Debug, Clone, Serialize)]
pub struct BareMetalTarget {
    /// Whether the recipe has a table for this target.
    pub wanted: bool,
    /// What the media are made for, sorted; none leaves it to what the kernel can do.
    pub firmware: Option<Vec<Firmware>>,
    /// What is made, sorted; none leaves it to what kernel and firmware can do.
    pub formats: Option<Vec<Format>>,
    /// Bits per second of the serial port.
    pub serial_speed: u32,
    /// What the boot loader hands to the kernel.
    pub kernel_command_line: String,
    /// Memory that the machine has at least, in bytes; a multiple of 1 MiB.
    pub memory: u64,
}

/// A checked smoke test.
#[derive(Debug, Clone, Serialize)]
pub struct Smoke {
    /// What the console must show, in this order.
    pub expect: Vec<RawPattern>,
    /// What the console must never show.
    pub forbid: Vec<RawPattern>,
    /// The exit status that the function must end with, 0 to 111.
    pub status: u8,
    /// From the start of the target to its end.
    pub timeout: Duration,
    /// Sent to the console, once the first expected text was seen when there is one.
    pub input: Option<String>,
    /// HTTP requests, sent in this order once the first expected text was seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRequest>,
    /// TCP connections, made after them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<TcpExchange>,
    /// Variables of the test's run, and the files whose content they have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, InputPath>,
    /// Servers of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server: Vec<Server>,
    /// Sent to the console when all requests have their answers; none where there are no requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    /// The boot is killed when all requests have their answers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub kill: bool,
    /// The next boot on the same disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<Box<Smoke>>,
}

impl Smoke {
    /// All boots, one after the other.
    pub fn boots(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |boot| boot.again.as_deref())
    }
}

/// An HTTP request and the answer that is expected.
#[derive(Debug, Clone, Serialize)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The function's port.
    pub port: u16,
    /// Header fields of the request.
    pub headers: BTreeMap<String, String>,
    /// Body of the request.
    pub body: Option<Body<InputPath>>,
    /// Status of the answer.
    pub status: u16,
    /// Header fields of the answer.
    pub expect_headers: BTreeMap<String, RawPattern>,
    /// Body of the answer.
    pub expect_body: Option<Answer<InputPath>>,
    /// How many times it is sent.
    pub repeat: u32,
    /// By how many connections at once.
    pub concurrency: u32,
    /// How long each answer may take.
    pub timeout: Duration,
}

/// An HTTPS server of the host that runs for the time of a smoke test.
#[derive(Debug, Clone, Serialize)]
pub struct Server {
    /// The variable that tells the function its address.
    pub env: String,
    /// Its certificate.
    pub certificate: InputPath,
    /// The certificate's private key.
    pub key: InputPath,
    /// The path that it has an answer for.
    pub path: String,
    /// The answer.
    pub body: String,
}

/// A TCP connection and what is expected from it.
#[derive(Debug, Clone, Serialize)]
pub struct TcpExchange {
    /// The function's port.
    pub port: u16,
    /// What is sent at once.
    pub send: String,
    /// What the function must send.
    pub expect: RawPattern,
    /// How long that may take.
    pub timeout: Duration,
}

impl RawRun {
    /// What holds on `target` alone.
    pub(crate) fn own(&self, target: Target) -> &RawTargetRun {
        match target {
            Target::Qemu => &self.qemu,
            Target::Process => &self.process,
            Target::BareMetal => &self.bare_metal,
        }
    }

    /// The addresses of the network card on `target`, as written: none where DHCP gives them.
    pub(crate) fn addresses(&self, target: Target) -> &[String] {
        let tables = [&self.own(target).net, &self.net].into_iter().flatten();
        tables.map(|net| net.addresses.as_slice()).find(|list| !list.is_empty()).unwrap_or_default()
    }

    /// The first of them that a client can be given: one that is not of a link only.
    pub(crate) fn address(&self, target: Target) -> Option<IpAddr> {
        let addresses = self.addresses(target).iter().filter_map(|text| text.split_once('/')?.0.parse().ok());
        addresses.into_iter().find(|address| !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()))
    }
}

impl RawDevices {
    /// What the function's output goes by in QEMU.
    pub fn console_kind(&self) -> ConsoleKind {
        self.console.as_ref().map(|console| console.kind).unwrap_or_default()
    }

    /// The function's ports of `protocol` that the host hands connections over to.
    pub fn forwarded(&self, protocol: Protocol) -> impl Iterator<Item = &RawForward> {
        let ports = self.net.iter().flat_map(|net| &net.forward);
        ports.filter(move |port| port.protocol == protocol)
    }
}

impl RawNet {
    /// The tap device that the card is plugged into.
    pub(crate) fn tap(&self) -> Option<Tap> {
        let name = self.tap.as_ref().filter(|_| self.is_at_tap());
        // The recipe's check lets no other name pass.
        name.and_then(|name| Tap::named(name))
    }

    /// Whether the card is plugged into a tap device: the function is reached at its own address.
    pub(crate) fn is_at_tap(&self) -> bool {
        self.mode == NetMode::Tap
    }

    /// Whether there is a card where the host decides that.
    pub fn has_card(&self) -> bool {
        self.mode != NetMode::None
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl BareMetalTarget {
    /// The kernel's command line as it follows the kernel's name: with a space before it, unless it is empty.
    pub(crate) fn command_line_after_a_space(&self) -> String {
        let words: Vec<_> = self.kernel_command_line.split(' ').filter(|word| !word.is_empty()).collect();
        words.iter().map(|word| format!(" {word}")).collect()
    }
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Cd9660,
        Self::Ext2,
        Self::Ffs,
        Self::Inet6,
        Self::Kernfs,
        Self::Local,
        Self::Msdos,
        Self::Net,
        Self::Random,
        Self::Tmpfs,
    ];

    /// Its word in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cd9660 => "cd9660",
            Self::Ext2 => "ext2",
            Self::Ffs => "ffs",
            Self::Inet6 => "inet6",
            Self::Kernfs => "kernfs",
            Self::Local => "local",
            Self::Msdos => "msdos",
            Self::Net => "net",
            Self::Random => "random",
            Self::Tmpfs => "tmpfs",
        }
    }
}

impl FileSystem {
    /// The component that it needs.
    pub fn component(self) -> Component {
        match self {
            Self::Cd9660 => Component::Cd9660,
            Self::Ext2 => Component::Ext2,
            Self::Ffs => Component::Ffs,
            Self::Kernfs => Component::Kernfs,
            Self::Msdos => Component::Msdos,
            Self::Tmpfs => Component::Tmpfs,
        }
    }

    /// Its word in a recipe.
    pub fn name(self) -> &'static str {
        self.component().name()
    }

    /// Whether it lies on a disk.
    pub fn on_disk(self) -> bool {
        !matches!(self, Self::Kernfs | Self::Tmpfs)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iso => "iso",
            Self::Disk => "disk",
            Self::Netboot => "netboot",
        })
    }
}

impl Serial {
    /// The first of its IO ports.
    pub fn io_port(self) -> u16 {
        match self {
            Self::Com1 => 0x3f8,
            Self::Com2 => 0x2f8,
        }
    }
}

/// Bits per second of a serial port, where nobody says something else: what seL4 itself sets.
pub const SERIAL_SPEED: u32 = 115_200;

/// The environment of one run: names to values, sorted.
pub type Env = BTreeMap<String, String>;
