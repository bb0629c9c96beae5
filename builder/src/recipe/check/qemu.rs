//! `[targets.qemu]`

use super::{Check, MEMORY};
use crate::{document::at, qemu, recipe::units::MIB};

/// seL4 boots from here on (measured with 5.0.0).
pub(super) const MEMORY_LEAST: u64 = 16 * MIB;

/// QEMU's options that Selkie sets itself, without leading dashes, and what to do instead.
const OWN: [(&str, &str); 21] = [
    ("kernel", "the image brings its kernel: see [kernel]"),
    ("initrd", "the image brings its root task: see [root-task]"),
    ("append", "seL4 passes no command line on: write `args` in [run]"),
    ("m", "write `memory`"),
    ("machine", "write `machine`"),
    ("M", "write `machine`"),
    ("cpu", "write `cpu`"),
    ("accel", "Selkie uses KVM where a probe shows that it works, else TCG"),
    ("enable-kvm", "Selkie uses KVM where a probe shows that it works, else TCG"),
    ("no-kvm", "Selkie uses KVM where a probe shows that it works, else TCG"),
    ("serial", "the console is the serial port that [devices] names"),
    ("display", "the console is the serial port that [devices] names"),
    ("nographic", "the console is the serial port that [devices] names"),
    ("curses", "the console is the serial port that [devices] names"),
    ("no-reboot", "a run ends when the machine reboots"),
    ("no-shutdown", "a run ends when the machine is switched off"),
    ("action", "a run ends when the machine reboots or is switched off"),
    ("daemonize", "a run ends with QEMU"),
    ("S", "start QEMU by the image's `run.sh` to hold it for a debugger"),
    ("help", "start `qemu-system-x86_64` by hand to ask it"),
    ("version", "start `qemu-system-x86_64` by hand to ask it"),
];

impl Check<'_> {
    /// Guest memory in bytes; the default when the recipe's is wrong.
    pub(super) fn qemu(&mut self) -> u64 {
        let qemu = &self.raw.targets.qemu;
        self.extra_args();
        if let Some(cpu) = &qemu.cpu
            && !qemu::is_cpu_model(cpu)
        {
            let help = "write a model and features, for instance `\"qemu64,+fsgsbase\"`; `qemu-system-x86_64 -cpu help` \
                        lists both";
            self.wrong(
                at!["targets", "qemu", "cpu"],
                format!("`{}` is not a CPU model", cpu.escape_debug()),
                help,
            );
        }
        let at = at!["targets", "qemu", "memory"];
        self.memory(at, qemu.memory.as_ref(), MEMORY_LEAST, MEMORY)
    }

    fn extra_args(&mut self) {
        let args = &self.raw.targets.qemu.extra_args;
        for (i, arg) in args.iter().enumerate() {
            let at = at!["targets", "qemu", "extra-args", i];
            let previous = i.checked_sub(1).and_then(|i| args.get(i)).map(|arg| option(arg));
            if arg.is_empty() || arg.contains('\0') {
                self.wrong(at, "the argument is empty or has a NUL character in it", "take it out");
            } else if let Some((name, value)) =
                arg.split_once(char::is_whitespace).filter(|_| arg.starts_with('-'))
            {
                let help = format!("write one text per argument: `\"{name}\", \"{}\"`", value.trim());
                self.wrong(at, format!("`{arg}` is two arguments"), help);
            } else if let Some((_, instead)) =
                OWN.iter().find(|(own, _)| arg.starts_with('-') && option(arg) == *own)
            {
                self.wrong(at, format!("`{arg}` is set by Selkie itself"), *instead);
            } else if previous == Some("device") && arg.split(',').next() == Some("isa-debug-exit") {
                let help = "take it out, and the `-device` before it: Selkie adds the exit port";
                self.wrong(at, "the device `isa-debug-exit` is set by Selkie itself", help);
            } else if previous == Some("fw_cfg") && arg.contains("opt/selkie/") {
                let help = "write `args` and `env` in [run], or give them to `cargo xtask run` by `--arg` and `--env`";
                self.wrong(at, "files under `opt/selkie/` are set by Selkie itself", help);
            }
        }
    }
}

/// The option that `arg` is, without its dashes: QEMU takes one or two.
fn option(arg: &str) -> &str {
    arg.strip_prefix("--").or(arg.strip_prefix('-')).unwrap_or(arg)
}
