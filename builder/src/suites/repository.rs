//! The suites of this repository.

use super::{Options, job::Job, judge::Judge};
use crate::{
    Context, Project, Result, bindings, files, kernel,
    kernel_config::KernelConfig,
    recipe::{RawKernel, Recipe},
    root_task::rumprun,
};
use std::path::{Path, PathBuf};

/// The recipe whose function panics: it shows that the smoke test reports a failure.
const MUST_FAIL: &str = "panic";
/// The recipe that is booted again and again by the long tests, and how often.
const SOAKED: &str = "selftest";
const SOAK: usize = 20;

/// What `repro` is tested by when time is short.
const REPRO_IN_SHORT: &str = "the_control_is_found_by_the_right_rows";

/// The tests with suites of their own: beside others they would lack processors.
const APART: [&str; 10] = [
    "bad_network",
    "bare_metal",
    "clones",
    "conformance",
    "http",
    "interrupted",
    "lock_down",
    "network_cards",
    "repro",
    "virtio_console",
];

/// Leaves out what other tests run, each in a namespace.
const NOT_INSIDE: [&str; 2] = ["--skip", "within_the_namespace"];

/// What makes the jobs of a suite.
type Jobs = fn(&Context<'_>, &Options) -> Vec<Job>;

/// All suites: what is quick to fail comes first.
const SUITES: &[(&str, Jobs)] = &[
    ("format", format),
    ("lints", lints),
    ("host", host_tests),
    ("guest", guest_tests),
    ("tender", tender_tests),
    ("boots", boots),
    ("conformance", conformance),
    ("lock-down", lock_down),
    ("interrupted", interrupted),
    ("bare-metal", bare_metal),
    ("network", network),
    ("http", http),
    ("repro", repro),
    ("clones", clones),
];

/// The suites that run, in this order.
pub(super) fn suites(ctx: &Context<'_>, options: &Options) -> Vec<(&'static str, Vec<Job>)> {
    if options.only_rumprun {
        return vec![("rumprun tree", rumprun_tree(ctx, options))];
    }
    if !options.kernel_sources.is_empty() {
        return vec![("kernel sources", kernel_sources(ctx, options))];
    }
    let Some(filter) = options.filter.as_deref() else {
        return SUITES.iter().map(|(name, jobs)| (*name, jobs(ctx, options))).collect();
    };
    if let Some((name, jobs)) = SUITES.iter().find(|(name, _)| *name == filter) {
        return vec![(name, jobs(ctx, options))];
    }
    let narrowed = SUITES.iter().map(|(name, jobs)| {
        let mut jobs = jobs(ctx, options);
        jobs.retain_mut(|job| narrow(job, filter));
        (*name, jobs)
    });
    narrowed.collect()
}

/// Narrows a job to what a filter names; whether anything of it is left.
fn narrow(job: &mut Job, filter: &str) -> bool {
    if job.judge == Judge::Tests {
        // After `--`: the filter of libtest, which no option of Cargo can be mistaken for.
        job.args.push(filter.into());
        return true;
    }
    job.name.contains(filter)
}

fn format(ctx: &Context<'_>, _: &Options) -> Vec<Job> {
    let check = |(name, dir): (&str, PathBuf)| {
        cargo(format!("format of {name}"), &dir, &["fmt", "--all", "--", "--check", "--color", "never"])
    };
    workspaces(ctx.project).into_iter().map(check).collect()
}

fn lints(ctx: &Context<'_>, _: &Options) -> Vec<Job> {
    let args = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    let host = cargo("clippy".into(), &ctx.project.root, &args);
    let args = ["clippy", "--workspace", "--locked", "--", "-D", "warnings"];
    let bindings = bindings(ctx);
    let guest = workspaces(ctx.project).into_iter().skip(1).map(|(name, dir)| {
        let mut job = cargo(format!("clippy of {name}"), &dir, &args);
        // As the builder has it: a root task does not unwind.
        job.env.push(("CARGO_PROFILE_DEV_PANIC", "abort".into()));
        with_bindings(job, &bindings)
    });
    [host].into_iter().chain(guest).collect()
}

/// The job with these bindings; skipped where there are none.
fn with_bindings(mut job: Job, bindings: &Result<PathBuf>) -> Job {
    match bindings {
        Ok(path) => job.env.push(("SELKIE_BINDINGS", path.into())),
        Err(error) => job.skip = Some(format!("there are no bindings: {error}")),
    }
    job
}

/// The bindings that the guest's crates are checked with.
fn bindings(ctx: &Context<'_>) -> Result<PathBuf> {
    let config = KernelConfig::load(ctx.project, &RawKernel::default().config)?;
    let tree = kernel::locate(ctx, &config)?;
    let kernel = kernel::build(ctx, &config, &tree)?;
    Ok(bindings::generate(ctx, &config, &tree, &kernel)?.rust)
}

/// The tests of the builder and of the command line but for those of other suites, which are marked as ignored, as are the
/// long ones.
fn host_tests(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    let root = &ctx.project.root;
    let short = Options { long: false, ..options.clone() };
    let mut jobs = vec![cargo_test("cargo test".into(), root, &["--workspace"], &short)];
    for package in ["builder", "xtask"].into_iter().filter(|_| options.long) {
        let files = test_files(&root.join(package).join("tests"));
        let mut what = vec!["--package", package, "--lib", "--bins"];
        let own = files.iter().filter(|file| !APART.contains(&file.as_str()));
        what.extend(own.flat_map(|file| ["--test", file]));
        // The command line has no library.
        what.retain(|word| package == "builder" || *word != "--lib");
        let mut job = cargo_test(format!("long tests of {package}"), root, &what, &short);
        job.args.push("--ignored".into());
        jobs.push(job);
    }
    jobs
}

/// The names of the tests in a folder: files, and folders with a `main.rs`.
fn test_files(dir: &Path) -> Vec<String> {
    let entries = files::sorted_entries(dir).unwrap_or_default();
    let name = |path: &Path| match path.extension() {
        Some(extension) => (extension == "rs").then_some(path.file_stem()?.to_owned()),
        None => path.join("main.rs").is_file().then_some(path.file_name()?.to_owned()),
    };
    entries.iter().filter_map(|entry| name(&entry.path())?.into_string().ok()).collect()
}

/// The parts of the runtime and of functions that need no kernel are tested on the host.
fn guest_tests(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    let runtime = cargo_test("cargo test of the runtime".into(), &ctx.project.runtime(), &[], options);
    let dir = ctx.project.root.join("functions");
    // Their programs run on a kernel only.
    let functions =
        cargo_test("cargo test of the functions".into(), &dir, &["--workspace", "--lib"], options);
    vec![runtime, with_bindings(functions, &bindings(ctx))]
}

/// What the tender is made of, with a kernel model of random calls among it.
fn tender_tests(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    vec![cargo_test("cargo test of the tender".into(), &ctx.project.tender(), &[], options)]
}

/// The self-test on the kernel and under the tender, compared line by line.
fn conformance(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    apart(ctx, options, "conformance", "the self-test, line by line")
}

/// Executables on machines that lack parts of the lock-down.
fn lock_down(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    apart(ctx, options, "lock_down", "the lock-down where parts are missing")
}

/// An executable whose root task is interrupted in every way.
fn interrupted(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    apart(ctx, options, "interrupted", "a root task that is interrupted")
}

/// Media booted by real firmware: with seL4, and with a kernel that checks what the boot loader hands over.
fn bare_metal(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    let title = "hello boots from its media".to_owned();
    let mut boot = smoke(ctx, options, title, "tests/fixtures/bare-metal/metal.toml", 0);
    boot.args.extend(["--target", "bare-metal"].map(Into::into));
    let mut jobs = vec![boot];
    jobs.extend(apart(ctx, options, "bare_metal", "media on BIOS and UEFI"));
    jobs
}

/// Functions behind each card that there is a driver for and behind a virtio console, and on a network that loses and damages frames.
fn network(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    let mut jobs = apart(ctx, options, "network_cards", "functions behind network cards");
    jobs.extend(apart(ctx, options, "virtio_console", "a function behind a virtio console"));
    let mut bad = apart(ctx, options, "bad_network", "a bad network, names and datagrams");
    bad.iter_mut().for_each(|job| job.args.extend(NOT_INSIDE.map(Into::into)));
    jobs.extend(bad);
    jobs
}

/// Functions that serve HTTP, seen from outside. The long tests stream more, load longer, and do it all in a machine, too.
fn http(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    let mut jobs = apart_of(ctx, options, ("xtask", "http"), "HTTP: other programs, bad clients, load");
    // One service at a time: they would take each other's processors.
    jobs.iter_mut().for_each(|job| job.args.push("--test-threads=1".into()));
    jobs.iter_mut().for_each(|job| job.args.extend(NOT_INSIDE.map(Into::into)));
    if !options.long {
        jobs.iter_mut().for_each(|job| job.args.extend(["--skip", "long::"].map(Into::into)));
    }
    jobs
}

/// A function that is not reproducible is found out. The long tests also vary everything, and hold `hello` to it.
fn repro(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    let mut jobs = apart_of(ctx, options, ("xtask", "repro"), "planted leaks are found by the right rows");
    if !options.long {
        jobs.iter_mut().for_each(|job| job.args.extend(["--exact", REPRO_IN_SHORT].map(Into::into)));
    }
    jobs
}

/// Two clones of the checkout make the same images, and publish the same.
fn clones(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    apart_of(ctx, options, ("xtask", "clones"), "two clones publish the same")
}

/// The tests of one file of the builder that the suite `host` leaves out: beside others they would lack processors.
fn apart(ctx: &Context<'_>, options: &Options, test: &str, name: &str) -> Vec<Job> {
    apart_of(ctx, options, ("builder", test), name)
}

/// As [`apart`], for a file of any package.
fn apart_of(ctx: &Context<'_>, options: &Options, (package, test): (&str, &str), name: &str) -> Vec<Job> {
    debug_assert!(APART.contains(&test), "{test} would run among others, too");
    let what = ["--package", package, "--test", test];
    let options = Options { long: false, ..options.clone() };
    let mut job = cargo_test(name.to_owned(), &ctx.project.root, &what, &options);
    job.args.push("--ignored".into());
    vec![job]
}

/// What is tested of kernels from source trees besides running them: how they are built, and with `--long` that the
/// tender answers as each of them.
fn kernel_sources(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    let test = |name: &str, test: &str| {
        cargo_test(name.to_owned(), &ctx.project.root, &["--package", "builder", "--test", test], options)
    };
    let mut published = test("their source, published", "publish_documents");
    published.args.push("own_kernel".into());
    let mut jobs = vec![
        test("kernels from source trees", "kernel_sources"),
        test("the bindings of kernels from source trees", "bindings_trees"),
        published,
    ];
    if options.long {
        let mut compared = apart(ctx, options, "conformance", "the self-test on each of them, line by line");
        compared.iter_mut().for_each(|job| job.args.push("named_trees".into()));
        jobs.extend(compared);
    }
    let trees = std::env::join_paths(&options.kernel_sources).unwrap_or_default();
    jobs.iter_mut().for_each(|job| job.env.push(("SELKIE_KERNEL_SOURCES", trees.clone())));
    jobs
}

/// What is tested of a rumprun tree besides booting its programs: what is said about it, and about programs that do not
/// fit it, and what programs bear: load, and being killed. The long tests do more of that, and in a machine, too.
fn rumprun_tree(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    // All of both files run, but for what is long.
    let every = Options { long: false, ..options.clone() };
    let test = |name: &str, package: &str, test: &str| {
        let what = ["--package", package, "--test", test];
        let mut job = cargo_test(name.to_owned(), &ctx.project.root, &what, &every);
        // One program at a time: they would take each other's processors.
        job.args.extend(["--include-ignored", "--test-threads=1"].map(Into::into));
        job.args.extend(NOT_INSIDE.map(Into::into));
        if !options.long {
            job.args.extend(["--skip", "long::"].map(Into::into));
        }
        job.env.extend(options.rumprun.as_ref().map(|tree| ("SELKIE_RUMPRUN_TREE", tree.into())));
        job
    };
    vec![
        test("programs and a rumprun tree", "builder", "rumprun"),
        test("POSIX programs under load, and killed", "xtask", "posix"),
    ]
}

/// Every recipe is built, booted and tested; one must be reported as failed.
fn boots(ctx: &Context<'_>, options: &Options) -> Vec<Job> {
    let project = ctx.project;
    let recipes = Recipe::names(project).unwrap_or_default();
    let boot = |name: String| {
        let (title, code) = match name.as_str() {
            MUST_FAIL => (format!("{name} is reported as failed"), 4),
            _ => (format!("{name} boots"), 0),
        };
        let mut job = smoke(ctx, options, title, &name, code);
        let recipe = Recipe::load(project, &name).ok();
        match &options.rumprun {
            // A recipe that others do not know this option of is none of theirs.
            Some(tree) => job.args.extend(["--rumprun".into(), tree.into()]),
            None => job.skip = recipe.and_then(|recipe| rumprun::unnamed(&recipe)),
        }
        job
    };
    let soak = if options.long { vec![SOAKED.to_owned(); SOAK] } else { Vec::new() };
    recipes.into_iter().chain(soak).map(boot).collect()
}

/// The smoke test of a recipe, which ends with this exit code.
fn smoke(ctx: &Context<'_>, options: &Options, title: String, recipe: &str, code: i32) -> Job {
    let out = ctx.project.out.clone();
    Job {
        name: title,
        program: options.xtask.clone(),
        args: ["smoke", recipe, "--strict", "--out"]
            .map(Into::into)
            .into_iter()
            .chain([out.into()])
            .collect(),
        cwd: ctx.project.root.clone(),
        env: Vec::new(),
        judge: Judge::Exit(code),
        skip: None,
    }
}

/// The workspaces of the repository, those that exist.
fn workspaces(project: &Project) -> Vec<(&'static str, PathBuf)> {
    let all = [
        ("the builder", project.root.clone()),
        ("the runtime", project.runtime()),
        ("the functions", project.root.join("functions")),
        ("the tender", project.tender()),
    ];
    all.into_iter().filter(|(_, dir)| dir.join("Cargo.toml").is_file()).collect()
}

fn cargo(name: String, dir: &Path, args: &[&str]) -> Job {
    Job {
        name,
        program: std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
        args: args.iter().map(Into::into).collect(),
        cwd: dir.to_owned(),
        env: vec![("CARGO_TERM_COLOR", "never".into())],
        judge: Judge::Exit(0),
        skip: None,
    }
}

fn cargo_test(name: String, dir: &Path, what: &[&str], options: &Options) -> Job {
    let mut job = cargo(name, dir, &["test", "--locked", "--no-fail-fast"]);
    job.args.extend(what.iter().map(Into::into));
    job.args.push("--".into());
    job.args.extend(options.long.then(|| "--include-ignored".into()));
    // What a failed test says is enough; backtraces bury it.
    job.env.push(("RUST_BACKTRACE", "0".into()));
    job.env.extend(options.bless.then(|| ("BLESS", "1".into())));
    job.judge = Judge::Tests;
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_those_with_suites_of_their_own_among_them() {
        let root = Project::here().root;
        let all = ["builder", "xtask"].map(|package| test_files(&root.join(package).join("tests"))).concat();
        assert!(
            APART.iter().chain(&["kv", "kernel"]).all(|name| all.iter().any(|file| file == name)),
            "{all:?}"
        );
        assert!(
            ["common", "tls.rs", "bin"].iter().all(|name| all.iter().all(|file| file != name)),
            "{all:?}"
        );
    }
}
