//! QEMU's command line: one function, for `run.sh`, `run`, `smoke` and the KVM probe alike.

use super::{Accel, Binary, Error, GuestEnd, Launch, in_option};
use crate::{
    disk::Attached,
    exec::quote,
    image::name::{KERNEL, ROOT_TASK},
    kernel_config::KernelConfig,
    net::Published,
    recipe::{ConsoleKind, DiskFormat, Machine, NetCard, Protocol, RawForward, RawNet, Recipe, Serial},
    run_config::FW_CFG_FILE,
    template,
};
use serde::Serialize;
use std::{
    fmt::Display,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The virtual machine that a recipe asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vm {
    /// `-machine`
    pub machine: Machine,
    /// `-cpu`
    pub cpu: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The serial port that is the console.
    pub serial: Serial,
    /// What the function's output goes by.
    pub output: ConsoleKind,
    /// The recipe's own arguments, as written.
    pub extra_args: Vec<String>,
    /// CPU features that the kernel needs and QEMU's emulation lacks.
    pub beyond_tcg: Vec<String>,
    /// The network card, with random bytes.
    pub net: Option<RawNet>,
    /// The disk.
    pub disk: Option<VmDisk>,
}

/// The disk of a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VmDisk {
    /// Its size where Selkie makes it, in bytes.
    pub size: u64,
    /// What it begins with there.
    pub format: DiskFormat,
    /// It cannot be written to.
    pub read_only: bool,
}

/// What QEMU connects the guest's console to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// QEMU's standard input and output, every byte as it is.
    Plain,
    /// The same with QEMU's own keys (Ctrl-A x ends QEMU): for a person at a terminal.
    Keys,
}

/// One image and the machine it boots on.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The machine.
    pub vm: Vm,
    /// The image's folder. QEMU runs in it and is given names relative to it: QEMU takes an `-initrd`
    /// path to end at the first space and splits it at commas, so a path would not do.
    pub dir: PathBuf,
}

/// A virtio console that writes where the serial port does. As what QEMU connects to, it would lose what is not read at
/// once: QEMU drops what a console's backend does not take. A log file of the backend takes all of it and waits.
const VIRTIO_CONSOLE: [[&str; 2]; 3] = [
    ["-chardev", "null,id=console0,logfile=/proc/self/fd/1,logappend=on"],
    ["-device", "virtio-serial-pci"],
    ["-device", "virtconsole,chardev=console0"],
];

const RUN_SCRIPT: &str = include_str!("../../../templates/qemu/run.sh.hbs");

impl Vm {
    /// The machine for `recipe` on `kernel`.
    pub fn new(recipe: &Recipe, kernel: &KernelConfig) -> Self {
        Self {
            machine: recipe.qemu.machine,
            cpu: recipe.qemu.cpu.clone().unwrap_or_else(|| kernel.qemu_cpu.clone()),
            memory_mib: recipe.qemu.memory >> 20,
            serial: recipe.devices.serial,
            output: recipe.devices.console_kind(),
            extra_args: recipe.qemu.extra_args.clone(),
            beyond_tcg: kernel.beyond_tcg(),
            net: recipe.devices.net.clone(),
            disk: VmDisk::of(recipe),
        }
    }

    /// Why the kernel cannot run under `accel`, when it cannot: not even its first line would be seen.
    pub fn unfit(&self, accel: Accel) -> Option<String> {
        let lacking = accel == Accel::Tcg && !self.beyond_tcg.is_empty();
        lacking.then(|| {
            format!(
                "the kernel needs {} of the CPU, which QEMU's emulation lacks; it boots under KVM and on real machines that have it",
                self.beyond_tcg.join(" and ")
            )
        })
    }

    /// All arguments but the accelerator, as options with their values.
    fn options(&self, console: Console) -> Vec<Vec<String>> {
        let image = [
            ["-kernel", KERNEL],
            ["-initrd", ROOT_TASK],
            ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
        ];
        let mut options = self.machine_options(console);
        if self.output == ConsoleKind::Virtio {
            options.extend(VIRTIO_CONSOLE.map(|words| words.map(str::to_owned).to_vec()));
        }
        options.extend(image.map(|words| words.map(str::to_owned).to_vec()));
        if !self.extra_args.is_empty() {
            options.push(self.extra_args.clone());
        }
        options
    }

