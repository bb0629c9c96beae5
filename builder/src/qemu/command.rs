//! QEMU's command line: one function, for `run.sh`, `run`, `smoke` and the KVM probe alike.

use super::{Accel, Binary, Error, GuestEnd, Launch};
use crate::{
    exec::quote,
    image::name::{KERNEL, ROOT_TASK},
    kernel_config::KernelConfig,
    recipe::{Machine, Recipe, Serial},
    run_config::FW_CFG_FILE,
    template,
};
use serde::Serialize;
use std::{
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
    /// The recipe's own arguments, as written.
    pub extra_args: Vec<String>,
    /// CPU features that the kernel needs and QEMU's emulation lacks.
    pub beyond_tcg: Vec<String>,
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

const RUN_SCRIPT: &str = include_str!("../../../templates/qemu/run.sh.hbs");

impl Vm {
    /// The machine for `recipe` on `kernel`.
    pub fn new(recipe: &Recipe, kernel: &KernelConfig) -> Self {
        Self {
            machine: recipe.qemu.machine,
            cpu: recipe.qemu.cpu.clone().unwrap_or_else(|| kernel.qemu_cpu.clone()),
            memory_mib: recipe.qemu.memory >> 20,
            serial: recipe.devices.serial,
            extra_args: recipe.qemu.extra_args.clone(),
            beyond_tcg: kernel.beyond_tcg(),
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
        options.into_iter().map(|words| words.into_iter().map(str::to_owned).collect()).collect()
    }
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
    /// finds as `opt/selkie/run`: an anonymous file, so that nothing of it ever lies on a disk.
    pub(crate) fn launch(&self, qemu: &Binary, accel: Accel, run_file: Option<OwnedFd>) -> Launch {
        let mut args = vec!["-accel".to_owned(), accel.name().to_owned()];
        args.extend(self.vm.options(Console::Plain).into_iter().flatten());
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
    }
    let options = vm
        .options(Console::Keys)
        .into_iter()
        .map(|words| words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "))
        .collect();
    template::render(RUN_SCRIPT, &Data { name, options })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    /// A small machine.
    pub(crate) fn vm() -> Vm {
        Vm {
            machine: Machine::Q35,
            cpu: "qemu64,+fsgsbase".into(),
            memory_mib: 64,
            serial: Serial::Com1,
            extra_args: Vec::new(),
            beyond_tcg: Vec::new(),
        }
    }

    fn args(vm: Vm, run_file: Option<OwnedFd>) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("qemu"), "").unwrap();
        let qemu = Binary::find(Some(&dir.path().join("qemu"))).unwrap();
        Boot { vm, dir: dir.path().to_owned() }.launch(&qemu, Accel::Tcg, run_file).args.join(" ")
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
