//! Lock files: `recipes/NAME.lock` beside a recipe says from which inputs its images were made and what came out.
//!
//! Inputs are locked by digest, compilers among them, outputs by digest for each target. A build that is held to
//! the lock tells everything that moved, from what to what; what comes out otherwise from the same inputs is a
//! failure of reproducibility, and told as that.

use crate::{
    Context, Digest, Result, Target, build, files,
    image::{Image, InputIdentity, Manifest},
    plan::{self, InputKind, Plan},
    recipe::Recipe,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

/// The version of the format.
const FORMAT: u32 = 1;
/// A lock file is never longer than this, in bytes.
const MOST: u64 = 4 << 20;
/// How many digits of a digest are shown: enough to compare by eye.
const DIGITS: usize = 16;

/// What a lock file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockFile {
    /// The version of this format: 1.
    pub format: u32,
    /// The recipe's name.
    pub name: String,
    /// The time that the images carry, in seconds since 1970.
    pub epoch: u64,
    /// All inputs of all targets, by name.
    pub inputs: BTreeMap<String, InputIdentity>,
    /// The targets, by name.
    pub targets: BTreeMap<String, Locked>,
}

/// What is locked of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Locked {
    /// The names of its inputs.
    pub inputs: BTreeSet<String>,
    /// The files of its image, with their digests.
    pub outputs: BTreeMap<String, Digest>,
}

/// Something that is not as it was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What it is called.
    pub name: String,
    /// What was locked, for a reader; none when there was nothing of that name.
    pub was: Option<String>,
    /// What is there; none when there is nothing any more.
    pub is: Option<String>,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = || "nothing".to_owned();
        let [was, is] = [&self.was, &self.is].map(|side| side.clone().unwrap_or_else(nothing));
        write!(f, "{}\n    locked  {was}\n    now     {is}", self.name)
    }
}

/// A lock does not hold, or there is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no lock file.
    #[error("{path}: there is no lock\n  help: `cargo xtask lock {recipe}` writes it, from what is here now")]
    Absent {
        /// Where it should be.
        path: PathBuf,
        /// The recipe, as a command line names it.
        recipe: String,
    },
    /// It does not say anything of this target.
    #[error(
        "{path}: target `{target}` is not locked\n  help: `cargo xtask lock {recipe} --target {target}` locks it too"
    )]
    Target {
        /// The lock file.
        path: PathBuf,
        /// The recipe, as a command line names it.
        recipe: String,
        /// The target.
        target: Target,
    },
    /// It is not one.
    #[error("{path}: this is no lock file: {why}\n  help: `cargo xtask lock {recipe}` writes it anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The recipe, as a command line names it.
        recipe: String,
        /// What is wrong.
        why: String,
    },
    /// Inputs are not those that were locked.
    #[error(
        "`{recipe}` for `{target}` is not what {path} locks: {} moved\n{}\n  help: put back what moved, or accept it: `cargo xtask lock {recipe}`, then look at `git diff`",
        inputs(.moved.len()),
        listed(.moved)
    )]
    Moved {
        /// The lock file.
        path: PathBuf,
        /// The recipe, as a command line names it.
        recipe: String,
        /// The target.
        target: Target,
        /// All that moved.
        moved: Vec<Moved>,
    },
    /// The inputs are the same, and yet the image is another one.
    #[error(
        "`{recipe}` for `{target}` does not come out as {path} says, though every input is the same: it is not reproducible\n{}\n  help: `cargo xtask repro {recipe} --target {target}` finds what it depends on",
        listed(.moved)
    )]
    NotReproducible {
        /// The lock file.
        path: PathBuf,
        /// The recipe, as a command line names it.
        recipe: String,
        /// The target.
        target: Target,
        /// The files that differ.
        moved: Vec<Moved>,
    },
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::NotReproducible { .. } => crate::ExitCode::NotReproducible,
    Error::Damaged { .. } => crate::ExitCode::Usage,
    Error::Absent { .. } | Error::Target { .. } | Error::Moved { .. } => crate::ExitCode::Failed,
});

fn inputs(count: usize) -> String {
    if count == 1 { "1 input".to_owned() } else { format!("{count} inputs") }
}

fn listed(moved: &[Moved]) -> String {
    moved.iter().map(|one| format!("  {one}")).collect::<Vec<_>>().join("\n")
}

/// Where the lock of a recipe lies: beside it.
pub fn path(recipe: &Recipe) -> PathBuf {
    recipe.path.with_extension("lock")
}

/// How a command line names the recipe.
fn named(ctx: &Context<'_>, recipe: &Recipe) -> String {
    match is_own(ctx, recipe) {
        true => recipe.function.name.clone(),
        false => crate::exec::quote(&recipe.path.to_string_lossy()),
    }
}

