//! `doctor`

use crate::{
    app::App,
    output::{Answer, Paint},
    table::Table,
};
use builder::{
    ExitCode,
    doctor::{self, Kvm, Report},
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask doctor          a table, and one line that installs what is missing
  cargo xtask doctor --fix    installs it where that needs no question: apt, as root or by sudo -n

Exit code 3 when something is missing.";

/// Says what this host lacks
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// Install what is missing, with apt, as root or by `sudo -n`
    #[arg(long)]
    fix: bool,
}

impl Doctor {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let report = if self.fix {
            doctor::ensure(&app.context()).map_err(builder::Error::from)?
        } else {
            doctor::check(&app.project.root)
        };
        let code = if report.missing().next().is_none() { ExitCode::Ok } else { ExitCode::HostLacks };
        Ok(Answer::new(&report, text(&report, app))?.with_code(code))
    }
}

fn text(report: &Report, app: &App) -> String {
    let mut table = Table::new(["", "what", "for", "found"]);
    for item in &report.items {
        let (mark, found) = match &item.found {
            Some(path) => (
                app.terminal.paint(Paint::Good, "ok"),
                item.version.clone().unwrap_or(path.display().to_string()),
            ),
            None => (app.terminal.paint(Paint::Bad, "missing"), String::new()),
        };
        table.row([mark, item.name.clone(), item.purpose.clone(), found]);
    }
    let kvm = match report.kvm {
        Kvm::Open => "/dev/kvm can be opened; whether seL4 boots under it is found out by booting",
        Kvm::NoPermission => {
            "no permission for /dev/kvm (join its group, often `kvm`): QEMU emulates, which is slower"
        }
        Kvm::Absent => "no /dev/kvm: QEMU emulates, which is slower",
    };
    let hardening = match report.hardening.lacks.as_slice() {
        [] => format!("Linux {} has all that target process locks itself down with", report.hardening.linux),
        lacks => format!(
            "Linux {} lacks {}: target process runs without, and says so",
            report.hardening.linux,
            lacks.join(", ")
        ),
    };
    let verdict = match report.error() {
        None => "nothing is missing".to_owned(),
        Some(error) => error.to_string(),
    };
    format!("{}\n{}\n\n{kvm}\n{hardening}\n{verdict}\n", report.host, table.render().trim_end())
}
