//! How an image was built, as an in-toto statement with the predicate of SLSA provenance, version 1
//! (<https://slsa.dev/spec/v1.0/provenance>). `docs/provenance.md` says what each field means.
//!
//! It has no times and no name of the host, so that the same build gives the same bytes.

use super::{
    Document, Published, Subject,
    statement::{self, Resource},
};
use crate::{
    Context, Digest, Result,
    image::{InputIdentity, Manifest},
    plan::InputKind,
    root_task::LinkedCrate,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, env};

/// The predicate's type.
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// How images are built: `cargo xtask build-image`, as `docs/provenance.md` describes it.
const BUILD_TYPE: &str = "urn:selkie:build-image:v1";
/// Who built it, when nobody says: somebody's own machine.
const LOCAL: &str = "urn:selkie:local";
/// The variable that says who builds, for instance the address of a workflow.
const BUILDER_ID: &str = "SELKIE_BUILDER_ID";
/// How Selkie makes the digests of folders, tools and settings, as `explain` shows them.
const OWN: &str = "selkieV1";

/// Nothing can be said of who built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no URI.
    #[error(
        "{BUILDER_ID} is `{0}`, which is not a URI\n  help: name who builds by an address that is theirs, for instance `https://example.org/builds`; or unset the variable"
    )]
    BuilderId(String),
}

crate::exit_code!(Error, Usage);

