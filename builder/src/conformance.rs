//! The self-test on the kernel and under the tender, compared line by line.
//!
//! What may differ is in one data file, `tests/conformance/differences.toml`: masks for values that no two
//! runs share, and checks that cannot be equal, each with both answers and the reason.

use crate::files;
use regex::Regex;
use serde::Deserialize;
use std::{collections::BTreeSet, fmt, path::Path};

/// More checks than this cannot be declared to differ.
pub const MOST: usize = 12;
/// What stands for a check that one side does not have.
const ABSENT: &str = "absent";

/// What may differ.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Differences {
    /// Values that differ from run to run.
    #[serde(default, rename = "mask")]
    pub masks: Vec<Mask>,
    /// Checks that differ.
    #[serde(default, rename = "difference")]
    pub differences: Vec<Difference>,
}

/// A value that no two runs share.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mask {
    /// A regular expression; what it matches counts as equal to what it matches on the other side.
    pub pattern: String,
    /// Why it differs.
    pub reason: String,
}

/// A check that cannot be equal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Difference {
    /// The check, as the self-test names it, without its number.
    pub check: String,
    /// The kernel's answer: `ok`, `not ok` and what follows, or `absent`.
    pub kernel: String,
    /// The tender's answer.
    pub tender: String,
    /// Why it cannot be the same.
    pub reason: String,
    /// The kernel configs for which it is so; all unless given.
    #[serde(default)]
    pub configs: Vec<String>,
}

/// The data file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// It is not as it should be.
    #[error("{path}: {what}")]
    Wrong {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
}

crate::exit_code!(Error, Failed);

impl Differences {
    /// Reads and checks the data file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let wrong = |what: String| Error::Wrong { path: path.display().to_string(), what };
        let text = String::from_utf8_lossy(&files::read(path)?).into_owned();
        let known: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if known.differences.len() > MOST {
            let count = known.differences.len();
            return Err(wrong(format!("{count} checks are declared to differ; at most {MOST} may")));
        }
        for mask in &known.masks {
            Regex::new(&mask.pattern).map_err(|error| wrong(error.to_string()))?;
        }
        let reasons = known.masks.iter().map(|mask| &mask.reason);
        let mut reasons = reasons.chain(known.differences.iter().map(|one| &one.reason));
        if reasons.any(|reason| reason.trim().is_empty()) {
            return Err(wrong("an entry has no reason".into()));
        }
        Ok(known)
    }

    /// Those for the kernel of `config`.
    pub fn of(&self, config: &str) -> Self {
        let holds =
            |one: &&Difference| one.configs.is_empty() || one.configs.iter().any(|name| name == config);
        let differences = self.differences.iter().filter(holds).cloned().collect();
        Self { masks: self.masks.clone(), differences }
    }
}

/// One check and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    check: String,
    answer: String,
}

/// Something that is not as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deviation {
    /// A check differs and is not declared, or is declared otherwise.
    Differs {
        /// The check.
        check: String,
        /// The kernel's answer.
        kernel: String,
        /// The tender's.
        tender: String,
    },
    /// A declared difference is none.
    Equal {
        /// The check.
        check: String,
    },
    /// A run's plan is missing or names another number of checks.
    Plan {
        /// `kernel` or `tender`.
        side: &'static str,
        /// Checks that were seen.
        seen: usize,
    },
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { check, kernel, tender } => {
                write!(f, "{check}\n  kernel: {kernel}\n  tender: {tender}")
            }
            Self::Equal { check } => {
                write!(f, "{check}\n  is declared to differ, but does not: take it out of the data file")
            }
            Self::Plan { side, seen } => {
                write!(f, "the run on the {side} is not complete: {seen} checks, and no plan that says so")
            }
        }
    }
}

/// What the comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Checks that both have.
    pub checks: usize,
    /// What is not as declared; empty when all is well.
    pub deviations: Vec<Deviation>,
}

