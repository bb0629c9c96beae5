//! Whether an image is the same wherever, whenever and by whomever it is built: it is built again for each
//! variation, from nothing but its inputs, and compared with the first build.
//!
//! All builds but three happen in one folder, one after another, with a clock that stands still and without
//! address randomisation, so that each row varies what it names and nothing else. Each is a process of its own
//! ([`inside`]) in name spaces of its own; no right and no package is needed beyond what every Linux has, and
//! what the host does not let us vary is a row that says so.

pub(crate) mod difference;
pub mod inside;
pub(crate) mod tree;
mod variation;

pub use difference::Difference;
pub use inside::Outcome;
pub use variation::{Variation, link_registry, noise};

use crate::{
    Context, Error, ExitCode, Result, Target,
    exec::Tool,
    files,
    kernel_config::UserSource,
    memory,
    plan::{self, Plan},
    recipe::{Recipe, RootTaskSource},
    root_task,
};
use inside::{Pair, Spec, Ways};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;
use variation::{first_line, passwd_of_another};

/// How much later it is in the row `time`: another year, month, day, hour, minute and second.
const LATER: u64 = 400 * 86400 + 5 * 3600 + 17 * 60 + 23;
/// The source of the clock that stands still.
const CLOCK: &str = include_str!("../../data/repro/clock.c");
/// The first build, in progress and in folders.
const FIRST: &str = "first";

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program of the command line, which is started for each build.
    pub xtask: PathBuf,
    /// What is varied, each in a build of its own.
    pub vary: Vec<Variation>,
    /// Where the images are kept that differ, and the first.
    pub keep: Option<PathBuf>,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The recipe's name.
    pub name: String,
    /// The targets whose images were compared.
    pub targets: Vec<Target>,
    /// One row for each variation.
    pub rows: Vec<Row>,
    /// What is to be known of all rows.
    pub notes: Vec<String>,
}

/// One variation.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// What was varied.
    pub variation: Variation,
    /// How.
    pub how: String,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What came of a variation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// All images are the same, to the last byte.
    Same,
    /// They are not.
    Different {
        /// The first target whose image differs.
        target: Target,
        /// Where.
        #[serde(flatten)]
        first: Difference,
    },
    /// The first build succeeds; this one does not.
    Fails {
        /// What was said.
        why: String,
    },
    /// It cannot be varied here.
    Skip {
        /// Why.
        reason: String,
    },
}

impl Report {
    /// Whether any build differs from the first.
    pub fn differs(&self) -> bool {
        let differs = |row: &Row| matches!(row.verdict, Verdict::Different { .. } | Verdict::Fails { .. });
        self.rows.iter().any(differs)
    }
}

/// Builds the images of `recipe` for `targets` once, and once more for each variation.
///
/// # Errors
/// When the first build fails, or the user stops it. What a variation makes of a build is a row.
pub fn run(ctx: &Context<'_>, options: &Options, recipe: &Recipe, targets: &[Target]) -> Result<Report> {
    if let Some(keep) = options.keep.as_ref().filter(|keep| keep.exists()) {
        // Folders of an earlier run, or of somebody else, would be taken for results of this one.
        if !files::sorted_entries(keep)?.is_empty() {
            let text = format!(
                "{}: this folder is not empty\n  help: choose another one with `--keep`",
                keep.display()
            );
            return Err(Error::new(ExitCode::Usage, text));
        }
    }
    let lab = Lab::new(ctx, options, recipe, targets)?;
    let mut notes = Vec::new();
    let loose = [
        ("the clock goes on in every build", lab.now.as_ref().err()),
        ("addresses are random in every build", lab.still.as_ref().err()),
    ];
    for (what, reason) in loose.into_iter().filter_map(|(what, reason)| Some((what, reason?))) {
        let note = format!("{what}: {reason}");
        ctx.progress.note(&note);
        notes.push(note);
    }
    lab.first()?;
    let rows = options.vary.iter().map(|variation| lab.row(*variation)).collect::<Result<Vec<_>>>()?;
    let keep = rows.iter().any(|row| matches!(row.verdict, Verdict::Different { .. }));
    if options.keep.is_some() && !keep {
        files::remove(&lab.images.join(FIRST))?;
    }
    Ok(Report { name: recipe.function.name.clone(), targets: targets.to_vec(), rows, notes })
}

