//! A PC in QEMU that its own firmware boots, as on real hardware, from a bare-metal image's media: an ISO in a
//! CD drive or on a USB stick, a disk, the network.
//!
//! Nothing here loads the kernel for the guest, and no exit port is there: what the machine shows is its
//! console, its firmware's own log, its screen, and whether it switched itself off.

mod firmware;
mod monitor;
mod path;
mod screen;

pub use firmware::Lacking;
pub(crate) use monitor::Monitor;
use monitor::Shutdown;
pub use path::{BootPath, UnknownBoot};

use super::{
    Accel, AccelRequest, Accelerator, Binary, Boot, Console, Ended, Error, GuestEnd, Host, How, Launch,
    Probe, Vm, VmDisk, choose, in_option,
};
use crate::{
    Context,
    disk::Attached,
    kernel::multiboot_header,
    kernel_config::KernelConfig,
    net::Published,
    recipe::{ConsoleKind, Firmware, Machine, Recipe},
    run_config::FW_CFG_FILE,
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// A PC with an image's medium in it.
#[derive(Debug, Clone)]
pub(crate) struct Pc {
    /// Processor, memory and serial port.
    pub(crate) vm: Vm,
    /// How it boots.
    pub(crate) path: BootPath,
    /// The image's folder, in which QEMU runs.
    dir: PathBuf,
    /// The recipe's name, which ISO and disk image have, too.
    name: String,
    /// What the host has for it: UEFI, or a network card's ROM.
    firmware: Option<PathBuf>,
}

/// How much of the firmware's log is looked at, in bytes.
const FIRMWARE_SHOWN: u64 = 64 << 10;

/// What is left of a PC's run besides its console.
#[derive(Debug)]
pub(crate) struct Traces {
    /// What QEMU tells.
    pub(crate) monitor: Monitor,
    /// What the firmware wrote to its debug port.
    firmware: File,
}

impl Traces {
    /// Tells a machine that was switched off from one that was reset: QEMU's exit code is 0 for both.
    pub(crate) fn explain(&mut self, ended: &mut Ended) {
        if ended.how == How::Ended(GuestEnd::Reset) {
            ended.how = How::Ended(match self.monitor.shutdown() {
                Some(Shutdown::PowerOff) => GuestEnd::PoweredOff,
                Some(Shutdown::Reset) => GuestEnd::Reset,
                // It has not said why: then nothing is known.
                None => GuestEnd::Failed(0),
            });
        }
    }

    /// The end of what the firmware wrote to its debug port.
    pub(crate) fn firmware(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let size = self.firmware.seek(SeekFrom::End(0)).unwrap_or_default();
        // What cannot be read is not shown.
        let _ = self.firmware.seek(SeekFrom::Start(size.saturating_sub(FIRMWARE_SHOWN)));
        let _ = (&self.firmware).take(FIRMWARE_SHOWN).read_to_end(&mut text);
        text
    }
}

impl Pc {
    /// The machine that boots the image of `recipe` and `kernel` in folder `dir` by `path`.
    ///
    /// # Errors
    /// When the host has no such firmware.
    pub(crate) fn new(
        recipe: &Recipe,
        kernel: &KernelConfig,
        dir: &Path,
        path: BootPath,
    ) -> Result<Self, Lacking> {
        Ok(Self {
            vm: Self::vm(recipe, kernel),
            path,
            dir: dir.to_owned(),
            name: recipe.function.name.clone(),
            firmware: firmware::find(path)?,
        })
    }

    /// A machine that needs nothing of the host.
    #[cfg(test)]
    pub(crate) fn stage(boot: &Boot, path: BootPath, name: &str) -> Self {
        Self { vm: boot.vm.clone(), path, dir: boot.dir.clone(), name: name.into(), firmware: None }
    }

    /// KVM or TCG: KVM either runs this kernel or does not, whoever loads it, so that a probe lets QEMU do it.
    /// `sign` is a text by which the image shows that it runs.
    pub(crate) fn accelerator(
        &self,
        ctx: &Context<'_>,
        request: AccelRequest,
        qemu: &Binary,
        sign: Option<regex::bytes::Regex>,
    ) -> crate::Result<Accelerator> {
        let boot = Boot { vm: self.vm.clone(), dir: self.dir.clone() };
        let kernel =
            fs::read(boot.kernel()).map_err(|source| Error::Image { path: boot.kernel(), source })?;
        if request == AccelRequest::Auto && multiboot_header(&kernel).is_none() {
            let reason = "KVM is not tried with a kernel that QEMU's own loader cannot load".into();
            return Ok(Accelerator { accel: Accel::Tcg, reason, remembered: false });
        }
        choose(ctx, request, &Host::read(), &Probe::new(qemu, &boot, sign))
    }

    fn vm(recipe: &Recipe, kernel: &KernelConfig) -> Vm {
        Vm {
            machine: Machine::Q35,
            cpu: kernel.qemu_cpu.clone(),
            memory_mib: recipe.bare_metal.memory >> 20,
            serial: recipe.devices.serial,
            // As on a real machine.
            output: ConsoleKind::Serial,
            extra_args: Vec::new(),
            beyond_tcg: kernel.beyond_tcg(),
            net: recipe.devices.net.clone(),
            disk: VmDisk::of(recipe),
        }
    }

    /// A start with the console on standard input and output. `run_file` is what a guest finds as
    /// `opt/selkie/run`, with the nonce of this run. The function is reached at `ports`, and has the disk `disk`
    /// beside the medium that it is booted from.
    pub(crate) fn launch(
        &self,
        qemu: &Binary,
        accel: Accel,
        run_file: OwnedFd,
        ports: &[Published],
        disk: Option<&Attached>,
    ) -> Result<(Launch, Traces), Error> {
        let talk = |source| Error::Talk { program: qemu.path.display().to_string(), source };
        let (monitor, monitor_end, screen) = Monitor::new().map_err(talk)?;
        let firmware = anonymous(&[]).map_err(talk)?;
        let log = firmware.try_clone().map_err(talk)?;
        let mut inherit = vec![run_file, monitor_end, log.into(), screen];
        let [run, talk_fd, log] = [0, 1, 2].map(|index: usize| inherit[index].as_raw_fd());
        let mut args = vec!["-accel".to_owned(), accel.name().to_owned()];
        args.extend(self.vm.machine_options(Console::Plain).into_iter().flatten());
        args.extend(self.vm.network(ports));
        args.extend(self.vm.disk(disk));
        let medium = self.medium(&mut inherit)?;
        let fixed = [
            // What a PC has: firmware may look for it, and a boot loader tells the kernel of it.
            "-vga std".to_owned(),
            format!("-fw_cfg name={FW_CFG_FILE},file=/proc/self/fd/{run}"),
            format!("-chardev socket,id=monitor,fd={talk_fd} -mon chardev=monitor,mode=control"),
            // Where SeaBIOS and debug builds of OVMF write what they do.
            format!("-chardev file,id=firmware,path=/proc/self/fd/{log}"),
            "-device isa-debugcon,iobase=0x402,chardev=firmware".to_owned(),
        ];
        args.extend(fixed.iter().flat_map(|words| words.split(' ')).map(str::to_owned));
        args.extend(medium);
        let launch = Launch {
            program: qemu.path.clone(),
            args,
            cwd: self.dir.clone(),
            inherit,
            show_stderr: false,
            end: GuestEnd::of_pc,
        };
        Ok((launch, Traces { monitor, firmware }))
    }

    /// The arguments for what is booted and by what; a disk joins `inherit`.
    fn medium(&self, inherit: &mut Vec<OwnedFd>) -> Result<Vec<String>, Error> {
        let firmware = self.firmware.as_deref().map(in_option).unwrap_or_default();
        let iso = format!("-drive if=none,id=medium,format=raw,readonly=on,file={}.iso", self.name);
        let mut options = Vec::new();
        if self.path.firmware() == Firmware::Uefi {
            options.extend(self.flash(&firmware, inherit)?);
        }
        let words = match self.path {
            BootPath::IsoCdBios | BootPath::IsoCdUefi => {
                self.check(&format!("{}.iso", self.name))?;
                format!("{iso} -device ide-cd,drive=medium,bootindex=0")
            }
            BootPath::IsoUsbBios | BootPath::IsoUsbUefi => {
                self.check(&format!("{}.iso", self.name))?;
                format!("{iso} -device qemu-xhci -device usb-storage,drive=medium,bootindex=0")
            }
            BootPath::DiskBios | BootPath::DiskUefi => {
                // A copy in memory: a disk can be written to, the image's must not.
                let path = self.dir.join(format!("{}.img", self.name));
                let image = |source| Error::Image { path: path.clone(), source };
                let disk = anonymous(&fs::read(&path).map_err(image)?).map_err(image)?;
                let fd = disk.as_raw_fd();
                inherit.push(disk.into());
                format!(
                    "-drive if=none,id=medium,format=raw,file=/proc/self/fd/{fd} -device ide-hd,drive=medium,bootindex=0"
                )
            }
            BootPath::NetbootBios => {
                self.check("netboot/boot.ipxe")?;
                options.extend([
                    "-device".to_owned(),
                    format!("e1000,netdev=net,bootindex=0,romfile={firmware}"),
                ]);
                // `restrict`: QEMU's own DHCP and TFTP, and nothing of the host or beyond.
                "-netdev user,id=net,restrict=on,tftp=netboot,bootfile=boot.ipxe".to_owned()
            }
        };
        options.extend(words.split(' ').map(str::to_owned));
        Ok(options)
    }

    /// The flash chips of UEFI: its code, and a fresh copy of its variables, which joins `inherit`, so that no run
    /// finds another's. A firmware without such a file keeps them in memory.
    fn flash(&self, code: &str, inherit: &mut Vec<OwnedFd>) -> Result<Vec<String>, Error> {
        let mut chips = vec![format!("if=pflash,unit=0,format=raw,readonly=on,file={code}")];
        if let Some(path) = self.firmware.as_deref().and_then(firmware::variables) {
            let failed = |source| Error::Image { path: path.clone(), source };
            let copy = anonymous(&fs::read(&path).map_err(failed)?).map_err(failed)?;
            chips.push(format!("if=pflash,unit=1,format=raw,file=/proc/self/fd/{}", copy.as_raw_fd()));
            inherit.push(copy.into());
        }
        Ok(chips.into_iter().flat_map(|chip| ["-drive".to_owned(), chip]).collect())
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let path = self.dir.join(name);
        fs::metadata(&path).map(drop).map_err(|source| Error::Image { path, source })
    }
}

/// A file in memory that nobody else finds, with this content.
fn anonymous(content: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("selkie-pc", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}
