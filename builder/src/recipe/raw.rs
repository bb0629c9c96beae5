//! A recipe as it is written. The doc comments here are the recipe reference in `docs/recipes.md`.

use super::{Answer, Body};
use crate::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One recipe file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawRecipe {
    /// Who the function is.
    pub function: RawFunction,
    /// What the root task is made of: exactly one of `crate`, `c-sources`, `source`, `program` and `prebuilt`.
    pub root_task: RawRootTask,
    /// What `libos = "rumprun"` is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rumprun: Option<RawRumprun>,
    /// Which seL4 kernel it runs on.
    #[serde(default)]
    pub kernel: RawKernel,
    /// Devices that the function owns.
    #[serde(default)]
    pub devices: RawDevices,
    /// Files that lie in the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<RawFiles>,
    /// What the function is started with, on every target. It lies in the image, the same bytes for every target.
    #[serde(default)]
    pub run: RawRun,
    /// How each target runs it.
    #[serde(default)]
    pub targets: RawTargets,
    /// What a good run looks like.
    pub smoke: Option<RawSmoke>,
}

/// `[function]`: who the function is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawFunction {
    /// Lower-case letters, digits and dashes, starting with a letter; the same as the file's name.
    pub name: String,
    /// The function's version, for instance `1.2.0`.
    pub version: String,
    /// One sentence for `cargo xtask list` and the image's manifest.
    #[serde(default)]
    pub description: String,
    /// The function's licence as an SPDX expression.
    pub license: Option<String>,
    /// Whether `cargo xtask publish` takes it. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<bool>,
}

/// `[root-task]`: what the root task is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawRootTask {
    /// Folder of a Rust crate with one binary target.
    #[serde(rename = "crate")]
    pub crate_dir: Option<String>,
    /// C files, compiled and linked with the runtime's C interface (`selkie.h`), or, with `libos = "rumprun"`, with
    /// NetBSD's libc.
    pub c_sources: Option<Vec<String>>,
    /// C files of a source package of Debian. It is for `libos = "rumprun"`.
    pub source: Option<RawSource>,
    /// What rumprun's own compiler, `x86_64-rumprun-netbsd-gcc`, linked. It is for `libos = "rumprun"`.
    pub program: Option<String>,
    /// An ELF file that was linked elsewhere. It is checked, never changed.
    pub prebuilt: Option<String>,
    /// Cargo features of the crate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// What gives the function an OS. Default: `"none"`.
    pub libos: Option<LibOs>,
    /// Stack of the first thread, for instance `"64 KiB"`. Default: 64 KiB; 256 KiB with `libos = "rumprun"`.
    pub stack: Option<Size>,
    /// Heap, for instance `"1 MiB"`. With `libos = "rumprun"` it is all memory of NetBSD's kernel and of the program.
    /// Default: 256 KiB; 16 MiB with `libos = "rumprun"`.
    pub heap: Option<Size>,
    /// Whether the root task can switch a PC off, and reset it, as its ACPI tables say: some 5 kB. Without it, only
    /// QEMU is switched off; a PC halts. Default: whether the recipe has `[targets.bare-metal]`.
    pub acpi: Option<bool>,
    /// What the function cannot do without. A target that does not have it is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// What the function uses where a target has it; elsewhere it copes with the error of the call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<Need>,
}

/// `[root-task.source]`: a program from a source package of Debian, or of what is made like it. The package is fetched with the host's own mirror once, checked, and unpacked with its patches; the host's configuration of apt stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawSource {
    /// The source package's name.
    pub debian_source: String,
    /// Its version, for instance `5.4.4-3+deb12u1`.
    pub version: String,
    /// The digest of the package's `.dsc`, which names all other files by theirs.
    pub sha256: Digest,
    /// Commands of the host, each a program and its arguments, that make sources out of others. They run in a copy of
    /// the package, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepare: Vec<Vec<String>>,
    /// What is compiled: files of the package or of what was made there. `*` and `?` stand for parts of a name, `**` for
    /// folders.
    pub files: Vec<String>,
    /// What is not, although `files` names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Folders of the package with headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
}

/// Something that not every target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// A VSpace beside the root task's own.
    SecondVspace,
    /// A process beside the root task, in a VSpace and a CSpace of its own.
    SecondProcess,
    /// Memory of devices.
    DeviceMemory,
    /// IO ports beside those of the serial ports and of the timer (PIT).
    IoPorts,
}

