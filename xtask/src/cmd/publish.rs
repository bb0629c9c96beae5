//! `publish`

use super::{
    common::{AccelArg, LockedArg, Recipes, TargetArg},
    smoke::each_boot,
};
use crate::{app::App, output::Answer, table::Table};
use builder::{
    Error, ExitCode,
    image::{Image, Manifest},
    plan::Plan,
    publish::{
        self, Bundle, Place, Subject,
        sign::{Key, PASSWORD},
        source::{self, Given},
    },
    smoke::{Earlier, RunReport, SmokeOptions, Summary},
};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask publish hello --to dist                    dist/: archives, layouts, SHA256SUMS
  cargo xtask publish hello --to dist --target process   for one target
  cargo xtask publish --all --to dist --strict           all recipes; a skip is a failure
  cargo xtask publish hello --to dist --sign key         with SHA256SUMS.minisig
  cargo xtask publish --all --to dist --tested run.json  verdicts of `--format json smoke --all`
  cargo xtask verify dist                                what whoever gets the folder runs

Every image is built and smoke-tested first. When one fails, nothing is published; exit code 4.
The folder is replaced in one step. The network is not used.";

/// Builds, tests and packs images, with all that others need to check them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Publish {
    /// The folder to write; one that was published before is replaced
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Sign with this secret key of minisign; SELKIE_SIGN_PASSWORD has its password, or it is asked for
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// A skipped smoke test counts as a failed one
    #[arg(long)]
    strict: bool,
    /// What `--format json smoke` printed: images that are the same to the last byte are not booted again
    #[arg(long, value_name = "FILE")]
    tested: Option<PathBuf>,
    /// The complete source of a kernel that was built elsewhere ([kernel] prebuilt, --kernel-prefix): a .tar.gz
    #[arg(long, value_name = "FILE")]
    corresponding_source: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArg,
    #[command(flatten)]
    accel: AccelArg,
    #[command(flatten)]
    locked: LockedArg,
    #[command(flatten)]
    recipes: Recipes,
}

/// A built and tested image.
struct Tested {
    plan: Plan,
    image: Image,
    manifest: Manifest,
    reports: Vec<RunReport>,
}

impl Publish {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        let recipes = publish::wanted(&ctx, self.recipes.load(app)?, self.recipes.are_all())?;
        let place = Place::new(&self.to).map_err(Error::from)?;
        let key =
            self.sign.as_deref().map(|path| Key::read(path, password)).transpose().map_err(Error::from)?;
        let earlier = self.tested.as_deref().map(Earlier::read).transpose().map_err(Error::from)?;
        let given = self.corresponding_source.as_deref().map(Given::read).transpose().map_err(Error::from)?;
        let options = SmokeOptions { accel: self.accel.accel, ..SmokeOptions::default() };
        let mut tested = Vec::new();
        for recipe in &recipes {
            for target in self.target.of(recipe) {
                let (plan, image) = self.locked.planned(&ctx, recipe, target)?;
                source::check_given(&plan, given.as_ref()).map_err(Error::from)?;
                let reports = each_boot(&ctx, recipe, &image, &options, false, earlier.as_ref())?;
                let manifest = Manifest::read(&image.dir).map_err(Error::from)?;
                tested.push(Tested { plan, image, manifest, reports });
            }
        }
        if given.is_some() && !tested.iter().any(|one| source::needs_given(&one.plan)) {
            return Err(Error::from(source::Error::Unneeded).into());
        }
        let reports = tested.iter().flat_map(|one| one.reports.clone()).collect();
        let summary = Summary { reports };
        let code = summary.exit_code(self.strict);
        if code != ExitCode::Ok {
            let text = format!("{summary}\nnothing was published\n");
            return Ok(Answer::new(&summary, text)?.with_code(code));
        }
        let subjects: Vec<_> = tested.iter().map(|one| one.subject(given.as_ref())).collect();
        let bundle = publish::publish(&ctx, &subjects, &place, key.as_ref())?;
        let answer = serde_json::json!({ "bundle": bundle, "reports": summary.reports });
        Answer::new(&answer, format!("{summary}\n{}", text(&bundle)))
    }
}

impl Tested {
    fn subject<'a>(&'a self, given: Option<&'a Given>) -> Subject<'a> {
        let Self { plan, image, manifest, reports } = self;
        Subject { plan, image, manifest, reports, given }
    }
}

/// The password of a key, from the environment or the terminal.
fn password() -> Result<String, String> {
    match std::env::var(PASSWORD) {
        Ok(password) => Ok(password),
        Err(std::env::VarError::NotPresent) => {
            rpassword::prompt_password("password of the key: ").map_err(|error| error.to_string())
        }
        Err(error) => Err(format!("{PASSWORD}: {error}")),
    }
}

/// Path, size and digest of what was published.
fn text(bundle: &Bundle) -> String {
    let mut table = Table::new(["path", "bytes", "sha256"]);
    for file in &bundle.files {
        table.row([file.path.display().to_string(), file.size.to_string(), file.sha256.to_string()]);
    }
    table.render()
}
