//! What `doctor --this-machine` prints.

use crate::{app::App, output::Paint, table::Table};
use builder::{
    doctor::Kvm,
    machine::{Expectation, Fit, Machine, Report},
    recipe::Firmware,
};

/// The machine, a table of kernel configs, and the reasons.
pub(super) fn text(report: &Report, app: &App) -> String {
    let mut table = Table::new(["kernel config", "seL4", "from BIOS", "from UEFI", "recipes"]);
    let mut remarks = Remarks::default();
    for fit in &report.kernels {
        let [bios, uefi] =
            [("from BIOS", &fit.bios), ("from UEFI", &fit.uefi)].map(|(media, expectation)| {
                let (paint, word) = match expectation {
                    Expectation::Expected => (Paint::Good, "expected"),
                    Expectation::Unknown(why) => {
                        remarks.add(media, why, fit);
                        (Paint::Skipped, "not known")
                    }
                    Expectation::No(why) => {
                        remarks.add(media, why, fit);
                        (Paint::Bad, "no")
                    }
                };
                app.terminal.paint(paint, word)
            });
        if let Some(caution) = &fit.caution {
            remarks.add("beware", caution, fit);
        }
        table.row([fit.kernel.clone(), fit.version.clone(), bios, uefi, fit.recipes.join(" ")]);
    }
    format!(
        "{}\n{}\n{}expected: the processor has what the kernel config asks for, and the firmware boots such media. \
         Only booting shows\nwhether it is so; docs/bare-metal.md says what to do when nothing appears.\n",
        machine(&report.machine),
        table.render(),
        remarks.text()
    )
}

/// Remarks, and the kernel configs that each is about.
#[derive(Default)]
struct Remarks(Vec<(String, Vec<String>)>);

impl Remarks {
    fn add(&mut self, about: &str, why: &str, fit: &Fit) {
        let text = format!("{about}: {why}");
        match self.0.iter_mut().find(|(known, _)| *known == text) {
            Some((_, kernels)) => kernels.push(fit.kernel.clone()),
            None => self.0.push((text, vec![fit.kernel.clone()])),
        }
    }

    fn text(&self) -> String {
        self.0.iter().map(|(text, kernels)| format!("{text}\n    {}\n\n", kernels.join(", "))).collect()
    }
}

/// What is known of the machine, a line for each thing.
fn machine(machine: &Machine) -> String {
    let firmware = match (machine.firmware, machine.secure_boot) {
        (Some(Firmware::Bios), _) => "BIOS, or UEFI that acts as one",
        (Some(Firmware::Uefi), Some(true)) => "UEFI with Secure Boot",
        (Some(Firmware::Uefi), Some(false)) => "UEFI without Secure Boot",
        (Some(Firmware::Uefi), None) => "UEFI; whether Secure Boot is on cannot be seen",
        (None, _) => "cannot be seen from here",
    };
    let serial = machine.serial.iter().map(|port| {
        let state = match port.present {
            Some(true) => "there",
            Some(false) => "not there",
            None => "not known: root may see it",
        };
        format!("{} {state}", port.name)
    });
    let kvm = match machine.kvm {
        Kvm::Open => "/dev/kvm can be opened",
        Kvm::NoPermission => "no permission for /dev/kvm",
        Kvm::Absent => "no /dev/kvm",
    };
    let virtualisation = machine.virtualisation.as_deref().unwrap_or("not seen");
    let itself = if machine.is_virtual { "; this machine is itself a virtual one" } else { "" };
    let known = |text: &str| if text.is_empty() { "not known".to_owned() } else { text.to_owned() };
    let mut table = Table::new(["this machine", ""]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("processor", known(&machine.cpu));
    row("Meltdown", known(machine.meltdown.as_deref().unwrap_or_default()));
    row("firmware", firmware.to_owned());
    row("serial ports", serial.collect::<Vec<_>>().join(", "));
    row("virtualisation", format!("{virtualisation}, {kvm}{itself}"));
    table.render()
}