/// Compares the consoles of the self-test on the kernel and under the tender.
pub fn compare(kernel: &str, tender: &str, known: &Differences) -> Outcome {
    let mut deviations = Vec::new();
    let mut read = |side, text: &str| {
        let records = records(text, &known.masks);
        if planned(text) != Some(records.len()) {
            deviations.push(Deviation::Plan { side, seen: records.len() });
        }
        records
    };
    let (kernel, tender) = (read("kernel", kernel), read("tender", tender));
    let pairs = pair(&kernel, &tender);
    let checks = pairs.iter().filter(|(one, other)| one.is_some() && other.is_some()).count();
    let mut declared: Vec<Option<&Difference>> = known.differences.iter().map(Some).collect();
    for (one, other) in pairs {
        let answer = |record: Option<&Record>| record.map_or(ABSENT, |record| &record.answer).to_owned();
        let (kernel, tender) = (answer(one), answer(other));
        if kernel == tender {
            continue;
        }
        let check = one.or(other).map(|record| record.check.clone()).unwrap_or_default();
        let entry = declared.iter_mut().find(|entry| {
            entry
                .is_some_and(|entry| entry.check == check && entry.kernel == kernel && entry.tender == tender)
        });
        match entry {
            Some(entry) => *entry = None,
            None => deviations.push(Deviation::Differs { check, kernel, tender }),
        }
    }
    let unused = declared.into_iter().flatten();
    // One that differs in another way has been told already.
    let told: BTreeSet<String> = deviations
        .iter()
        .filter_map(|one| match one {
            Deviation::Differs { check, .. } => Some(check.clone()),
            _ => None,
        })
        .collect();
    let equal = unused.filter(|entry| !told.contains(&entry.check));
    deviations.extend(equal.map(|entry| Deviation::Equal { check: entry.check.clone() }));
    Outcome { checks, deviations }
}

/// The checks of a console's text. Comments after a check belong to its answer; the plan ends them.
fn records(text: &str, masks: &[Mask]) -> Vec<Record> {
    let masks: Vec<Regex> = masks.iter().filter_map(|mask| Regex::new(&mask.pattern).ok()).collect();
    let masked = |line: &str| {
        masks.iter().fold(line.to_owned(), |line, mask| mask.replace_all(&line, "*").into_owned())
    };
    let mut records: Vec<Record> = Vec::new();
    for line in lines(text) {
        if line.starts_with("1..") {
            break;
        }
        if let Some((check, answer)) = check(line) {
            records.push(Record { check: masked(check), answer: masked(&answer) });
        } else if let (Some(last), Some(comment)) = (records.last_mut(), line.strip_prefix('#')) {
            last.answer.push_str("; ");
            last.answer.push_str(&masked(comment.trim()));
        }
    }
    records
}

/// The lines of a console. A kernel's own may end the other way round, with the carriage's return last.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.trim_matches('\r'))
}

/// `ok 3 - NAME` or `not ok 3 - NAME # SKIP why`: the name, and what was answered.
fn check(line: &str) -> Option<(&str, String)> {
    let (verdict, rest) = match line.strip_prefix("ok ") {
        Some(rest) => ("ok", rest),
        None => ("not ok", line.strip_prefix("not ok ")?),
    };
    let (number, name) = rest.split_once(" - ")?;
    number.parse::<u32>().ok()?;
    match name.split_once(" # ") {
        Some((name, directive)) => Some((name, format!("{verdict} # {directive}"))),
        None => Some((name, verdict.to_owned())),
    }
}

/// The number of checks that the plan of a console's text names.
fn planned(text: &str) -> Option<usize> {
    lines(text).find_map(|line| line.strip_prefix("1..")?.parse().ok())
}