/// Whether the recipe is one of the checkout's, which are called by their names.
fn is_own(ctx: &Context<'_>, recipe: &Recipe) -> bool {
    recipe.path.parent() == Some(&ctx.project.recipes())
}

/// A lock that was written.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
    /// The targets that it locks.
    pub targets: Vec<Target>,
    /// Whether it says something else than before.
    pub changed: bool,
}

/// Builds the images of `recipe` for all its targets, for those that are locked already and for `further`, and
/// writes what they were made from and what came out.
pub fn lock(ctx: &Context<'_>, recipe: &Recipe, further: Option<Target>) -> Result<Written> {
    let path = path(recipe);
    let before = files::read_at_most(&path, MOST).ok();
    let old = before.as_ref().and_then(|text| parse(text).ok());
    let locked = |target: &Target| old.as_ref().is_some_and(|old| old.targets.contains_key(target.name()));
    let own = recipe.targets();
    let wanted = |target: &Target| own.contains(target) || Some(*target) == further || locked(target);
    let targets: Vec<Target> = Target::ALL.iter().copied().filter(wanted).collect();
    let mut manifests = Vec::new();
    for target in &targets {
        let image = build::build(ctx, &plan::plan(ctx, recipe, *target)?)?;
        let outputs = image.members.iter().map(|member| (member.name.clone(), member.sha256)).collect();
        manifests.push((*target, Manifest::read(&image.dir)?, outputs));
    }
    // The place of a checkout is none of the lock's business.
    let file = recipe.path.file_name().unwrap_or_default().to_string_lossy();
    let name = if is_own(ctx, recipe) { recipe.function.name.clone() } else { file.into_owned() };
    let text = LockFile::of(&recipe.function.name, manifests).text(&name);
    let changed = before.as_deref() != Some(text.as_bytes());
    if changed {
        files::replace(&path, &text).map_err(Error::from)?;
    }
    Ok(Written { size: text.len() as u64, sha256: Digest::of(&text), path, targets, changed })
}

/// Plans the image of `recipe` for `target`, and builds it from what its lock says and nothing else.
///
/// # Errors
/// What moved, all of it, before anything is built; and what came out otherwise, with exit code 5.
pub fn build(ctx: &Context<'_>, recipe: &Recipe, target: Target) -> Result<(Plan, Image)> {
    let held = Held { path: path(recipe), recipe: named(ctx, recipe), target };
    let lock = held.read()?;
    let plan = plan::plan(ctx, recipe, target)?;
    held.inputs(&lock, plan.epoch, &identities(&plan))?;
    let image = build::build(ctx, &plan)?;
    // The build plans anew when a source is saved meanwhile: what counts is what the image was made from.
    let manifest = Manifest::read(&image.dir)?;
    held.inputs(&lock, manifest.epoch, &manifest.inputs)?;
    let outputs = image.members.iter().map(|member| (member.name.clone(), member.sha256)).collect();
    held.outputs(&lock, &outputs)?;
    Ok((plan, image))
}

fn identities(plan: &Plan) -> BTreeMap<String, InputIdentity> {
    plan.inputs.iter().map(|input| (input.name.clone(), InputIdentity::of(input))).collect()
}

/// One target of one recipe, held to a lock.
struct Held {
    path: PathBuf,
    recipe: String,
    target: Target,
}

impl Held {
    fn read(&self) -> Result<LockFile, Error> {
        let (path, recipe) = (self.path.clone(), self.recipe.clone());
        if !path.is_file() {
            return Err(Error::Absent { path, recipe });
        }
        let lock = parse(&files::read_at_most(&path, MOST)?);
        let lock = lock.map_err(|why| Error::Damaged { path: path.clone(), recipe: recipe.clone(), why })?;
        match lock.targets.contains_key(self.target.name()) {
            true => Ok(lock),
            false => Err(Error::Target { path, recipe, target: self.target }),
        }
    }

    /// Holds that the inputs are those that are locked.
    fn inputs(
        &self,
        lock: &LockFile,
        epoch: u64,
        now: &BTreeMap<String, InputIdentity>,
    ) -> Result<(), Error> {
        let mut moved = lock.moved(self.target, now);
        if epoch != lock.epoch {
            let shown = |epoch: u64| Some(format!("{epoch} seconds since 1970"));
            moved.push(Moved {
                name: "the epoch (SOURCE_DATE_EPOCH)".to_owned(),
                was: shown(lock.epoch),
                is: shown(epoch),
            });
        }
        if moved.is_empty() {
            return Ok(());
        }
        let (path, recipe) = (self.path.clone(), self.recipe.clone());
        Err(Error::Moved { path, recipe, target: self.target, moved })
    }

