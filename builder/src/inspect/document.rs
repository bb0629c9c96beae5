//! What is published beside an image: a bill of materials, or a statement about it.

use super::{Error, Kind, Report, printable};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

/// A document has at most this many bytes: that of an image with a hundred crates has less than a tenth of it.
const MOST: usize = 4 << 20;
/// So many things are told of a document.
const MOST_SAID: usize = 10_000;

/// A published document, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DocumentReport {
    /// What it is.
    pub format: String,
    /// What it says, each with what it is about.
    pub says: Vec<(String, String)>,
}

/// By what a document is known. Whatever else is in it is passed over without being held.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "spdxVersion")]
    spdx: Option<IgnoredAny>,
    #[serde(rename = "_type")]
    statement: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spdx {
    spdx_version: String,
    name: String,
    document_namespace: String,
    packages: Vec<Package>,
    files: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    name: String,
    version_info: Option<String>,
    license_declared: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Subject>,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// What is shown of provenance and of test results; of other predicates nothing is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: Option<BuildDefinition>,
    run_details: Option<RunDetails>,
    result: Option<String>,
    #[serde(default)]
    passed_tests: Vec<String>,
    #[serde(default)]
    failed_tests: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    #[serde(default)]
    resolved_dependencies: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
}

/// The report on the document `data`; none when it is another kind of text.
pub(super) fn inspect(path: &Path, data: &[u8]) -> Option<Result<Report, Error>> {
    let head: Head = serde_json::from_slice(data).ok()?;
    let document = match head {
        Head { spdx: None, statement: None } => return None,
        _ if data.len() > MOST => Err(format!("it has more than {MOST} bytes")),
        Head { spdx: Some(_), .. } => read(data).map(materials),
        Head { .. } => read(data).map(statement),
    };
    let document = document.map_err(|why| Error::Document { path: path.to_owned(), why });
    let report = |mut document: DocumentReport| {
        let mut report = Report::new(path, Kind::Document);
        if document.says.len() > MOST_SAID {
            report.problems.push(format!("it says more than {MOST_SAID} things: the rest is not shown"));
            document.says.truncate(MOST_SAID);
        }
        Report { document: Some(document), ..report }
    };
    Some(document.map(report))
}

fn read<T: DeserializeOwned>(data: &[u8]) -> Result<T, String> {
    serde_json::from_slice(data).map_err(|error| printable(&error.to_string()))
}

fn materials(document: Spdx) -> DocumentReport {
    let mut says = vec![
        ("name".to_owned(), document.name),
        ("namespace".to_owned(), document.document_namespace),
        ("files".to_owned(), document.files.len().to_string()),
    ];
    says.extend(document.packages.into_iter().map(|package| {
        let version = package.version_info.map(|version| format!(" {version}")).unwrap_or_default();
        (format!("{}{version}", package.name), package.license_declared)
    }));
    DocumentReport { format: format!("bill of materials, {}", document.spdx_version), says }
}

fn statement(statement: Statement) -> DocumentReport {
    let mut says = vec![("claim".to_owned(), statement.predicate_type)];
    for subject in statement.subject {
        let digests: Vec<_> = subject.digest.iter().map(|(how, value)| format!("{how}:{value}")).collect();
        says.push((format!("about {}", subject.name), digests.join(", ")));
    }
    let Predicate { build_definition, run_details, result, passed_tests, failed_tests } = statement.predicate;
    if let Some(build) = build_definition {
        says.push(("build type".to_owned(), build.build_type));
        says.push(("inputs".to_owned(), build.resolved_dependencies.len().to_string()));
    }
    says.extend(run_details.map(|run| ("built by".to_owned(), run.builder.id)));
    says.extend(result.map(|result| ("result".to_owned(), result)));
    says.extend(passed_tests.into_iter().map(|test| ("passed".to_owned(), test)));
    says.extend(failed_tests.into_iter().map(|test| ("failed".to_owned(), test)));
    DocumentReport { format: format!("statement, {}", statement.kind), says }
}

/// The document, for a reader.
pub(super) fn render(out: &mut String, document: &DocumentReport) -> std::fmt::Result {
    writeln!(out, "format:    {}", printable(&document.format))?;
    let mut says = document.says.iter();
    says.try_for_each(|(what, says)| writeln!(out, "  {}: {}", printable(what), printable(says)))
}