/// Checks of both sides in order, each with its twin of the same name where there is one.
fn pair<'r>(kernel: &'r [Record], tender: &'r [Record]) -> Vec<(Option<&'r Record>, Option<&'r Record>)> {
    let has = |rest: &[Record], check: &str| rest.iter().any(|record| record.check == check);
    let (mut kernel, mut tender) = (kernel, tender);
    let mut pairs = Vec::new();
    loop {
        let (one, other) = match (kernel.first(), tender.first()) {
            (None, None) => return pairs,
            (one @ Some(_), None) => (one, None),
            (None, other @ Some(_)) => (None, other),
            (Some(one), Some(other)) if one.check == other.check => (Some(one), Some(other)),
            (Some(one), Some(_)) if !has(tender, &one.check) => (Some(one), None),
            // In another order, too, it is told on its own.
            (Some(_), Some(other)) => (None, Some(other)),
        };
        kernel = &kernel[usize::from(one.is_some())..];
        tender = &tender[usize::from(other.is_some())..];
        pairs.push((one, other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(checks: &[&str]) -> String {
        let count = checks.iter().filter(|line| !line.starts_with('#')).count();
        let lines = checks.iter().scan(0, |number, line| {
            *number += u32::from(!line.starts_with('#'));
            Some(match line.split_once(": ") {
                Some((verdict, name)) if !line.starts_with('#') => format!("{verdict} {number} - {name}\r\n"),
                _ => format!("{line}\r\n"),
            })
        });
        format!("TAP version 13\r\n{}1..{count}\r\n# {count} passed, 0 failed\r\n", lines.collect::<String>())
    }

    fn known(differences: &[(&str, &str, &str)]) -> Differences {
        let one = |(check, kernel, tender): &(&str, &str, &str)| Difference {
            check: (*check).into(),
            kernel: (*kernel).into(),
            tender: (*tender).into(),
            reason: "because".into(),
            configs: Vec::new(),
        };
        Differences { masks: Vec::new(), differences: differences.iter().map(one).collect() }
    }

    fn deviations(kernel: &[&str], tender: &[&str], known: &Differences) -> Vec<String> {
        let outcome = compare(&run(kernel), &run(tender), known);
        outcome.deviations.iter().map(Deviation::to_string).collect()
    }

    #[test]
    fn equal_runs_do_not_deviate() {
        let run = run(&["ok: a", "not ok: b", "# got 1", "ok: c"]);
        let outcome = compare(&run, &run, &Differences::default());
        assert_eq!(outcome, Outcome { checks: 3, deviations: vec![] });
    }

    #[test]
    fn a_difference_is_told_with_both_answers_unless_it_is_declared_so() {
        let (kernel, tender) = (["ok: a", "ok: b"], ["ok: a", "not ok: b", "#   got  1", "# want 2"]);
        let answer = "not ok; got  1; want 2";
        let found = deviations(&kernel, &tender, &known(&[]));
        assert_eq!(found, [format!("b\n  kernel: ok\n  tender: {answer}")]);
        assert!(deviations(&kernel, &tender, &known(&[("b", "ok", answer)])).is_empty());
        // A declaration that says something else does not count.
        assert_eq!(deviations(&kernel, &tender, &known(&[("b", "ok", "not ok")])).len(), 1);
    }

    #[test]
    fn a_declared_difference_that_is_none_fails() {
        let found = deviations(&["ok: a"], &["ok: a"], &known(&[("a", "ok", "not ok")]));
        assert!(found[0].contains("does not"), "{found:?}");
    }

    #[test]
    fn a_difference_of_one_kernel_config_is_none_of_another() {
        let mut known = known(&[("a", "ok", "not ok"), ("b", "ok", "not ok")]);
        known.differences[0].configs.push("x".into());
        let checks =
            |config| known.of(config).differences.into_iter().map(|one| one.check).collect::<String>();
        assert_eq!(["x", "y"].map(checks), ["ab", "b"]);
    }

    #[test]
    fn values_that_are_masked_are_equal() {
        let mut known = known(&[]);
        known.masks.push(Mask { pattern: "0x[0-9a-f]+".into(), reason: "addresses".into() });
        assert!(deviations(&["ok: at 0x12", "# 0xab"], &["ok: at 0x3", "# 0xc"], &known).is_empty());
    }

    #[test]
    fn checks_that_one_side_lacks_and_skips_are_differences() {
        let kernel = ["ok: a", "ok: b", "ok: c"];
        let tender = ["ok: a", "ok: c # SKIP no such thing", "ok: d"];
        let found = deviations(&kernel, &tender, &known(&[]));
        let wanted = [
            "b\n  kernel: ok\n  tender: absent",
            "c\n  kernel: ok\n  tender: ok # SKIP no such thing",
            "d\n  kernel: absent\n  tender: ok",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn lines_of_the_kernel_among_them_do_not_matter() {
        let plain = run(&["ok: a", "ok: b"]);
        let text = plain.replace("ok 2", "<<seL4: no such slot>>\n\rok 2").replace("1..2", "<<bye>>\n\r1..2");
        let outcome = compare(&text, &plain, &Differences::default());
        assert_eq!(outcome, Outcome { checks: 2, deviations: vec![] });
    }

    #[test]
    fn a_run_that_is_cut_off_is_seen() {
        let whole = run(&["ok: a", "ok: b"]);
        let cut = whole.split_inclusive('\n').take(3).collect::<String>();
        let outcome = compare(&whole, &cut, &Differences::default());
        assert_eq!(outcome.deviations, [Deviation::Plan { side: "tender", seen: 2 }]);
        assert!(!compare("", "", &Differences::default()).deviations.is_empty());
    }

    #[test]
    fn the_data_file_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        let entry = "[[difference]]\ncheck = \"a\"\nkernel = \"ok\"\ntender = \"x\"\nreason = \"r\"\n";
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Differences::load(&path).map(drop).map_err(|error| error.to_string())
        };
        assert!(load(&entry.repeat(MOST)).is_ok());
        assert!(load(&entry.repeat(MOST + 1)).unwrap_err().contains("at most 12"));
        assert!(load(&entry.replace("\"r\"", "\" \"")).unwrap_err().contains("no reason"));
        assert!(load("[[mask]]\npattern = \"(\"\nreason = \"r\"\n").is_err());
        assert!(load("[[masks]]\n").is_err());
    }
}