    /// The arguments for the machine, without what it boots.
    ///
    /// Nothing comes from QEMU's defaults or the user's QEMU configuration, so that the machine is the
    /// same everywhere. A reset ends QEMU: a guest in a boot loop must not look alive.
    pub(super) fn machine_options(&self, console: Console) -> Vec<Vec<String>> {
        let machine = match self.machine {
            Machine::Q35 => "q35",
            Machine::Pc => "pc",
        };
        let serial = match console {
            Console::Plain => "stdio",
            Console::Keys => "mon:stdio",
        };
        let memory = format!("{}M", self.memory_mib);
        let mut options = vec![
            vec!["-nodefaults"],
            vec!["-no-user-config"],
            vec!["-machine", machine],
            vec!["-cpu", &self.cpu],
            vec!["-m", &memory],
            vec!["-display", "none"],
            vec!["-no-reboot"],
        ];
        // The n-th `-serial` is COM n.
        if self.serial == Serial::Com2 {
            options.push(vec!["-serial", "null"]);
        }
        options.push(vec!["-serial", serial]);
        options.extend(self.net.iter().map(|_| vec!["-device", "virtio-rng-pci"]));
        let card = self.net.iter().filter(|net| net.has_card());
        options.extend(card.map(|net| vec!["-device", device(net.card)]));
        options.into_iter().map(|words| words.into_iter().map(str::to_owned).collect()).collect()
    }
}

impl VmDisk {
    /// The disk of a recipe.
    pub fn of(recipe: &Recipe) -> Option<Self> {
        let disk = recipe.devices.disk.as_ref()?;
        let (size, format, read_only) = (recipe.disk.unwrap_or_default(), disk.format, disk.read_only);
        Some(Self { size, format, read_only })
    }
}

/// What QEMU does with a disk: what the guest has flushed lasts, and a failure is the guest's to see.
fn drive_option(file: impl Display, read_only: bool) -> String {
    let access = if read_only { "readonly=on" } else { "werror=report" };
    format!("if=none,id=disk0,format=raw,cache=writeback,rerror=report,{access},file={file}")
}

/// The disk's controller.
const DISK: &str = "virtio-blk-pci,drive=disk0";

impl Vm {
    /// The disk: `attached`, or one that reads as zeros and forgets what is written, where nothing is to be kept.
    pub(super) fn disk(&self, attached: Option<&Attached>) -> Vec<String> {
        let Some(disk) = self.disk else { return Vec::new() };
        let drive = match attached {
            Some(attached) => drive_option(in_option(&attached.path), attached.read_only),
            None => format!("if=none,id=disk0,driver=null-co,read-zeroes=on,size={}", disk.size),
        };
        ["-drive", &drive, "-device", DISK].map(str::to_owned).to_vec()
    }

    /// What the network card is plugged into: a tap device, or user networking, which hands connections to `ports` on.
    pub(super) fn network(&self, ports: &[Published]) -> Vec<String> {
        let Some(net) = self.net.as_ref().filter(|net| net.has_card()) else { return Vec::new() };
        if let Some(tap) = net.tap() {
            return vec!["-netdev".into(), tap_network(tap.name())];
        }
        let forward = ports.iter().map(|port| format!(",{}", forward(port.protocol, port.host, port.guest)));
        vec!["-netdev".into(), format!("{USER_NETWORK}{}", forward.collect::<String>())]
    }
}

/// The option for a card, whose ROM, if it had one, would boot from the network.
fn device(card: NetCard) -> &'static str {
    match card {
        NetCard::Virtio => "virtio-net-pci,netdev=net0,romfile=",
        NetCard::E1000 => "e1000,netdev=net0,romfile=",
        NetCard::E1000e => "e1000e,netdev=net0,romfile=",
    }
}

/// QEMU's user networking for the card with this name.
const USER_NETWORK: &str = "user,id=net0";

/// The tap device of this name for the card.
fn tap_network(name: impl Display) -> String {
    format!("tap,id=net0,ifname={name},script=no,downscript=no")
}

/// The part of an option that hands connections on, from the host's own address only.
fn forward(protocol: Protocol, host: impl Display, guest: u16) -> String {
    format!("hostfwd={protocol}:127.0.0.1:{host}-:{guest}")
}

impl Boot {
    /// The image in folder `dir`, made from `recipe` and `kernel`.
    pub fn new(recipe: &Recipe, kernel: &KernelConfig, dir: &Path) -> Self {
        Self { vm: Vm::new(recipe, kernel), dir: dir.to_owned() }
    }

