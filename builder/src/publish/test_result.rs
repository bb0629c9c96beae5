//! What the smoke tests of an image found, as an in-toto statement with the predicate `test-result`
//! (<https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md>).
//!
//! It has no times and says nothing of the host, so that the same image with the same verdicts gives the same bytes.

use super::{
    Document, Published, Subject,
    statement::{self, Resource},
};
use crate::{
    Context, Digest, Result, Target,
    image::{Manifest, name},
    smoke::{RunReport, Verdict},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The predicate's type.
const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// What stands beside the configuration when tests were not made.
const SKIPPED: &str = "skipped";

/// The predicate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TestResult {
    result: Outcome,
    /// The recipe, which says what is expected.
    configuration: Vec<Resource>,
    passed_tests: Vec<String>,
    warned_tests: Vec<String>,
    failed_tests: Vec<String>,
}

/// The tests as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Outcome {
    /// Every test was made and passed.
    Passed,
    /// Some passed, none failed, and some were not made.
    Warned,
    /// One failed, or none passed.
    Failed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "PASSED",
            Self::Warned => "WARNED",
            Self::Failed => "FAILED",
        })
    }
}

impl Outcome {
    /// Of so many tests that passed, failed and were not made. What was not made never counts as passed.
    fn of(passed: usize, failed: usize, skipped: usize) -> Self {
        match (passed, failed, skipped) {
            (1.., 0, 0) => Self::Passed,
            (1.., 0, _) => Self::Warned,
            _ => Self::Failed,
        }
    }
}

impl TestResult {
    fn new(manifest: &Manifest, reports: &[RunReport]) -> Self {
        let named = |wanted: fn(&Verdict) -> bool| -> Vec<String> {
            let mut names: Vec<_> = reports.iter().filter(|one| wanted(&one.verdict)).map(test).collect();
            names.sort();
            names
        };
        let passed = named(|verdict| matches!(verdict, Verdict::Pass));
        let failed = named(|verdict| matches!(verdict, Verdict::Fail { .. }));
        let skipped = named(|verdict| matches!(verdict, Verdict::Skip { .. }));
        let recipe = manifest.members.iter().filter(|member| member.name == name::RECIPE);
        let mut configuration: Vec<_> =
            recipe.map(|member| Resource::file(&member.name, member.sha256)).collect();
        let result = Outcome::of(passed.len(), failed.len(), skipped.len());
        if !skipped.is_empty() {
            configuration = configuration.into_iter().map(|one| one.with(SKIPPED, skipped.clone())).collect();
        }
        Self { result, configuration, passed_tests: passed, warned_tests: Vec::new(), failed_tests: failed }
    }

    /// The tests that were not made.
    fn skipped(&self) -> usize {
        let lists = self.configuration.iter().filter_map(|one| one.annotations.get(SKIPPED)?.as_array());
        lists.map(Vec::len).sum()
    }
}

/// `smoke hello bare-metal uefi disk`
fn test(report: &RunReport) -> String {
    format!(
        "{}{}",
        begin(&report.name, report.target),
        report.place().trim_start_matches(report.target.name())
    )
}

fn begin(name: &str, target: Target) -> String {
    format!("smoke {name} {target}")
}

/// The file's name.
pub fn file(id: &str) -> String {
    format!("{id}.test-result.json")
}

/// The statement about what the smoke tests of `subject` found.
///
/// # Errors
/// None so far.
pub fn statement(_: &Context<'_>, subject: &Subject<'_>, artifacts: &[(String, Digest)]) -> Result<Document> {
    let predicate = TestResult::new(subject.manifest, subject.reports);
    Ok(statement::document(file(&subject.id()), PREDICATE, &predicate, artifacts))
}

/// What is wrong with the untrusted `document` about `published`.
pub fn check(published: &Published<'_>, document: &[u8]) -> Vec<String> {
    let mut wrong = Vec::new();
    let predicate = statement::read(document, PREDICATE, published.artifacts, &mut wrong);
    let Some(found): Option<TestResult> = predicate else { return wrong };
    let outcome = Outcome::of(
        found.passed_tests.len(),
        found.failed_tests.len(),
        found.skipped() + found.warned_tests.len(),
    );
    if found.result != outcome {
        wrong.push(format!("its result is {}, and its lists of tests say {outcome}", found.result));
    }
    if outcome == Outcome::Failed {
        let failed = found.failed_tests.join(", ");
        let what = if failed.is_empty() { "no test passed".to_owned() } else { format!("failed: {failed}") };
        wrong.push(format!("the smoke tests did not pass ({what})"));
    }
    let Manifest { name, target, .. } = published.manifest;
    let begin = begin(name, *target);
    let tests = [&found.passed_tests, &found.warned_tests, &found.failed_tests].into_iter().flatten();
    wrong.extend(
        tests
            .filter(|test| {
                !test.strip_prefix(&begin).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
            .map(|test| format!("`{test}` is no smoke test of this image")),
    );
    let recipe = published.manifest.members.iter().find(|member| member.name == name::RECIPE);
    let same = |one: &Resource| {
        recipe.is_some_and(|it| one.digest == statement::digest(statement::SHA256, it.sha256))
    };
    if !found.configuration.iter().any(same) {
        wrong.push("its configuration is not the recipe of this image".to_owned());
    }
    wrong
}