/// The predicate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Provenance {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BuildDefinition {
    build_type: String,
    external_parameters: Value,
    internal_parameters: Value,
    resolved_dependencies: Vec<Resource>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunDetails {
    builder: Builder,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Builder {
    id: String,
    version: BTreeMap<String, String>,
}

/// What a user chose: the recipe with its defaults, the target, the kernel config, the time.
fn external(manifest: &Manifest) -> Value {
    json!({
        "recipe": manifest.recipe,
        "target": manifest.target,
        "kernelConfig": manifest.kernel.config,
        "epoch": manifest.epoch,
    })
}

/// What followed from it.
fn internal(manifest: &Manifest) -> Value {
    json!({ "key": manifest.key, "kernelOptions": manifest.kernel.options, "kernelOverlays": manifest.kernel.overlays })
}

/// The inputs that the manifest names.
fn inputs(manifest: &Manifest) -> Vec<Resource> {
    manifest.inputs.iter().map(|(name, input)| resource(name, input)).collect()
}

fn resource(name: &str, InputIdentity { kind, digest, version }: &InputIdentity) -> Resource {
    let how = match kind {
        InputKind::Overlay
        | InputKind::Era
        | InputKind::PrebuiltKernel
        | InputKind::Pins
        | InputKind::SourcePackage => statement::SHA256,
        _ => OWN,
    };
    let digest = statement::digest(how, *digest);
    let named = Resource { name: name.to_owned(), digest, ..Resource::default() };
    let kind = serde_json::to_value(kind).unwrap_or_default();
    let described = named.with("kind", kind);
    match version {
        Some(version) => described.with("version", version.as_str()),
        None => described,
    }
}

/// What came from a registry, by the digest of the file that was fetched.
fn fetched(crates: &[LinkedCrate]) -> Vec<Resource> {
    let from_registry = crates.iter().filter_map(|one| {
        let digest = statement::digest(statement::SHA256, one.checksum?);
        let named =
            Resource { name: format!("crate {}", one.name), uri: one.purl()?, digest, ..Resource::default() };
        Some(named.with("kind", "crate").with("version", one.version.as_str()))
    });
    from_registry.collect()
}

/// Who builds: what `SELKIE_BUILDER_ID` says, else that it was somebody's own machine.
fn builder_id(said: Option<String>) -> Result<String, Error> {
    let Some(id) = said.filter(|id| !id.is_empty()) else { return Ok(LOCAL.to_owned()) };
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let is_uri = id.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
        && id.chars().all(|c| c.is_ascii_graphic() && !"<>\"{}|\\^`".contains(c));
    if is_uri { Ok(id) } else { Err(Error::BuilderId(id)) }
}

fn provenance(manifest: &Manifest, crates: &[LinkedCrate], builder_id: String) -> Provenance {
    let mut resolved_dependencies = inputs(manifest);
    resolved_dependencies.extend(fetched(crates));
    Provenance {
        build_definition: BuildDefinition {
            build_type: BUILD_TYPE.to_owned(),
            external_parameters: external(manifest),
            internal_parameters: internal(manifest),
            resolved_dependencies,
        },
        run_details: RunDetails {
            builder: Builder {
                id: builder_id,
                version: [("selkie".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
            },
        },
    }
}

/// The file's name.
pub fn file(id: &str) -> String {
    format!("{id}.provenance.json")
}

/// The statement about how `subject` was built.
///
/// # Errors
/// When `SELKIE_BUILDER_ID` is no URI, or Cargo cannot name the crates.
pub fn statement(
    ctx: &Context<'_>,
    subject: &Subject<'_>,
    artifacts: &[(String, Digest)],
) -> Result<Document> {
    let id = builder_id(env::var_os(BUILDER_ID).map(|id| id.to_string_lossy().into_owned()))?;
    let predicate = provenance(subject.manifest, &super::parts::Crates::of(ctx, subject)?.all(), id);
    Ok(statement::document(file(&subject.id()), PREDICATE, &predicate, artifacts))
}

/// What is wrong with the untrusted `document` about `published`.
pub fn check(published: &Published<'_>, document: &[u8]) -> Vec<String> {
    let mut wrong = Vec::new();
    let predicate = statement::read(document, PREDICATE, published.artifacts, &mut wrong);
    let Some(Provenance { build_definition: found, run_details }) = predicate else { return wrong };
    let manifest = published.manifest;
    if found.build_type != BUILD_TYPE {
        wrong.push(format!("its build type is not {BUILD_TYPE}"));
    }
    if found.external_parameters != external(manifest) {
        wrong.push("recipe, target, kernel config or epoch are not those of the manifest".to_owned());
    }
    if found.internal_parameters != internal(manifest) {
        wrong.push("key, options or overlays are not those of the manifest".to_owned());
    }
    let expected = inputs(manifest);
    let (inputs, crates) =
        found.resolved_dependencies.split_at(expected.len().min(found.resolved_dependencies.len()));
    if inputs != expected {
        wrong.push("the inputs are not those of the manifest".to_owned());
    }
    let is_crate = |one: &Resource| {
        let digest = one.digest.get(statement::SHA256).map(|digest| digest.parse::<Digest>());
        one.uri.starts_with("pkg:cargo/") && matches!(digest, Some(Ok(_)))
    };
    if let Some(other) = crates.iter().find(|one| !is_crate(one)) {
        wrong.push(format!(
            "`{}` is no input that the manifest names, and no crate of a registry",
            other.name
        ));
    }
    if builder_id(Some(run_details.builder.id)).is_err() {
        wrong.push("who built it is not named by a URI".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    fn document(id: &str) -> Vec<u8> {
        let predicate = provenance(&sample::manifest(), &sample::crates().all(), id.to_owned());
        statement::document(file("hello-qemu"), PREDICATE, &predicate, &sample::artifacts()).content
    }

    #[test]
    fn the_same_build_gives_the_same_statement() {
        sample::golden("hello-qemu.provenance.json", &document(LOCAL));
    }

    #[test]
    fn a_statement_about_another_build_is_told() {
        let definition = |rest: &str| format!("/predicate/buildDefinition/{rest}");
        let check = |document: &[u8]| sample::published(|published| check(published, document));
        let another = Digest::of("another").to_string();
        sample::holds(
            &document(LOCAL),
            check,
            &[
                ("/_type", json!("x"), "`_type`"),
                ("/predicateType", json!("x"), "`predicateType`"),
                ("/subject/0/digest/sha256", json!(another), "subject"),
                ("/subject/1/name", json!("x"), "subject"),
                (&definition("buildType"), json!("x"), "build type"),
                (&definition("externalParameters/target"), json!("process"), "not those of the manifest"),
                (&definition("externalParameters/epoch"), json!(1), "not those of the manifest"),
                (&definition("internalParameters/key"), json!(another), "key, options"),
                (&definition("resolvedDependencies/0/digest/selkieV1"), json!(another), "the inputs are not"),
                (&definition("resolvedDependencies/2/digest"), json!({}), "the inputs are not"),
                (&definition("resolvedDependencies/3/uri"), json!("x"), "`crate log` is no input"),
                (&definition("resolvedDependencies"), json!([]), "the inputs are not"),
                ("/predicate/runDetails/builder/id", json!("me"), "not named by a URI"),
                ("/predicate/runDetails/builder", json!({}), "not a statement of this kind"),
                ("/predicate", json!(null), "not a statement of this kind"),
            ],
        );
    }

    #[test]
    fn who_builds_is_named_by_a_uri() {
        assert_eq!(builder_id(None).unwrap(), LOCAL);
        assert_eq!(builder_id(Some(String::new())).unwrap(), LOCAL);
        for good in ["https://example.org/a/b@refs/heads/main", "urn:x:y", "tag:example.org,2026:b"] {
            assert_eq!(builder_id(Some(good.into())).unwrap(), good);
        }
        for bad in ["me", "https:", ":x", "1a:b", "https://a b", "https://a/\u{e9}", "x:<y>"] {
            let text = builder_id(Some(bad.into())).unwrap_err().to_string();
            assert!(text.contains("help: name who builds"), "{text}");
        }
    }
}