/// Where all builds of one run happen.
struct Lab<'a> {
    ctx: &'a Context<'a>,
    options: &'a Options,
    recipe: &'a Recipe,
    plans: Vec<Plan>,
    scratch: TempDir,
    /// For the folder with a short path.
    short: TempDir,
    /// The folder that nearly all builds happen in.
    folder: PathBuf,
    /// Where the images of each build are kept.
    images: PathBuf,
    /// What the folder is a copy of: the folder above all inputs.
    above: PathBuf,
    /// What is copied: the checkout, and what lies outside of it.
    roots: Vec<PathBuf>,
    /// What stands before `/etc` so that the clock stands still; or why it does not.
    now: Result<PathBuf, String>,
    /// The same, later.
    later: Result<PathBuf, String>,
    /// Whether addresses can be had that are not random; or why not.
    still: Result<(), String>,
}

impl<'a> Lab<'a> {
    fn new(
        ctx: &'a Context<'a>,
        options: &'a Options,
        recipe: &'a Recipe,
        targets: &[Target],
    ) -> Result<Self> {
        let plans = targets.iter().map(|target| plan::plan(ctx, recipe, *target));
        let plans = plans.collect::<Result<Vec<_>>>()?;
        let temporary = |prefix: &str| {
            let made = tempfile::Builder::new().prefix(prefix).tempdir();
            made.map_err(files::Error::at("make a folder in", &env::temp_dir()))
        };
        let scratch = temporary("selkie-repro-")?;
        let roots = roots(ctx, recipe, &plans)?;
        let mut lab = Self {
            folder: scratch.path().join("build"),
            images: options.keep.clone().unwrap_or_else(|| scratch.path().join("images")),
            above: above(&roots),
            short: temporary("s")?,
            now: Err(String::new()),
            later: Err(String::new()),
            still: Ok(()),
            ctx,
            options,
            recipe,
            plans,
            scratch,
            roots,
        };
        // What is saved meanwhile is no variation.
        for root in &lab.roots {
            tree::copy(root, &lab.snapshot(root), &tree::Made::default())?;
        }
        // Not a result: builds get the time that it is, and one later.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        lab.now = lab.clock("now", now);
        lab.later = lab.now.clone().and_then(|_| lab.clock("later", now + LATER));
        let still = lab.tool("setarch").args(["--addr-no-randomize", "true"]).run(&ctx.cancel);
        lab.still = still.map(drop).map_err(|error| first_line(&format!("setarch: {error}")));
        Ok(lab)
    }

    fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Where `path` lies in the copy that all builds copy from.
    fn snapshot(&self, path: &Path) -> PathBuf {
        self.copy_of(&self.scratch().join("sources"), path)
    }

    /// A program of the host, with PATH and nothing else.
    fn tool(&self, name: &str) -> Tool {
        Tool::new(name, self.scratch())
    }

