//! From a program's end and its log to verdicts.

use super::{Case, Verdict, job::End};
use crate::exec::last_lines;

/// What the reason of an ignored test begins with when a suite of its own runs it: it is not left out.
const ELSEWHERE: &str = "the suite `";

/// How a log becomes verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// One test: the program ends with this code.
    Exit(i32),
    /// The tests that libtest reports.
    Tests,
}

impl Judge {
    /// The verdicts on the program `name` that ended with `end` and printed `log`.
    pub(super) fn cases(self, name: &str, end: &End, log: &str) -> Vec<Case> {
        let code = match end {
            End::Exited(status) => status.code(),
            End::TimedOut => None,
        };
        let fail = |what: &str| Case {
            name: name.to_owned(),
            verdict: Verdict::Fail { why: format!("{what}\n{}", last_lines(log, 40)) },
        };
        if matches!(end, End::TimedOut) {
            return vec![fail("it did not end in time")];
        }
        match self {
            Self::Exit(wanted) if code == Some(wanted) => {
                vec![Case { name: name.to_owned(), verdict: skipped(log).unwrap_or(Verdict::Pass) }]
            }
            Self::Exit(wanted) => vec![fail(&format!("it ended with {}, not {wanted}", said(code)))],
            Self::Tests => {
                let mut cases = tests(log);
                let told = cases.iter().any(|case| matches!(case.verdict, Verdict::Fail { .. }));
                // A compiler error, a crash, or a test binary that ended early.
                if code != Some(0) && !told {
                    cases.push(fail(&format!("it ended with {}", said(code))));
                }
                cases
            }
        }
    }
}

fn said(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"))
}

/// The reason of a line `SKIP: reason` with which a program says that it tested nothing.
fn skipped(log: &str) -> Option<Verdict> {
    let reason = log.lines().find_map(|line| line.strip_prefix("SKIP: "))?;
    Some(Verdict::Skip { reason: reason.to_owned() })
}

/// The tests of libtest's output (`test NAME ... ok`), those of several binaries in a row.
///
/// A test that finds out at run time that it cannot run writes a line `SKIP NAME: reason` past
/// libtest's capture and passes; it counts as skipped. One that another suite runs does not count here.
fn tests(log: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut skips = Vec::new();
    for line in log.lines() {
        if let Some((name, reason)) = line.find("SKIP ").and_then(|at| line[at + 5..].split_once(": ")) {
            skips.push((name, reason));
        }
        let Some((name, result)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        // Doc tests say what they do in the name: `src/x.rs - f (line 3) - compile`.
        let name = name.trim_end_matches(" - should panic").to_owned();
        let verdict =
            if let Some((_, reason)) = result.strip_prefix("SKIP ").and_then(|rest| rest.split_once(": ")) {
                // With one thread libtest prints the name before the test runs.
                Verdict::Skip { reason: reason.to_owned() }
            } else if result.ends_with("ok") {
                Verdict::Pass
            } else if result.ends_with("FAILED") {
                Verdict::Fail { why: message(log, &name) }
            } else if let Some(reason) = result.strip_prefix("ignored") {
                let reason = reason.trim_start_matches(", ");
                if reason.starts_with(ELSEWHERE) {
                    continue;
                }
                Verdict::Skip {
                    reason: if reason.is_empty() { "marked as ignored".into() } else { reason.into() },
                }
            } else {
                continue;
            };
        cases.push(Case { name, verdict });
    }
    for (name, reason) in skips {
        if let Some(case) = cases
            .iter_mut()
            .find(|case| case.verdict == Verdict::Pass && last_part(&case.name) == last_part(name))
        {
            case.verdict = Verdict::Skip { reason: reason.to_owned() };
        }
    }
    cases
}

fn last_part(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

/// What libtest shows of a failed test: the part of the log under `---- NAME stdout ----`.
fn message(log: &str, name: &str) -> String {
    let head = format!("---- {name} stdout ----");
    let Some((_, rest)) = log.split_once(&head) else { return "see the log".to_owned() };
    let ends = ["\n---- ", "\nfailures:"].iter().filter_map(|end| rest.find(end));
    let end = ends.min().unwrap_or(rest.len());
    last_lines(rest[..end].trim(), 40)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    const LOG: &str = "\
running 6 tests
test a::good ... ok
test a::panics - should panic ... ok
test a::slow ... ignored, takes minutes
test a::apart ... ignored, the suite `apart` runs it: it boots twice
SKIP kvm_boots: no /dev/kvm
test a::kvm_boots ... ok
test a::serial ... SKIP serial: one thread only
ok
test a::wrong ... FAILED

failures:

---- a::wrong stdout ----
left: 1

failures:
    a::wrong

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn exited(code: i32) -> End {
        End::Exited(ExitStatus::from_raw(code << 8))
    }

    fn pass(name: &str) -> Case {
        Case { name: name.into(), verdict: Verdict::Pass }
    }

    fn skip(name: &str, reason: &str) -> Case {
        Case { name: name.into(), verdict: Verdict::Skip { reason: reason.into() } }
    }

    #[test]
    fn tests_are_read_one_by_one() {
        let cases = Judge::Tests.cases("host", &exited(101), LOG);
        let wrong = Case { name: "a::wrong".into(), verdict: Verdict::Fail { why: "  | left: 1".into() } };
        let slow = skip("a::slow", "takes minutes");
        let kvm = skip("a::kvm_boots", "no /dev/kvm");
        let serial = skip("a::serial", "one thread only");
        assert_eq!(cases, [pass("a::good"), pass("a::panics"), slow, kvm, serial, wrong]);
    }

    #[test]
    fn a_failure_without_a_failed_test_is_a_failure() {
        let cases = Judge::Tests.cases("host", &exited(101), "test a ... ok\nerror: could not compile `x`\n");
        assert_eq!(cases.len(), 2);
        assert!(matches!(&cases[1].verdict, Verdict::Fail { why } if why.contains("could not compile")));
    }

    #[test]
    fn a_signal_and_a_time_out_never_pass() {
        for judge in [Judge::Exit(0), Judge::Tests] {
            for end in [End::TimedOut, End::Exited(ExitStatus::from_raw(9))] {
                let cases = judge.cases("x", &end, "test a ... ok\n");
                assert!(cases.iter().any(|case| matches!(case.verdict, Verdict::Fail { .. })));
            }
        }
    }

    #[test]
    fn the_wanted_exit_code_and_no_other_passes() {
        assert_eq!(Judge::Exit(4).cases("panic", &exited(4), ""), [pass("panic")]);
        for code in [0, 1, 3] {
            let cases = Judge::Exit(4).cases("panic", &exited(code), "");
            assert!(matches!(cases[0].verdict, Verdict::Fail { .. }), "{code}");
        }
        assert_eq!(Judge::Exit(0).cases("x", &exited(0), "SKIP: no QEMU\n"), [skip("x", "no QEMU")]);
    }
}
