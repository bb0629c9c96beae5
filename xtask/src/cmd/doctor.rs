//! `doctor`

use super::{common::RumprunArg, this_machine};
use crate::{
    app::App,
    output::{Answer, Paint},
    table::Table,
};
use builder::{
    ExitCode,
    doctor::{self, Kvm, Part, Report},
    machine,
    root_task::rumprun::tree::Survey,
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask doctor                   a table, and one line that installs what is missing
  cargo xtask doctor --fix             installs it where that needs no question: apt, as root or by sudo -n
  cargo xtask doctor --rumprun ../rumprun   whether POSIX programs can be linked from this tree
  cargo xtask doctor --this-machine    which media for bare metal this very machine should boot

Exit code 3 when something is missing that every image needs, or a rumprun tree that was named is not whole.";

/// Says what this host lacks
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// Install what is missing, with apt, as root or by `sudo -n`
    #[arg(long)]
    fix: bool,
    /// Say instead which media for bare metal this machine should boot, by its processor and firmware
    #[arg(long, conflicts_with = "fix")]
    this_machine: bool,
    #[command(flatten)]
    rumprun: RumprunArg,
}

impl Doctor {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        if self.this_machine {
            let report = machine::report(&app.project)?;
            return Answer::new(&report, this_machine::text(&report, app));
        }
        let report = if self.fix {
            doctor::ensure(&app.context(), &Part::ALL).map_err(builder::Error::from)?
        } else {
            doctor::check(&app.project.root)
        };
        let survey = self.rumprun.named(true)?.map(|tree| Survey::of(&app.context(), &tree));
        let sound = survey.as_ref().is_none_or(|survey| survey.fault.is_none());
        let good = report.error(&[Part::Base]).is_none() && sound;
        let code = if good { ExitCode::Ok } else { ExitCode::HostLacks };
        let answer = Whole { report: &report, rumprun: survey.as_ref() };
        Ok(Answer::new(&answer, text(&report, survey.as_ref(), app))?.with_code(code))
    }
}

/// The report with what is known of the rumprun tree.
#[derive(Debug, serde::Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    rumprun: Option<&'a Survey>,
}

/// What is known of the rumprun tree, for a person.
fn rumprun(survey: Option<&Survey>) -> String {
    let Some(survey) = survey else {
        return "no rumprun tree is named (`--rumprun DIR` or RUMPRUN_DIR): POSIX programs cannot be built"
            .to_owned();
    };
    if let Some(fault) = &survey.fault {
        return format!("rumprun: {fault}");
    }
    let lacks = survey.components.iter().filter_map(|one| one.lacks.as_ref());
    let lacks: String = lacks.map(|lacks| format!("\n{lacks}")).collect();
    let version = survey.version.as_deref().unwrap_or("NetBSD");
    format!("{}: a rumprun tree of {version}, and its compiler works{lacks}", survey.root.display())
}

fn text(report: &Report, survey: Option<&Survey>, app: &App) -> String {
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
    let verdict = match (report.error(&[Part::Base]), report.error(&Part::ALL)) {
        (None, None) => "nothing is missing".to_owned(),
        (None, Some(_)) => {
            let parts = Part::ALL.iter().map(|part| (part, report.missing_names(&[*part])));
            let lacks = parts.filter(|(_, names)| !names.is_empty());
            let lacks: Vec<_> = lacks.map(|(part, names)| format!("{part} lacks {names}")).collect();
            let install = report.install.iter().map(|line| format!("\n  to have it all: {line}"));
            format!("all there, but {}{}", lacks.join("; "), install.collect::<String>())
        }
        (Some(error), _) => error.to_string(),
    };
    format!(
        "{}\n{}\n\n{kvm}\n{hardening}\n{}\n{verdict}\n",
        report.host,
        table.render().trim_end(),
        rumprun(survey)
    )
}