    /// The image's kernel.
    pub fn kernel(&self) -> PathBuf {
        self.dir.join(KERNEL)
    }

    /// The image's root task.
    pub fn root_task(&self) -> PathBuf {
        self.dir.join(ROOT_TASK)
    }

    /// Whether the image is there.
    ///
    /// # Errors
    /// [`Error::Image`] names the file that is not.
    pub fn check(&self) -> Result<(), Error> {
        [self.kernel(), self.root_task()].into_iter().try_for_each(|path| {
            std::fs::metadata(&path).map(drop).map_err(|source| Error::Image { path, source })
        })
    }

    /// A start of `qemu` with its console on standard input and output. `run_file` is what the guest
    /// finds as `opt/selkie/run`: an anonymous file, so that nothing of it ever lies on a disk. The function is
    /// reached at `ports`, and has the disk `disk`.
    pub(crate) fn launch(
        &self,
        qemu: &Binary,
        accel: Accel,
        run_file: Option<OwnedFd>,
        ports: &[Published],
        disk: Option<&Attached>,
    ) -> Launch {
        let mut args = vec!["-accel".to_owned(), accel.name().to_owned()];
        args.extend(self.vm.options(Console::Plain).into_iter().flatten());
        args.extend(self.vm.network(ports));
        args.extend(self.vm.disk(disk));
        if let Some(file) = &run_file {
            args.push("-fw_cfg".into());
            args.push(format!("name={FW_CFG_FILE},file=/proc/self/fd/{}", file.as_raw_fd()));
        }
        Launch {
            program: qemu.path.clone(),
            args,
            cwd: self.dir.clone(),
            inherit: run_file.into_iter().collect(),
            show_stderr: false,
            end: GuestEnd::of_qemu,
        }
    }
}