    /// Where `path` lies in the copy in `folder`.
    fn copy_of(&self, folder: &Path, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.above) {
            Ok(inside) if inside.as_os_str().is_empty() => folder.to_owned(),
            Ok(inside) => folder.join(inside),
            Err(_) => path.to_owned(),
        }
    }

    /// A build in `folder` with nothing varied. `name` is that of its images and its log.
    fn spec(&self, name: &str, folder: &Path) -> Spec {
        let checkout = self.copy_of(folder, &self.ctx.project.root);
        let out = checkout.join("out");
        let python = Path::new(".cache/steps/python");
        let results = self.plans.iter().map(|plan| Pair {
            from: out.join(&plan.name).join(plan.target.name()),
            to: self.images.join(name).join(plan.target.name()),
        });
        let own = self.scratch().join("python");
        let warm = if own.is_dir() { own.clone() } else { self.ctx.project.out.join(python) };
        let kept = Pair { from: out.join(python), to: own };
        Spec {
            folder: folder.to_owned(),
            copies: self
                .roots
                .iter()
                .map(|root| Pair { from: self.snapshot(root), to: self.copy_of(folder, root) })
                .collect(),
            warm: Some(Pair { from: warm, to: out.join(python) }),
            order: self.scratch().join("order"),
            ways: Ways { umask: 0o022, etc: self.now.clone().ok(), ..Ways::default() },
            env: environment(),
            wrapper: match self.still {
                Ok(()) => ["setarch", "--addr-no-randomize"].map(str::to_owned).into(),
                Err(_) => Vec::new(),
            },
            commands: self.plans.iter().map(|plan| self.command(folder, &checkout, &out, plan)).collect(),
            results: results.chain([kept].into_iter().filter(|_| name == FIRST)).collect(),
            log: self.scratch().join(format!("{name}.log")),
        }
    }

    /// The command that builds one image.
    fn command(&self, folder: &Path, checkout: &Path, out: &Path, plan: &Plan) -> Vec<String> {
        let recipe = self.copy_of(folder, &self.recipe.path);
        let shown = |path: &Path| path.display().to_string();
        let mut words = vec![shown(&self.options.xtask), "--checkout".into(), shown(checkout)];
        words.extend(["--out".into(), shown(out), "build-image".into(), shown(&recipe)]);
        words.extend(["--target".into(), plan.target.to_string()]);
        words.extend(["--kernel-config".into(), self.recipe.kernel.clone()]);
        match &self.recipe.kernel_source {
            Some(UserSource::Tree(tree)) => {
                words.extend(["--kernel-source".into(), shown(&self.copy_of(folder, tree))]);
            }
            Some(UserSource::Prefix(prefix)) => {
                words.extend(["--kernel-prefix".into(), shown(&self.copy_of(folder, prefix))]);
            }
            None => {}
        }
        // It is not copied: a rumprun tree works only where it was built.
        if let Some(tree) = &plan.rumprun {
            words.extend(["--rumprun".into(), shown(&tree.root)]);
        }
        words
    }

    /// The build that all others are compared with.
    fn first(&self) -> Result<()> {
        let name = self.recipe.function.name.as_str();
        self.ctx.progress.begin(FIRST);
        let outcome = self.build(FIRST, &self.spec(FIRST, &self.folder));
        self.ctx
            .progress
            .end(FIRST, if matches!(outcome, Ok(Outcome::Built(_))) { "built" } else { "failed" });
        let failed =
            |why: &str| Error::new(ExitCode::Failed, format!("`{name}` cannot be built in a copy: {why}"));
        match outcome? {
            Outcome::Built(_) => Ok(()),
            Outcome::Failed(why) | Outcome::Impossible(why) => Err(failed(&why)),
        }
    }

    /// One variation.
    fn row(&self, variation: Variation) -> Result<Row> {
        let name = variation.name();
        self.ctx.progress.begin(name);
        let row = self.judged(variation);
        let note = match row.as_ref().map(|row| &row.verdict) {
            Ok(Verdict::Same) => "same".to_owned(),
            Ok(Verdict::Different { first, .. }) => format!("DIFFERENT: {first}"),
            Ok(Verdict::Fails { .. }) => "FAILS".to_owned(),
            Ok(Verdict::Skip { reason }) => format!("SKIP: {reason}"),
            Err(_) => "failed".to_owned(),
        };
        self.ctx.progress.end(name, &note);
        row
    }

    fn judged(&self, variation: Variation) -> Result<Row> {
        let (spec, mut how) = match self.vary(variation) {
            Ok(varied) => varied,
            Err(reason) => {
                let verdict = Verdict::Skip { reason };
                return Ok(Row { variation, how: String::new(), verdict });
            }
        };
        let verdict = match self.build(variation.name(), &spec)? {
            Outcome::Impossible(reason) => Verdict::Skip { reason },
            Outcome::Failed(why) => Verdict::Fails { why },
            Outcome::Built(said) => {
                how.push_str(&said.unwrap_or_default());
                self.compare(variation)?
            }
        };
        if !matches!(verdict, Verdict::Different { .. }) {
            files::remove(&self.images.join(variation.name()))?;
        }
        Ok(Row { variation, how, verdict })
    }

    /// The images of a variation beside the first.
    fn compare(&self, variation: Variation) -> Result<Verdict> {
        for plan in &self.plans {
            let of = |build: &str| self.images.join(build).join(plan.target.name());
            if let Some(first) = difference::of_images(&of(FIRST), &of(variation.name()))? {
                return Ok(Verdict::Different { target: plan.target, first });
            }
        }
        Ok(Verdict::Same)
    }

    /// Has a process of its own do a build, and removes what it leaves.
    fn build(&self, name: &str, spec: &Spec) -> Result<Outcome> {
        let file = self.scratch().join(format!("{name}.json"));
        memory::store(&file, spec)?;
        files::remove(&self.images.join(name))?;
        let tool = Tool::new(&self.options.xtask, self.scratch());
        let tool = env::vars_os().fold(tool, |tool, (name, value)| tool.env(name, value));
        let ran = tool.args(["--format", "json", "repro", "--inside"]).arg(&file).run(&self.ctx.cancel);
        let removed = files::remove(&spec.folder);
        let output = ran.map_err(|error| Error::new(error.exit_code(), error))?;
        removed?;
        serde_json::from_str(&output.stdout).map_err(|error| {
            Error::new(ExitCode::Failed, format!("a build of `repro` does not say how it went: {error}"))
        })
    }

    /// A folder before `/etc` with which the clock stands still at `seconds`; or why it does not.
    fn clock(&self, name: &str, seconds: u64) -> Result<PathBuf, String> {
        let made = self.clock_library(name, seconds).map_err(|error| first_line(&error.to_string()))?;
        let spec = Spec {
            folder: self.folder.clone(),
            ways: Ways { umask: 0o022, etc: Some(made.clone()), ..Ways::default() },
            commands: vec![
                ["sh", "-c", &format!("test \"$(date +%s)\" = {seconds}")].map(str::to_owned).into(),
            ],
            log: self.scratch().join("clock.log"),
            ..Spec::default()
        };
        match self.build("clock", &spec).map_err(|error| error.to_string())? {
            Outcome::Built(_) => Ok(made),
            Outcome::Failed(_) => Err("programs do not load what /etc/ld.so.preload names".to_owned()),
            Outcome::Impossible(reason) => Err(reason),
        }
    }

    fn clock_library(&self, name: &str, seconds: u64) -> Result<PathBuf> {
        let (source, library) = (self.scratch().join("clock.c"), self.scratch().join(format!("{name}.so")));
        files::write(&source, CLOCK)?;
        let cc =
            Tool::new(&self.plans[0].toolchain.cc.path, self.scratch()).args(["-shared", "-fPIC", "-O2"]);
        let cc = cc.arg(format!("-DSECONDS={seconds}")).arg("-o").arg(&library).arg(&source);
        cc.run(&self.ctx.cancel).map_err(|error| Error::new(error.exit_code(), error))?;
        let etc = self.scratch().join(format!("etc-{name}"));
        files::create_dir_all(&etc)?;
        let others = fs::read_to_string("/etc/ld.so.preload").unwrap_or_default();
        files::write(&etc.join("ld.so.preload"), format!("{}\n{others}", library.display()))?;
        Ok(etc)
    }

    /// What stands before `/etc` for somebody else, with the clock that stands still where it can be had.
    fn etc_of(&self, name: &str) -> Result<PathBuf, files::Error> {
        let etc = self.scratch().join(format!("etc-{name}"));
        files::create_dir_all(&etc)?;
        if let Ok(now) = &self.now {
            files::copy(&now.join("ld.so.preload"), &etc.join("ld.so.preload"))?;
        }
        for (file, text) in passwd_of_another() {
            files::write(&etc.join(file), text)?;
        }
        Ok(etc)
    }
}

