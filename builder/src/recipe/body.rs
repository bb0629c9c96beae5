//! Bodies of requests and answers: texts, or files where they are none.

use crate::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of a request. `P` is a path: as it is written, or resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[schemars(title = "a text or `{ file = \"…\" }`")]
pub enum Body<P = String> {
    /// This text.
    Text(String),
    /// The content of a file: `{ file = "picture.jpg" }`.
    File {
        /// The file, relative to the recipe's folder.
        file: P,
    },
}

/// The body of an answer. `P` is a path: as it is written, or resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[schemars(title = "a text, `{ regex = \"…\" }`, `{ file = \"…\" }` or `{ sha256 = \"…\" }`")]
pub enum Answer<P = String> {
    /// This text, which is all of it.
    Text(String),
    /// A regular expression, which is looked for in it: `{ regex = "[0-9]+ MiB" }`.
    Regex {
        /// The expression.
        regex: String,
    },
    /// The content of a file: `{ file = "small.png" }`.
    File {
        /// The file, relative to the recipe's folder.
        file: P,
    },
    /// What has this digest: `{ sha256 = "e3b0…" }`.
    Sha256 {
        /// The digest of all of it.
        sha256: Digest,
    },
}

impl<P> Body<P> {
    /// The same with another kind of path.
    pub(super) fn with<Q>(self, path: impl FnOnce(P) -> Q) -> Body<Q> {
        match self {
            Self::Text(text) => Body::Text(text),
            Self::File { file } => Body::File { file: path(file) },
        }
    }
}

impl<P> Answer<P> {
    /// The same with another kind of path.
    pub(super) fn with<Q>(self, path: impl FnOnce(P) -> Q) -> Answer<Q> {
        match self {
            Self::Text(text) => Answer::Text(text),
            Self::Regex { regex } => Answer::Regex { regex },
            Self::File { file } => Answer::File { file: path(file) },
            Self::Sha256 { sha256 } => Answer::Sha256 { sha256 },
        }
    }
}