    /// Holds that what came out is what is locked.
    fn outputs(&self, lock: &LockFile, now: &BTreeMap<String, Digest>) -> Result<(), Error> {
        let Some(locked) = lock.targets.get(self.target.name()) else { return Ok(()) };
        let names: BTreeSet<_> = locked.outputs.keys().chain(now.keys()).collect();
        let shown = |digest: Option<&Digest>| digest.map(|digest| format!("sha256 {digest}"));
        let moved = names.into_iter().filter(|name| locked.outputs.get(*name) != now.get(*name));
        let moved: Vec<_> = moved
            .map(|name| Moved {
                name: name.clone(),
                was: shown(locked.outputs.get(name)),
                is: shown(now.get(name)),
            })
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let (path, recipe) = (self.path.clone(), self.recipe.clone());
        Err(Error::NotReproducible { path, recipe, target: self.target, moved })
    }
}

fn parse(text: &[u8]) -> Result<LockFile, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let lock: LockFile =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().replace('\n', "\n  "))?;
    if lock.format != FORMAT {
        return Err(format!("its format is {}, and this Selkie knows {FORMAT}", lock.format));
    }
    Ok(lock)
}

impl LockFile {
    fn of(name: &str, targets: Vec<(Target, Manifest, BTreeMap<String, Digest>)>) -> Self {
        let mut lock = Self {
            format: FORMAT,
            name: name.to_owned(),
            epoch: targets.first().map_or(0, |(_, manifest, _)| manifest.epoch),
            inputs: BTreeMap::new(),
            targets: BTreeMap::new(),
        };
        for (target, manifest, outputs) in targets {
            let inputs = manifest.inputs.keys().cloned().collect();
            lock.targets.insert(target.name().to_owned(), Locked { inputs, outputs });
            lock.inputs.extend(manifest.inputs);
        }
        lock
    }

    /// The text of the file: TOML, sorted, with a comment that says what it is.
    fn text(&self, recipe: &str) -> String {
        let table = toml::to_string_pretty(self).unwrap_or_default();
        format!(
            "# What the images of `{name}` are made from and what comes out, by digest. `build-image --locked` holds a\n\
             # build to it. Compilers are inputs: it holds on hosts that have the same ones. Generated; write it anew by:\n\
             #   cargo xtask lock {recipe}\n{table}",
            name = self.name
        )
    }

    /// The inputs of `target` that are not those that are there `now`. The digest of all sources together is left
    /// out when it only follows from one of them.
    fn moved(&self, target: Target, now: &BTreeMap<String, InputIdentity>) -> Vec<Moved> {
        let nothing = BTreeSet::new();
        let locked = self.targets.get(target.name()).map_or(&nothing, |locked| &locked.inputs);
        let names: BTreeSet<&String> = locked.iter().chain(now.keys()).collect();
        let was = |name: &String| self.inputs.get(name).filter(|_| locked.contains(name));
        let moved = names.into_iter().filter(|name| was(name) != now.get(*name));
        let moved: Vec<_> = moved.map(|name| (name, was(name), now.get(name))).collect();
        let is_source = |(_, was, is): &&(&String, Option<&InputIdentity>, Option<&InputIdentity>)| {
            was.or(*is).is_some_and(|input| input.kind == InputKind::Source)
        };
        let several = moved.iter().filter(is_source).count() > 1;
        let moved = moved.into_iter().filter(|(name, ..)| !several || name.as_str() != plan::SOURCES);
        moved
            .map(|(name, was, is)| Moved {
                name: format!("{} `{name}`", kind(was.or(is))),
                was: was.map(shown),
                is: is.map(shown),
            })
            .collect()
    }
}

/// What kind of input it is, for a reader.
fn kind(input: Option<&InputIdentity>) -> String {
    let kind = input.and_then(|input| serde_json::to_value(input.kind).ok());
    kind.and_then(|kind| kind.as_str().map(|kind| kind.replace('-', " "))).unwrap_or_default()
}

/// Version and digest of an input.
fn shown(input: &InputIdentity) -> String {
    let version = input.version.iter().filter_map(|version| version.lines().next());
    let digest = format!("sha256 {}", input.digest.short(DIGITS));
    version.map(str::to_owned).chain([digest]).collect::<Vec<_>>().join(", ")
}

