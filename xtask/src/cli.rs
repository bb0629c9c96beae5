//! The command line: options that every verb takes, and the verbs.

use crate::{
    cmd::Command,
    output::{Color, Format},
};
use clap::{CommandFactory, Parser};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                    set up this host, build `hello`, boot it
  cargo xtask test                    all tests of this repository
  cargo xtask build-image hello       out/hello/qemu/: kernel, root task, run.sh
  cargo xtask run hello               boot it with its console here; Ctrl-A x leaves
  cargo xtask publish hello --to dist  archives, containers, checksums, for others
  cargo xtask --format json list      the same for programs

Exit codes:
  0 done, 1 failed, 2 wrong command line or recipe, 3 the host lacks something,
  4 a smoke test failed, 5 two builds differ";

/// Builds one function into a seL4 image, boots it and tests it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every verb takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The answer on stdout: text, or exactly one JSON document
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Where images and the cache go [default: out/ in the checkout]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// A copy of the checkout to build in: for `repro`
    #[arg(long, global = true, value_name = "DIR", hide = true)]
    pub(crate) checkout: Option<PathBuf>,
    /// When to use colours; NO_COLOR is obeyed
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: Color,
    /// Only the answer and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// The parser, with the choice of colours for help and errors.
pub(crate) fn command(color: clap::ColorChoice) -> clap::Command {
    Cli::command().color(color)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// The lines `cargo xtask …` in blocks of shell code, with comments cut off.
    fn examples(text: &str) -> Vec<String> {
        let mut shell = false;
        let mut found = Vec::new();
        for line in text.lines().map(str::trim) {
            match line.strip_prefix("```") {
                Some(info) => shell = info.starts_with("sh"),
                None if shell && line.starts_with("cargo xtask") => {
                    // What the shell does with it comes after the command.
                    let end = [" #", " ||", " >"].iter().filter_map(|end| line.find(end)).min();
                    found.push(line[..end.unwrap_or(line.len())].trim().to_owned());
                }
                None => {}
            }
        }
        found
    }

    #[test]
    fn every_command_in_the_documentation_is_understood() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let mut seen = 0;
        for page in docs
            .chain([root.join("README.md")])
            .filter(|page| page.extension().is_some_and(|ext| ext == "md"))
        {
            for example in examples(&fs::read_to_string(&page).unwrap()) {
                let words = shlex::split(&example).unwrap();
                let parsed = Cli::try_parse_from(&words[1..]);
                assert!(parsed.is_ok(), "{}: {example}\n{}", page.display(), parsed.unwrap_err());
                seen += 1;
            }
        }
        assert!(seen > 10, "only {seen} examples were found");
    }

    /// The commands `cargo xtask …` that a workflow runs, quotes taken off their words.
    fn steps(text: &str) -> Vec<Vec<String>> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let named = lines.filter(|line| line.contains("cargo xtask"));
        // What a text says between backquotes is not run.
        let run = named.filter(|line| !line.contains("`cargo xtask"));
        run.map(|line| {
            let command = line.trim_start_matches("- ").trim_start_matches("run: ");
            assert!(command.starts_with("cargo xtask "), "at the start of a line it is found: {line}");
            assert!(!command.contains(['|', '&', ';', '<', '>', '\\']), "one command on one line: {line}");
            shlex::split(command).unwrap().split_off(1)
        })
        .collect()
    }

    #[test]
    fn every_command_of_the_workflows_is_understood() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = fs::read_dir(root.join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path());
        let mut verbs = Vec::new();
        for file in files {
            for step in steps(&fs::read_to_string(&file).unwrap()) {
                let parsed = Cli::try_parse_from(&step);
                assert!(parsed.is_ok(), "{}: {step:?}\n{}", file.display(), parsed.unwrap_err());
                verbs.push(step[1].clone());
            }
        }
        for verb in ["build-image", "doctor", "publish", "repro", "size", "verify"] {
            assert!(verbs.iter().any(|other| other == verb), "{verb} is not in {verbs:?}");
        }
    }

    #[test]
    fn every_example_of_the_help_is_understood() {
        let mut command = Cli::command();
        let mut helps = vec![command.render_help().to_string()];
        let verbs = command.get_subcommands_mut().filter(|verb| verb.get_name() != "help");
        helps.extend(verbs.map(|verb| verb.render_long_help().to_string()));
        for help in helps {
            let (_, examples) = help.split_once("Examples:\n").expect("a verb without examples");
            for line in examples.lines().map(str::trim).filter(|line| line.starts_with("cargo xtask")) {
                let example = line.split("  ").next().unwrap();
                let parsed = Cli::try_parse_from(example.split_whitespace().skip(1));
                assert!(parsed.is_ok(), "{example}\n{}", parsed.unwrap_err());
            }
        }
    }
}
