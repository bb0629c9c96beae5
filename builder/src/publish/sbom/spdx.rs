//! SPDX 2.3 in JSON, as far as it is used here (<https://spdx.github.io/spdx-spec/v2.3/>).

use crate::Digest;
use serde::{Deserialize, Serialize};

/// What nobody asserts.
pub(super) const NOASSERTION: &str = "NOASSERTION";
/// The document itself.
pub(super) const DOCUMENT: &str = "SPDXRef-DOCUMENT";

/// A document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(rename = "SPDXID")]
    pub(super) id: String,
    pub(super) spdx_version: String,
    pub(super) data_license: String,
    pub(super) name: String,
    pub(super) document_namespace: String,
    pub(super) creation_info: CreationInfo,
    pub(super) comment: String,
    pub(super) packages: Vec<Package>,
    pub(super) files: Vec<File>,
    pub(super) relationships: Vec<Relationship>,
}

/// Who made a document, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreationInfo {
    pub(super) created: String,
    pub(super) creators: Vec<String>,
}

/// Something that has a name, a version and a licence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Package {
    #[serde(rename = "SPDXID")]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version_info: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) package_file_name: Option<String>,
    pub(super) download_location: String,
    pub(super) files_analyzed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) package_verification_code: Option<VerificationCode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) checksums: Vec<Checksum>,
    pub(super) license_concluded: String,
    pub(super) license_declared: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) license_comments: Option<String>,
    pub(super) copyright_text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source_info: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) external_refs: Vec<ExternalRef>,
    pub(super) primary_package_purpose: Purpose,
}

/// The digest of the digests of a package's files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VerificationCode {
    #[serde(rename = "packageVerificationCodeValue")]
    pub(super) value: String,
}

/// What a package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub(super) enum Purpose {
    Application,
    Library,
    OperatingSystem,
    Firmware,
    Source,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    #[serde(rename = "SPDXID")]
    pub(super) id: String,
    pub(super) file_name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) file_types: Vec<String>,
    pub(super) checksums: Vec<Checksum>,
    pub(super) license_concluded: String,
    pub(super) copyright_text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
}

/// A digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Checksum {
    pub(super) algorithm: String,
    pub(super) checksum_value: String,
}

impl Checksum {
    pub(super) fn sha256(digest: Digest) -> Self {
        Self { algorithm: "SHA256".to_owned(), checksum_value: digest.to_string() }
    }

    pub(super) fn sha1(hex: &str) -> Self {
        Self { algorithm: "SHA1".to_owned(), checksum_value: hex.to_owned() }
    }
}

/// What a package is called elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExternalRef {
    pub(super) reference_category: String,
    pub(super) reference_type: String,
    pub(super) reference_locator: String,
}

impl ExternalRef {
    pub(super) fn purl(purl: String) -> Self {
        Self {
            reference_category: "PACKAGE-MANAGER".to_owned(),
            reference_type: "purl".to_owned(),
            reference_locator: purl,
        }
    }
}

/// What one thing is to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Relationship {
    pub(super) spdx_element_id: String,
    pub(super) relationship_type: Relation,
    pub(super) related_spdx_element: String,
}

/// How two things are related; the first is the subject of the verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Relation {
    Describes,
    Contains,
    StaticLink,
    GeneratedFrom,
    BuildToolOf,
    DocumentationOf,
}

impl Package {
    /// A package of which only this is known.
    pub(super) fn new(id: String, name: &str, purpose: Purpose) -> Self {
        Self {
            id,
            name: name.to_owned(),
            version_info: None,
            package_file_name: None,
            download_location: NOASSERTION.to_owned(),
            files_analyzed: false,
            package_verification_code: None,
            checksums: Vec::new(),
            license_concluded: NOASSERTION.to_owned(),
            license_declared: NOASSERTION.to_owned(),
            license_comments: None,
            copyright_text: NOASSERTION.to_owned(),
            summary: None,
            source_info: None,
            external_refs: Vec::new(),
            primary_package_purpose: purpose,
        }
    }

    /// The same under this licence, when it is known.
    pub(super) fn license(self, license: Option<&str>) -> Self {
        let license = license.unwrap_or(NOASSERTION).to_owned();
        Self { license_concluded: license.clone(), license_declared: license, ..self }
    }

    /// The same in this version.
    pub(super) fn version(self, version: &str) -> Self {
        Self { version_info: Some(version.to_owned()), ..self }
    }

    /// The same with a sentence on what it is.
    pub(super) fn summary(self, summary: &str) -> Self {
        Self { summary: Some(summary.to_owned()), ..self }
    }
}

/// An identifier of `kind` for `name`: letters, digits, `.` and `-` alone (SPDX 2.3, 7.2). What would be called the
/// same gets a digest behind it.
pub(super) fn id(kind: &str, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let text: String = name.chars().map(plain).collect();
    let end = if text == name { String::new() } else { format!("-{}", Digest::of(name).short(8)) };
    format!("SPDXRef-{kind}-{text}{end}")
}