/// What gives the function an OS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LibOs {
    /// The runtime alone: console, memory, threads, clock.
    #[default]
    None,
    /// Selkie's own for Rust functions: drivers, TCP/IP, HTTP. The crate brings it in as a dependency.
    Native,
    /// NetBSD's libc, TCP/IP and file systems for POSIX programs in C: see docs/rumprun.md.
    Rumprun,
}

/// `[rumprun]`: what `libos = "rumprun"` is made of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawRumprun {
    /// The folder of a rumprun tree that `build-rr.sh hw` has built. Default: what `--rumprun` or `RUMPRUN_DIR` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// What is linked of NetBSD's kernel. Default: `"local"`, `"random"` and `"tmpfs"`, with what the recipe's devices,
    /// addresses, mounts and disk ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<Component>>,
    /// Further flags for the C files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cflags: Vec<String>,
    /// What gethostname(3) says. Default: the function's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// File systems that are mounted before `main` is called, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mount: Vec<RawMount>,
}

/// A part of NetBSD's kernel that is linked where it is asked for. IPv4 is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The file system of CDs.
    Cd9660,
    /// The file system ext2.
    Ext2,
    /// NetBSD's own file system.
    Ffs,
    /// IPv6.
    Inet6,
    /// The files of the kernel, such as `boottime`.
    Kernfs,
    /// Sockets in the file system (`AF_UNIX`), socketpair(2) among them.
    Local,
    /// The file system FAT.
    Msdos,
    /// A network card.
    Net,
    /// `/dev/random` and `/dev/urandom`.
    Random,
    /// A file system in memory; there is one at `/tmp`.
    Tmpfs,
}

/// `[[rumprun.mount]]`: a file system that is mounted before `main` is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawMount {
    /// Where it lies: `"d0"` is the function's disk. One in memory lies nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FileSystem,
    /// The folder at which the program finds it. It is made when it is not there.
    pub path: String,
}

/// A file system of NetBSD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// That of CDs.
    Cd9660,
    /// The first of Linux.
    Ext2,
    /// NetBSD's own.
    Ffs,
    /// The files of the kernel.
    Kernfs,
    /// FAT.
    Msdos,
    /// One in memory.
    Tmpfs,
}

/// `[kernel]`: which seL4 kernel the function runs on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawKernel {
    /// Name of a file in `kernel-configs/`, without `.toml`.
    pub config: String,
    /// A kernel that was built elsewhere, to boot instead of the one that the config describes: an ELF file for x86
    /// with a Multiboot header. Whether it serves the interface that the config stands for, Selkie does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prebuilt: Option<String>,
}

impl Default for RawKernel {
    fn default() -> Self {
        Self { config: "x86_64-release".into(), prebuilt: None }
    }
}

/// `[devices]`: devices that the function owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawDevices {
    /// The serial port of the console.
    pub serial: Serial,
    /// What the function's output goes by in QEMU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<RawConsole>,
    /// A network card, and a source of random bytes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<RawNet>,
    /// A disk. `run` keeps it in `out/NAME/disk.img`, `smoke` has a new one for each run. A real machine has the disk
    /// that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<RawDisk>,
}

impl Default for RawDevices {
    fn default() -> Self {
        Self { serial: Serial::Com1, console: None, net: None, disk: None }
    }
}

/// `[devices.console]`: what the function's output goes by in QEMU. What is typed, the kernel's output and the function's
/// last words (a panic, a fault, the exit line) go by the serial port. In a process and on a real machine the table changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawConsole {
    /// The device that takes it. In a process and on a real machine the table changes nothing.
    pub kind: ConsoleKind,
}

/// A device that takes a function's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConsoleKind {
    /// The serial port, byte by byte.
    #[default]
    Serial,
    /// A virtio console, many bytes at once: the function gets the driver of `libos = "native"`. Without the device it is the serial port.
    Virtio,
}

/// `[devices.disk]`: a disk. `run` keeps it in `out/NAME/disk.img`, a smoke test has a new one for each run. A real machine has the disk that it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawDisk {
    /// Its size where Selkie makes it, 1 MiB to 1024 GiB in whole MiB. Only what is written takes room on the host. Default: 16 MiB.
    pub size: Option<Size>,
    /// What it begins with where Selkie makes it.
    pub format: DiskFormat,
    /// The function cannot write to it. The content is what `--disk` names.
    pub read_only: bool,
}