/// Whether `text` may be a CPU model, with or without features: QEMU would not take it for something else.
pub(crate) fn is_cpu_model(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// `run.sh`: boots the image that it lies in, from any folder, with TCG unless told otherwise.
pub fn run_script(name: &str, vm: &Vm) -> String {
    #[derive(Serialize)]
    struct Data<'a> {
        name: &'a str,
        options: Vec<String>,
        ports: Vec<Port>,
        network: Option<String>,
        tap: Option<String>,
        disk: Option<ScriptDisk>,
        appends: bool,
    }
    #[derive(Serialize)]
    struct ScriptDisk {
        size: u64,
        kib: u64,
        fat: bool,
        drive: String,
        device: &'static str,
    }
    #[derive(Serialize)]
    struct Port {
        variable: String,
        default: u16,
        what: String,
    }
    let options = vm
        .options(Console::Keys)
        .into_iter()
        .map(|words| words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "))
        .collect();
    let net = vm.net.as_ref().filter(|net| net.has_card());
    let forwarded = || net.iter().flat_map(|net| &net.forward);
    let variable = |port: &RawForward| match port.protocol {
        Protocol::Tcp => format!("SELKIE_PORT_{}", port.guest),
        Protocol::Udp => format!("SELKIE_PORT_UDP_{}", port.guest),
    };
    let ports = forwarded().map(|port| Port {
        variable: variable(port),
        default: script_port(port),
        what: format!("{} port {}", port.protocol.to_string().to_uppercase(), port.guest),
    });
    let forward = |port: &RawForward| {
        format!(",{}", forward(port.protocol, format_args!("${{{}}}", variable(port)), port.guest))
    };
    let tap = net.and_then(RawNet::tap).map(|tap| tap.name().to_owned());
    let network = net.map(|_| match &tap {
        Some(_) => tap_network("$SELKIE_TAP"),
        None => format!("{USER_NETWORK}{}", forwarded().map(forward).collect::<String>()),
    });
    let disk = vm.disk.map(|disk| ScriptDisk {
        size: disk.size,
        kib: disk.size >> 10,
        fat: disk.format == DiskFormat::Fat,
        drive: drive_option("$disk", disk.read_only),
        device: DISK,
    });
    let appends = vm.output == ConsoleKind::Virtio;
    template::render(RUN_SCRIPT, &Data { name, options, ports: ports.collect(), network, tap, disk, appends })
}

/// The host's port in `run.sh` where the user names none: a script cannot look for a free one.
fn script_port(port: &RawForward) -> u16 {
    /// Ports below are for the administrator.
    const FIRST: u16 = 1024;
    match (port.host, port.guest) {
        (0, guest @ 0..FIRST) => guest + 8000,
        (0, guest) => guest,
        (host, _) => host,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::recipe::NetMode;
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    /// A small machine.
    pub(crate) fn vm() -> Vm {
        Vm {
            machine: Machine::Q35,
            cpu: "qemu64,+fsgsbase".into(),
            memory_mib: 64,
            serial: Serial::Com1,
            output: ConsoleKind::Serial,
            extra_args: Vec::new(),
            beyond_tcg: Vec::new(),
            net: None,
            disk: None,
        }
    }

    /// A network with one port for TCP and one for UDP.
    fn net() -> RawNet {
        let port = |host, guest, protocol| RawForward { host, guest, protocol };
        let forward = vec![port(0, 80, Protocol::Tcp), port(5300, 53, Protocol::Udp)];
        RawNet { forward, ..RawNet::default() }
    }

    fn args(vm: Vm, run_file: Option<OwnedFd>) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("qemu"), "").unwrap();
        let qemu = Binary::find(Some(&dir.path().join("qemu"))).unwrap();
        Boot { vm, dir: dir.path().to_owned() }
            .launch(
                &qemu,
                Accel::Tcg,
                run_file,
                &[Published { protocol: Protocol::Tcp, host: 4711, guest: 80 }],
                Some(&Attached { path: "/a,b/disk.img".into(), read_only: false }),
            )
            .args
            .join(" ")
    }

    #[test]
    fn the_command_line_is_exactly_this() {
        assert_eq!(
            args(vm(), None),
            "-accel tcg -nodefaults -no-user-config -machine q35 -cpu qemu64,+fsgsbase -m 64M -display none \
             -no-reboot -serial stdio -kernel kernel -initrd root-task \
             -device isa-debug-exit,iobase=0xf4,iosize=0x04"
        );
    }

    #[test]
    fn the_second_port_comes_after_a_silent_first_one() {
        let vm =
            Vm { serial: Serial::Com2, extra_args: vec!["-device".into(), "virtio-rng-pci".into()], ..vm() };
        let args = args(vm, None);
        assert!(args.contains("-serial null -serial stdio"), "{args}");
        assert!(args.ends_with("-device virtio-rng-pci"), "{args}");
    }

    #[test]
    fn a_virtio_console_writes_where_the_serial_port_does() {
        let vm = Vm { output: ConsoleKind::Virtio, ..vm() };
        let script = run_script("hello", &vm);
        assert!(script.contains("\n[ ! -f /dev/stdout ] || exec >>/dev/stdout\n"), "{script}");
        let args = args(vm, None);
        let words = "-serial stdio -chardev null,id=console0,logfile=/proc/self/fd/1,logappend=on \
                     -device virtio-serial-pci -device virtconsole,chardev=console0 -kernel";
        assert!(args.contains(words), "{args}");
    }

    #[test]
    fn a_network_listens_on_the_hosts_own_address_only() {
        let args_of = args(Vm { net: Some(net()), ..vm() }, None);
        let words = "-device virtio-rng-pci -device virtio-net-pci,netdev=net0,romfile= ";
        assert!(args_of.contains(words), "{args_of}");
        let words = "-netdev user,id=net0,hostfwd=tcp:127.0.0.1:4711-:80";
        assert!(args_of.ends_with(words), "{args_of}");
        let tapped = RawNet { mode: NetMode::Tap, tap: Some("tap0".into()), ..RawNet::default() };
        let tapped = Vm { net: Some(tapped), ..vm() };
        let script = run_script("hello", &tapped);
        assert!(script.contains(": \"${SELKIE_TAP:=tap0}\"\n"), "{script}");
        assert!(
            script.contains("-netdev \"tap,id=net0,ifname=$SELKIE_TAP,script=no,downscript=no\""),
            "{script}"
        );
        let tap = args(tapped, None);
        assert!(tap.ends_with("-netdev tap,id=net0,ifname=tap0,script=no,downscript=no"), "{tap}");
        let none = RawNet { mode: NetMode::None, ..RawNet::default() };
        let without = args(Vm { net: Some(none), ..vm() }, None);
        assert!(without.contains("virtio-rng-pci") && !without.contains("net0"), "{without}");
    }

    fn disk(format: DiskFormat, read_only: bool) -> Vm {
        Vm { disk: Some(VmDisk { size: 16 << 20, format, read_only }), ..vm() }
    }

    #[test]
    fn a_disk_reports_its_failures_to_the_guest_and_is_written_back() {
        let text = args(disk(DiskFormat::None, false), None);
        let words = "-drive if=none,id=disk0,format=raw,cache=writeback,rerror=report,werror=report,\
                     file=/a,,b/disk.img -device virtio-blk-pci,drive=disk0";
        assert!(text.ends_with(words), "{text}");
        let probed = disk(DiskFormat::None, false).disk(None).join(" ");
        assert_eq!(
            probed,
            "-drive if=none,id=disk0,driver=null-co,read-zeroes=on,size=16777216 \
             -device virtio-blk-pci,drive=disk0"
        );
        assert!(vm().disk(None).is_empty());
    }

    #[test]
    fn run_sh_makes_the_disk_once() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("a, b");
        fs::create_dir(&image).unwrap();
        let script = image.join("run.sh");
        fs::write(&script, run_script("hello", &disk(DiskFormat::None, false))).unwrap();
        let run = |file: Option<&str>| {
            let mut command = Command::new("sh");
            command.arg(&script).current_dir(dir.path()).env("SELKIE_QEMU", "echo");
            file.map(|file| command.env("SELKIE_DISK", file));
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        for (file, path) in
            [(None, dir.path().join("disk.img")), (Some("own, disk"), dir.path().join("own, disk"))]
        {
            let text = run(file);
            let escaped = path.canonicalize().unwrap().display().to_string().replace(',', ",,");
            assert!(text.contains(&format!("werror=report,file={escaped} -device virtio-blk-pci")), "{text}");
            assert_eq!(fs::metadata(&path).unwrap().len(), 16 << 20);
            fs::write(&path, "content").unwrap();
            run(file);
            assert_eq!(fs::read(&path).unwrap(), b"content");
        }
        let fat = run_script("hello", &disk(DiskFormat::Fat, true));
        assert!(fat.contains("mkfs.fat -C \"$disk\" 16384 ") && fat.contains("readonly=on"), "{fat}");
    }

    #[test]
    fn run_sh_takes_its_ports_from_variables() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("run.sh");
        fs::write(&script, run_script("hello", &Vm { net: Some(net()), ..vm() })).unwrap();
        let run = |port: Option<&str>| {
            let mut command = Command::new("sh");
            command.arg(&script).env("SELKIE_QEMU", "echo");
            port.map(|port| command.env("SELKIE_PORT_80", port));
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let ports = |tcp| format!("hostfwd=tcp:127.0.0.1:{tcp}-:80,hostfwd=udp:127.0.0.1:5300-:53");
        for (port, text) in [(None, ports(8080)), (Some("9000"), ports(9000))] {
            let text = format!("-netdev user,id=net0,{text}");
            assert!(run(port).contains(&text), "{}", run(port));
        }
        assert!(!run_script("hello", &vm()).contains("PORT"));
    }

    #[test]
    fn run_sh_works_from_anywhere_and_hands_arguments_on() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("an image, with \"odd\" name");
        fs::create_dir(&image).unwrap();
        let vm = Vm { extra_args: vec!["-name".into(), "it's $HOME".into()], ..vm() };
        let script = image.join("run.sh");
        fs::write(&script, run_script("hello", &vm)).unwrap();
        let link = dir.path().join("link.sh");
        std::os::unix::fs::symlink(&script, &link).unwrap();
        let qemu = dir.path().join("qemu");
        fs::write(&qemu, "#!/bin/sh\npwd\nfor word; do printf '<%s>' \"$word\"; done\n").unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [&script, &link] {
            let run = |accel: Option<&str>| {
                let mut command = Command::new("sh");
                command.arg(path).args(["-S", "two words"]).current_dir("/").env("SELKIE_QEMU", &qemu);
                accel.map(|accel| command.env("SELKIE_ACCEL", accel));
                String::from_utf8(command.output().unwrap().stdout).unwrap()
            };
            let text = run(None);
            assert!(text.starts_with(&format!("{}\n", image.display())), "{text}");
            assert!(text.contains("<-accel><tcg><-nodefaults>"), "{text}");
            assert!(text.contains("<-serial><mon:stdio><-kernel><kernel><-initrd><root-task>"), "{text}");
            assert!(text.ends_with("<-name><it's $HOME><-S><two words>"), "{text}");
            assert!(run(Some("kvm")).contains("<-accel><kvm>"));
        }
    }
}