/// What every build is told, whatever the caller's settings are. Where Rust and Python lie is found by way of
/// HOME, which is varied.
fn environment() -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [("LC_ALL", "C"), ("TZ", "UTC"), ("TERM", "dumb")]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
    let home = env::home_dir().unwrap_or_default();
    for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("PYENV_ROOT", ".pyenv"), ("CARGO_HOME", ".cargo")] {
        let folder = home.join(folder);
        if env::var_os(name).is_none() && folder.is_dir() {
            environment.insert(name.into(), folder.display().to_string());
        }
    }
    environment
}

/// Everything that is copied: the checkout, and the inputs that lie outside of it. What Cargo and the host have
/// installed stays where it is.
fn roots(ctx: &Context<'_>, recipe: &Recipe, plans: &[Plan]) -> Result<Vec<PathBuf>> {
    let mut paths = vec![recipe.path.clone()];
    for plan in plans {
        let sources = root_task::sources(ctx, recipe, &plan.toolchain)?;
        paths.extend(sources.folders.into_iter().chain(sources.files));
        paths.push(plan.tree.root.clone());
    }
    paths.extend(recipe.prebuilt_kernel.iter().map(|file| file.path.clone()));
    if let RootTaskSource::Prebuilt(file) = &recipe.source {
        paths.push(file.path.clone());
    }
    let installed: Vec<PathBuf> = root_task::cargo_home()
        .into_iter()
        .chain(plans.iter().map(|plan| plan.toolchain.sysroot()))
        .chain(["/usr".into(), ctx.project.cache()])
        .collect();
    paths.retain(|path| path.exists() && !installed.iter().any(|place| path.starts_with(place)));
    paths.sort();
    let mut roots = vec![ctx.project.root.clone()];
    for path in paths {
        if !roots.iter().any(|root| path.starts_with(root)) {
            roots.push(path);
        }
    }
    Ok(roots)
}