impl Default for RawDisk {
    fn default() -> Self {
        Self { size: None, format: DiskFormat::None, read_only: false }
    }
}

/// What a new disk begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    /// Zeros.
    #[default]
    None,
    /// An empty FAT file system over the whole disk, without partitions.
    Fat,
    /// An empty ext2 file system over the whole disk, without partitions. The program `mke2fs` of the host makes it.
    Ext2,
}

/// `[devices.net]`: a network card, and a source of random bytes with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawNet {
    /// What the card is plugged into, where the host decides that. A real machine has the card that it has.
    pub mode: NetMode,
    /// The host's tap device, for the mode `"tap"`. `run --net` takes another one for one run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tap: Option<String>,
    /// The card of QEMU's machine. Functions find out by themselves which of these they have.
    pub card: NetCard,
    /// Ports at which the host takes connections for the function, on its address 127.0.0.1 only. A tap device has none:
    /// there the function is reached at its own address.
    pub forward: Vec<RawForward>,
}

/// What a network card is plugged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetMode {
    /// A network of its own, 10.0.2.0/24, that needs no rights: QEMU's user networking, and the program `passt` for
    /// a process. From there the function reaches what the host's user reaches.
    #[default]
    User,
    /// The tap device of the host that `tap` names: Linux's own network, with addresses and routes of the user's, who
    /// makes the device before.
    Tap,
    /// Nothing: there is no card, but the random bytes are there.
    None,
}

/// A network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetCard {
    /// The card of virtual machines.
    #[default]
    Virtio,
    /// Intel's 82540EM.
    E1000,
    /// Intel's 82574L.
    E1000e,
}

/// `[[devices.net.forward]]`: a port of the function that the host hands connections over to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawForward {
    /// The function's port.
    #[schemars(range(min = 1))]
    pub guest: u16,
    /// The host's port; 0 is any that is free. A smoke test always takes a free one.
    #[serde(default)]
    pub host: u16,
    /// What is handed over.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP connections.
    #[default]
    Tcp,
    /// UDP datagrams.
    Udp,
}

/// `[files]`: files that lie in the image, the same bytes for every target. The function reads them by their paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawFiles {
    /// The folder that they are in, with all folders below it. It has files only, no links, 16 MiB of them at most. What
    /// editors and version control keep beside files is left out.
    pub from: String,
}

/// A serial port of the PC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Serial {
    /// IO ports 0x3f8 to 0x3ff, interrupt 4.
    Com1,
    /// IO ports 0x2f8 to 0x2ff, interrupt 3.
    Com2,
}

/// `[run]`: what the function is started with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawRun {
    /// Arguments, on every target.
    pub args: Vec<String>,
    /// Environment, on every target.
    pub env: BTreeMap<String, String>,
    /// What happens after the exit line where there is no host to return to.
    pub at_exit: AtExit,
    /// The addresses of the network card, on every target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<RawRunNet>,
    /// What holds on the `qemu` target only: its arguments replace the common ones, its environment
    /// is added to the common one.
    pub qemu: RawTargetRun,
    /// What holds on the `process` target only, likewise.
    pub process: RawTargetRun,
    /// What holds on the `bare-metal` target only, likewise.
    pub bare_metal: RawTargetRun,
}

/// `[run.TARGET]`: what the function is started with on one target only.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawTargetRun {
    /// Arguments instead of the common ones.
    pub args: Option<Vec<String>>,
    /// Environment in addition to the common one.
    pub env: BTreeMap<String, String>,
    /// The addresses of the network card: each list that is there replaces the common one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<RawRunNet>,
}

/// `[run.net]`: the addresses of the network card. Without, they are those that the network's DHCP server gives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawRunNet {
    /// Addresses, each with the length of its network's prefix, for instance `["10.0.2.15/24"]`. Where the host
    /// forwards ports, it forwards them to 10.0.2.15. Default: those of DHCP.
    pub addresses: Vec<String>,
    /// Routers, when the addresses are none of DHCP. Without one, only the own network is reached.
    pub gateways: Vec<String>,
    /// Name servers, likewise.
    pub dns: Vec<String>,
}