/// Whether `name` in `folder` is the lock of a recipe that lies there: it is no source.
pub(crate) fn is_lock(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "lock")
        && path.file_name().is_some_and(|name| name != "Cargo.lock")
        && path.with_extension("toml").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExitCode;

    fn input(kind: InputKind, text: &str, version: Option<&str>) -> InputIdentity {
        InputIdentity { kind, digest: Digest::of(text), version: version.map(str::to_owned) }
    }

    fn inputs() -> BTreeMap<String, InputIdentity> {
        [
            ("cc", input(InputKind::Tool, "cc", Some("cc 12.2.0\nCopyright"))),
            ("recipe", input(InputKind::Recipe, "recipe", None)),
            (plan::SOURCES, input(InputKind::Source, "all", None)),
            ("source functions/hello", input(InputKind::Source, "hello", None)),
        ]
        .map(|(name, input)| (name.to_owned(), input))
        .into()
    }

    fn outputs() -> BTreeMap<String, Digest> {
        [("kernel", "k"), ("root-task", "r")].map(|(name, text)| (name.to_owned(), Digest::of(text))).into()
    }

    fn lock() -> LockFile {
        let locked = Locked { inputs: inputs().into_keys().collect(), outputs: outputs() };
        let targets = [("qemu".to_owned(), locked)].into();
        LockFile { format: FORMAT, name: "hello".into(), epoch: 0, inputs: inputs(), targets }
    }

    fn held() -> Held {
        Held { path: "recipes/hello.lock".into(), recipe: "hello".into(), target: Target::Qemu }
    }

    #[test]
    fn what_is_written_is_read_back_and_is_sorted() {
        let text = lock().text("hello");
        assert_eq!(parse(text.as_bytes()).unwrap(), lock());
        assert!(
            text.starts_with("# What the images of `hello`") && text.contains("cargo xtask lock hello\n")
        );
        assert_eq!(text, lock().text("hello"));
        let tables =
            text.lines().filter(|line| line.starts_with("[inputs.")).map(|line| line.replace('"', ""));
        let tables: Vec<_> = tables.map(|table| table.trim_end_matches(']').to_owned()).collect();
        assert!(tables.is_sorted() && tables.len() == 4, "{tables:?}");
    }

    #[test]
    fn all_that_moved_is_told_with_name_version_and_digest() {
        held().inputs(&lock(), 0, &inputs()).unwrap();
        let mut now = inputs();
        now.insert("cc".into(), input(InputKind::Tool, "other", Some("cc 13.1.0")));
        now.remove("recipe");
        now.insert("xorriso".into(), input(InputKind::Tool, "x", Some("1.5")));
        now.insert(plan::SOURCES.into(), input(InputKind::Source, "all 2", None));
        now.insert("source functions/hello".into(), input(InputKind::Source, "hello 2", None));
        let error = held().inputs(&lock(), 7, &now).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Failed);
        let short = |text: &str| Digest::of(text).short(DIGITS);
        assert_eq!(
            error.to_string(),
            format!(
                "`hello` for `qemu` is not what recipes/hello.lock locks: 5 inputs moved\n\
                 \x20 tool `cc`\n    locked  cc 12.2.0, sha256 {}\n    now     cc 13.1.0, sha256 {}\n\
                 \x20 recipe `recipe`\n    locked  sha256 {}\n    now     nothing\n\
                 \x20 source `source functions/hello`\n    locked  sha256 {}\n    now     sha256 {}\n\
                 \x20 tool `xorriso`\n    locked  nothing\n    now     1.5, sha256 {}\n\
                 \x20 the epoch (SOURCE_DATE_EPOCH)\n    locked  0 seconds since 1970\n    now     7 seconds since 1970\n\
                 \x20 help: put back what moved, or accept it: `cargo xtask lock hello`, then look at `git diff`",
                short("cc"),
                short("other"),
                short("recipe"),
                short("hello"),
                short("hello 2"),
                short("x")
            )
        );
    }

    #[test]
    fn other_outputs_from_the_same_inputs_are_a_failure_of_their_own() {
        held().outputs(&lock(), &outputs()).unwrap();
        let mut now = outputs();
        now.insert("kernel".into(), Digest::of("other"));
        let error = held().outputs(&lock(), &now).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::NotReproducible);
        let text = error.to_string();
        assert!(text.contains("kernel\n    locked  sha256") && !text.contains("root-task\n"), "{text}");
    }

    #[test]
    fn what_is_no_lock_file_is_told() {
        for (text, said) in [
            ("", "missing field"),
            ("format = 2\nname = 'x'\nepoch = 0\n[inputs]\n[targets]\n", "its format is 2"),
            ("format = 1\nname = 'x'\nepoch = 0\nmore = 1\n[inputs]\n[targets]\n", "unknown field"),
            ("[[", ""),
        ] {
            let why = parse(text.as_bytes()).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn the_lock_of_a_recipe_is_no_source() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["hello.toml", "Cargo.toml"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert!(is_lock(&dir.path().join("hello.lock")));
        assert!(!is_lock(&dir.path().join("Cargo.lock")) && !is_lock(&dir.path().join("other.lock")));
    }
}