/// The folder above all `roots`, or the only one.
fn above(roots: &[PathBuf]) -> PathBuf {
    let mut above = roots.first().cloned().unwrap_or_default();
    while !roots.iter().all(|root| root.starts_with(&above)) && above.pop() {}
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_how_inputs_lie_to_each_other() {
        let roots = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(above(&roots(&["/a/selkie"])), Path::new("/a/selkie"));
        assert_eq!(above(&roots(&["/a/selkie", "/a/mine/f.toml"])), Path::new("/a"));
        assert_eq!(above(&roots(&["/a/selkie", "/b"])), Path::new("/"));
    }

    #[test]
    fn exit_code_five_is_for_what_differs_and_for_what_builds_only_here() {
        let report = |verdict| Report {
            name: "x".into(),
            targets: vec![Target::Qemu],
            rows: vec![Row { variation: Variation::Umask, how: String::new(), verdict }],
            notes: Vec::new(),
        };
        let first = Difference { member: "kernel".into(), section: None, offset: 3 };
        assert!(report(Verdict::Different { target: Target::Qemu, first }).differs());
        assert!(report(Verdict::Fails { why: String::new() }).differs());
        assert!(!report(Verdict::Same).differs());
        assert!(!report(Verdict::Skip { reason: String::new() }).differs());
    }
}