/// What a function does after its exit line where there is no host to return to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtExit {
    /// Switch the machine off by ACPI, else halt.
    #[default]
    PowerOff,
    /// Reset the machine.
    Reboot,
    /// Stop and keep the last screen.
    Halt,
}

/// `[targets]`: how each target runs the function.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawTargets {
    /// QEMU, with TCG or KVM.
    pub qemu: RawQemu,
    /// An ordinary Linux process.
    pub process: RawProcess,
    /// Media that the firmware of a PC boots. A recipe with this table, if only its header, is built for the target unless others are named; one without, when `--target bare-metal` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_metal: Option<RawBareMetal>,
}

/// `[targets.qemu]`: the virtual machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawQemu {
    /// Guest memory, 16 MiB to 6 GiB in whole MiB. Default: 64 MiB.
    pub memory: Option<Size>,
    /// QEMU's machine type.
    pub machine: Machine,
    /// QEMU's CPU model, with features, for instance `"qemu64,+fsgsbase"`. Default: what the kernel config asks for.
    pub cpu: Option<String>,
    /// Further arguments for QEMU. Those that Selkie sets itself are refused.
    pub extra_args: Vec<String>,
}

/// `[targets.process]`: the Linux process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawProcess {
    /// Memory of the root task, its kernel objects and untypeds, 4 MiB to 6 GiB in whole MiB. Only what is touched is taken from the host. Default: 64 MiB.
    pub memory: Option<Size>,
    /// Whether the console takes input: without, the process may not read anything. Default: true.
    pub input: Option<bool>,
}

/// `[targets.bare-metal]`: media that the firmware of a PC boots.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawBareMetal {
    /// What the media are made for. Default: `["bios"]`, and `"uefi"` with it where the kernel has a Multiboot 2 header.
    pub firmware: Option<Vec<Firmware>>,
    /// What is made. Default: all that the kernel and the firmware allow.
    pub formats: Option<Vec<Format>>,
    /// Bits per second of the boot loader and of the function on the serial port that `serial` in `[devices]` names: 115200 divided by a whole number. Default: 115200.
    pub serial_speed: Option<u32>,
    /// What the boot loader hands to the kernel, for instance `"disable_iommu"`. The function does not see it. Default: `console_port=` and `debug_port=` with the serial port's number.
    pub kernel_command_line: Option<String>,
    /// Memory that the machine has at least: the smoke test gives as much, and the root task must fit. 16 MiB to 6 GiB in whole MiB. Default: that of `[targets.qemu]`.
    pub memory: Option<Size>,
}

/// What starts a PC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// A PC BIOS, or UEFI in its compatibility mode (CSM).
    Bios,
    /// UEFI on x86-64. The kernel needs a Multiboot 2 header.
    Uefi,
}

/// What a PC boots from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A hybrid ISO image: for a CD, or written to a USB stick as it is.
    Iso,
    /// A raw disk image with a GPT and one FAT boot partition.
    Disk,
    /// Kernel, root task and an iPXE script, for BIOS iPXE over TFTP or HTTP. The kernel needs a Multiboot 1 header.
    Netboot,
}

/// QEMU's machine type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// Intel Q35 with PCI Express.
    #[default]
    Q35,
    /// Intel 440FX.
    Pc,
}

/// `[smoke]`: what a good run looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawSmoke {
    /// What the console must show, in this order.
    pub expect: Vec<RawPattern>,
    /// What the console must never show.
    #[serde(default)]
    pub forbid: Vec<RawPattern>,
    /// The exit status that the function must end with, 0 to 111.
    #[serde(default)]
    #[schemars(range(max = 111))]
    pub status: u8,
    /// From the start of the target to its end, for instance `"20 s"`. Default: 30 s.
    pub timeout: Option<Period>,
    /// Sent to the console after the first expected text was seen.
    pub input: Option<String>,
    /// HTTP requests, sent in this order after the first expected text was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<RawHttp>,
    /// TCP connections, made in this order after the HTTP requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<RawTcp>,
    /// Secrets of the test's run: variables of the function's environment, and the files, relative to the recipe's
    /// folder, whose content they have, as `run --secret NAME=@FILE` takes them. They are none that are worth keeping.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Servers of the host that the function reaches while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server: Vec<RawServer>,
    /// Sent to the console when all requests have their answers, so that a server ends. Default: `"\u0003"` (Ctrl-C),
    /// by which the native libOS stops gracefully, with status 0.
    pub stop: Option<String>,
    /// Further boots on the disk that the one before has left, with the same time-out, forbidden texts, status and `stop`.
    /// Each may have `[[smoke.again.http]]` and `[[smoke.again.tcp]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<RawAgain>,
}

