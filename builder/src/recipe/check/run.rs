//! `[run]`

use super::Check;
use crate::{
    document::{Step, at},
    recipe::Env,
};

impl Check<'_> {
    pub(super) fn run(&mut self) {
        let run = &self.raw.run;
        self.args(at!["run", "args"], &run.args);
        self.env(at!["run", "env"], &run.env);
        self.args(at!["run", "qemu", "args"], run.qemu.args.as_deref().unwrap_or_default());
        self.env(at!["run", "qemu", "env"], &run.qemu.env);
        self.args(at!["run", "process", "args"], run.process.args.as_deref().unwrap_or_default());
        self.env(at!["run", "process", "env"], &run.process.env);
        self.args(at!["run", "bare-metal", "args"], run.bare_metal.args.as_deref().unwrap_or_default());
        self.env(at!["run", "bare-metal", "env"], &run.bare_metal.env);
    }

    fn args(&mut self, at: &[Step<'_>], args: &[String]) {
        for (i, _) in args.iter().enumerate().filter(|(_, arg)| arg.contains('\0')) {
            let help = "take it out: arguments end with a NUL";
            self.wrong(&[at, &[Step::Index(i)]].concat(), "the argument has a NUL character in it", help);
        }
    }

    fn env(&mut self, at: &[Step<'_>], env: &Env) {
        for (name, value) in env {
            let at = [at, &[Step::from(name)]].concat();
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("`{}` is not a name of a variable", name.escape_debug());
                let help = "write a name without `=`, and the value behind it: `NAME = \"value\"`";
                self.findings.key(&at, message, help);
            }
            if value.contains('\0') {
                let help = "take it out: variables end with a NUL";
                self.wrong(
                    &at,
                    format!("the value of `{}` has a NUL character in it", name.escape_debug()),
                    help,
                );
            }
        }
    }
}
