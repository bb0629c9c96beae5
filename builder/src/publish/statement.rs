//! in-toto statements: what is claimed, the predicate, of which files, the subject
//! (<https://github.com/in-toto/attestation/tree/main/spec/v1>).

use super::Document;
use crate::Digest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// What every statement calls itself.
const TYPE: &str = "https://in-toto.io/Statement/v1";

/// The digest of the bytes of a file.
pub(super) const SHA256: &str = "sha256";

/// A claim about files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Resource>,
    predicate_type: String,
    predicate: P,
}

/// Something that a statement speaks of: in-toto's `ResourceDescriptor`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Resource {
    /// What it is called.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    /// What it is called everywhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) uri: String,
    /// Its digests, by how they are made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) digest: BTreeMap<String, String>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, serde_json::Value>,
}

impl Resource {
    /// The file `name` with this content.
    pub(super) fn file(name: &str, sha256: Digest) -> Self {
        Self { name: name.to_owned(), digest: digest(SHA256, sha256), ..Self::default() }
    }

    /// The same with an annotation.
    pub(super) fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }
}

/// One digest, made as `how` says.
pub(super) fn digest(how: &str, value: Digest) -> BTreeMap<String, String> {
    [(how.to_owned(), value.to_string())].into()
}

/// The subject of a statement about `artifacts`.
fn subject(artifacts: &[(String, Digest)]) -> Vec<Resource> {
    artifacts.iter().map(|(name, sha256)| Resource::file(name, *sha256)).collect()
}

/// The file `name` with the claim `predicate` about `artifacts`.
pub(super) fn document(
    name: String,
    predicate_type: &str,
    predicate: &impl Serialize,
    artifacts: &[(String, Digest)],
) -> Document {
    let (kind, predicate_type) = (TYPE.to_owned(), predicate_type.to_owned());
    let statement = Statement { kind, subject: subject(artifacts), predicate_type, predicate };
    Document { name, content: text(&statement) }
}

/// JSON with sorted keys, two spaces per level, and a line's end.
pub(super) fn text(value: &impl Serialize) -> Vec<u8> {
    // Through `Value`, whose maps are sorted, so that the bytes do not follow the order of fields.
    let text = serde_json::to_value(value).and_then(|value| serde_json::to_string_pretty(&value));
    (text.unwrap_or_default() + "\n").into_bytes()
}

/// The claim of the untrusted `document` about `artifacts`; what is wrong with it goes to `wrong`.
pub(super) fn read<P: DeserializeOwned>(
    document: &[u8],
    predicate_type: &str,
    artifacts: &[(String, Digest)],
    wrong: &mut Vec<String>,
) -> Option<P> {
    let statement: Statement<P> = match serde_json::from_slice(document) {
        Ok(statement) => statement,
        Err(error) => {
            wrong.push(format!("it is not a statement of this kind: {error}"));
            return None;
        }
    };
    if statement.kind != TYPE {
        wrong.push(format!("its `_type` is not {TYPE}"));
    }
    if statement.predicate_type != predicate_type {
        wrong.push(format!("its `predicateType` is not {predicate_type}"));
    }
    if statement.subject != subject(artifacts) {
        let names: Vec<_> = artifacts.iter().map(|(name, _)| format!("`{name}`")).collect();
        wrong.push(format!("its subject is not {} with their digests", names.join(" and ")));
    }
    Some(statement.predicate)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::publish) fn artifacts() -> [(String, Digest); 2] {
        ["hello-qemu.tar.gz", "hello-qemu.oci"].map(|name| (name.to_owned(), Digest::of(name)))
    }

    #[test]
    fn a_statement_about_other_files_is_told() {
        let document = document("x".into(), "https://example.org/p", &"claim", &artifacts()).content;
        let read = |document: &[u8], kind: &str, artifacts: &[_]| {
            let mut wrong = Vec::new();
            let claim: Option<String> = read(document, kind, artifacts, &mut wrong);
            (claim, wrong)
        };
        let kind = "https://example.org/p";
        assert_eq!(read(&document, kind, &artifacts()), (Some("claim".to_owned()), vec![]));
        let [first, mut second] = artifacts();
        second.1 = Digest::of("other");
        let wrong = read(&document, kind, &[first, second]).1;
        assert_eq!(wrong, ["its subject is not `hello-qemu.tar.gz` and `hello-qemu.oci` with their digests"]);
        assert_eq!(read(&document, "other", &artifacts()).1, ["its `predicateType` is not other"]);
        for end in 0..document.len() - 1 {
            assert_eq!(read(&document[..end], kind, &artifacts()).1.len(), 1, "cut at {end}");
        }
    }
}