/// `[[smoke.again]]`: a further boot on the disk that the boot before has left, with the same time-out, forbidden texts, status and `stop`, and with its own `[[smoke.again.http]]` and `[[smoke.again.tcp]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawAgain {
    /// How the boot before it ends.
    #[serde(default)]
    pub after: After,
    /// What the console must show, in this order.
    pub expect: Vec<RawPattern>,
    /// HTTP requests, as in `[[smoke.http]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<RawHttp>,
    /// TCP connections, as in `[[smoke.tcp]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<RawTcp>,
}

/// How a boot ends that another one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// As any other run: with its exit line and the expected status
    #[default]
    Stop,
    /// Killed, in the moment in which the last of its requests has its answer
    Kill,
}

/// `[[smoke.http]]`: an HTTP request, and the answer that is expected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawHttp {
    /// The method. Default: `"GET"`.
    pub method: Option<String>,
    /// The path, with a query when there is one, for instance `"/greet?name=Ada"`.
    pub path: String,
    /// The function's port. Default: the one that is forwarded, when there is only one for TCP.
    pub port: Option<u16>,
    /// Header fields of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body of the request.
    pub body: Option<Body>,
    /// The status of the answer. Default: 200.
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// Header fields that the answer must have: a text is the whole value, an expression is looked for in it.
    #[serde(default)]
    pub expect_headers: BTreeMap<String, RawPattern>,
    /// The body of the answer: a text or a file is all of it, byte for byte; an expression is looked for in it.
    pub expect_body: Option<Answer>,
    /// How many times the request is sent, at most 100,000. Default: 1.
    #[schemars(range(min = 1, max = 100_000))]
    pub repeat: Option<u32>,
    /// How many connections send it at once, at most 256. Each is kept as long as the function keeps it. Default: 1.
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: Option<u32>,
    /// How long each answer may take. Default: 5 s.
    pub timeout: Option<Period>,
}

/// `[[smoke.tcp]]`: a TCP connection, and what is expected from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawTcp {
    /// The function's port. Default: the one that is forwarded, when there is only one for TCP.
    pub port: Option<u16>,
    /// What is sent at once.
    #[serde(default)]
    pub send: String,
    /// What the function must send: a text is looked for, too.
    pub expect: RawPattern,
    /// How long that may take. Default: 5 s.
    pub timeout: Option<Period>,
}

/// `[[smoke.server]]`: an HTTPS server of the host, which the function finds at 10.0.2.2 for the time of the test. It is
/// `openssl s_server`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawServer {
    /// The variable of the function's environment that has its address for this run, such as
    /// `https://10.0.2.2:40123/greeting`: the port is any that is free.
    pub env: String,
    /// The file with its certificate in PEM, relative to the recipe's folder.
    pub certificate: String,
    /// The file with the certificate's private key in PEM. It is one for tests: everybody can read it.
    pub key: String,
    /// The path that it has an answer for: `/` and a name.
    pub path: String,
    /// The answer, a text with status 200.
    pub body: String,
}

/// A text to look for on the console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[schemars(title = "a text or `{ regex = \"…\" }`")]
pub enum RawPattern {
    /// This text.
    Literal(String),
    /// A regular expression of the crate `regex`: `{ regex = "[0-9]+ MiB" }`.
    Regex {
        /// The expression. `^` and `$` match at each line's start and end; `.` does not match a line's end.
        regex: String,
    },
}

/// A size: a number of bytes, or a text with a unit (`B`, `KiB`, `MiB`, `GiB`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a size such as `\"64 MiB\"`")]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// For instance `"64 MiB"`.
    Text(String),
}

/// A period: a number of seconds, or a text with a unit (`ms`, `s`, `min`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a period such as `\"20 s\"`")]
pub enum Period {
    /// Seconds.
    Seconds(u64),
    /// For instance `"500 ms"`.
    Text(String),
}
