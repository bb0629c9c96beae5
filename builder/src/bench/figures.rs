//! Each promised figure and how it is measured.

use super::{
    Figure, Measured, Options, Unit,
    lab::{Lab, failed},
};
use crate::{
    Context, Project, Result, Target,
    context::Silent,
    exec::{self, Ran},
    files,
    image::Role,
    kernel,
    kernel_config::KernelConfig,
    qemu::{Accel, AccelRequest},
    recipe::Recipe,
    smoke::{self, SmokeOptions},
};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How often something is measured; an odd number, so that the median was really measured.
const RUNS: usize = 5;
/// How often what takes milliseconds is done within one measurement: CPU time is counted in hundredths
/// of a second.
const BATCH: usize = 10;

/// All figures; docs/SPECIFICATION.md has the same.
pub(super) const FIGURES: &[Figure] = &[
    Figure {
        what: "hello: kernel plus root task",
        unit: Unit::Bytes,
        limit: Some(175_000.0),
        measure: image_size,
    },
    Figure {
        what: "hello: root task, stripped",
        unit: Unit::Bytes,
        limit: Some(32_000.0),
        measure: task_size,
    },
    Figure {
        what: "http-hello: kernel plus root task",
        unit: Unit::Bytes,
        limit: Some(600_000.0),
        measure: http_size,
    },
    Figure {
        what: "build-image with nothing changed, CPU time",
        unit: Unit::Seconds,
        limit: Some(0.1),
        measure: nothing_to_do,
    },
    Figure {
        what: "build-image after a one-line change / cargo build of the crate",
        unit: Unit::Ratio,
        limit: Some(1.5),
        measure: one_line,
    },
    Figure {
        what: "kernel build / its compiler runs",
        unit: Unit::Ratio,
        limit: Some(1.5),
        measure: kernel_build,
    },
    Figure {
        what: "QEMU's start to hello's first line / a task that only prints, TCG",
        unit: Unit::Ratio,
        limit: Some(1.1),
        measure: first_line,
    },
    Figure {
        what: "cold build of xtask, 2 cores",
        unit: Unit::Seconds,
        limit: Some(60.0),
        measure: cold_build,
    },
];

fn image_size(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    Ok(Measured::Samples(vec![lab.size(hello, Role::Kernel)? + lab.size(hello, Role::RootTask)?]))
}

fn task_size(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    Ok(Measured::Samples(vec![lab.size(hello, Role::RootTask)?]))
}

/// With the libOS `native`: drivers, TCP/IP and HTTP.
fn http_size(lab: &Lab<'_>, _: &Recipe, options: &Options) -> Result<Measured> {
    image_size(lab, &Recipe::load(lab.ctx.project, "http-hello")?, options)
}

/// A second `build-image`: CPU time of `xtask` and all that it starts.
fn nothing_to_do(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    lab.image(hello)?;
    let build = lab.xtask().args(["build-image", "hello"]);
    let output = build.run(&lab.ctx.cancel)?;
    let answer: Value = serde_json::from_str(&output.stdout).map_err(|error| failed("build-image", error))?;
    if answer["images"][0]["fresh"] != Value::Bool(false) {
        return Err(failed("build-image", "it does not say that nothing was done"));
    }
    let mut samples = Vec::new();
    for _ in 0..RUNS {
        let seconds = lab.cpu(|| (0..BATCH).try_for_each(|_| Ok(build.run(&lab.ctx.cancel).map(drop)?)))?;
        samples.push(seconds / BATCH as f64);
    }
    Ok(Measured::Samples(samples))
}

/// A one-line change of the function, against the Cargo that compiles it.
fn one_line(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    let (folder, recipe) = lab.copy_of(hello)?;
    let build = || lab.image(&Recipe::load(lab.ctx.project, &recipe.to_string_lossy())?);
    build()?;
    let main = folder.join("src/main.rs");
    let source = String::from_utf8_lossy(&files::read(&main)?).into_owned();
    let (mut ours, mut cargos) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        files::write(&main, format!("{source}\n#[used]\nstatic CHANGED: u8 = {run};\n"))?;
        let start = Instant::now();
        let (image, ran) = exec::timed(build);
        if !image?.fresh {
            return Err(failed("build-image", "it did not notice the change"));
        }
        ours.push(start.elapsed().as_secs_f64());
        cargos.push(busy(&ran, |name| name == "cargo"));
    }
    Ok(Measured::Ratio(ours, cargos))
}

/// A kernel build, against the runs of the compiler in it.
fn kernel_build(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    let config = KernelConfig::load(lab.ctx.project, &hello.kernel)?;
    let project = Project { out: lab.folder("kernel")?, ..lab.ctx.project.clone() };
    let ctx = Context::with_cancel(&project, &Silent, lab.ctx.cancel.clone());
    // Both are made once in the life of a cache, for all kernels.
    let tree = kernel::locate(&ctx, &config)?;
    kernel::python(&ctx)?;
    let (mut ours, mut compilers) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let start = Instant::now();
        let (kernel, ran) = exec::timed(|| kernel::build(&ctx, &config, &tree));
        let kernel = kernel?;
        if !kernel.fresh {
            return Err(failed("kernel", "it was not built anew"));
        }
        ours.push(start.elapsed().as_secs_f64());
        compilers.push(busy(&ran, |name| name.contains("cc")));
        files::remove(&kernel.dir)?;
    }
    Ok(Measured::Ratio(ours, compilers))
}

/// QEMU's start to the first line: `hello` against a root task that only prints.
fn first_line(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    let path = lab.ctx.project.root.join("tests/fixtures/first-line/first-line.toml");
    let least = Recipe::load(lab.ctx.project, &path.to_string_lossy())?;
    let images = [lab.image(hello)?, lab.image(&least)?];
    let options = SmokeOptions { accel: AccelRequest::Only(Accel::Tcg), ..SmokeOptions::default() };
    let mut samples = [Vec::new(), Vec::new()];
    // In turn, so that what disturbs one disturbs the other as well.
    for _ in 0..2 * RUNS + 1 {
        for ((recipe, image), samples) in [hello, &least].into_iter().zip(&images).zip(&mut samples) {
            let report = smoke::smoke(lab.ctx, recipe, Target::Qemu, &image.dir, &options)?;
            let Some(first_line) = report.timing.first_line else { return Err(failed("smoke", report)) };
            samples.push(first_line.as_secs_f64());
        }
    }
    let [ours, least] = samples;
    Ok(Measured::Ratio(ours, least))
}

/// `xtask` with all dependencies, in an empty folder.
fn cold_build(lab: &Lab<'_>, _: &Recipe, options: &Options) -> Result<Measured> {
    if !options.cold {
        return Ok(Measured::Nothing("it takes a while: --cold measures it".into()));
    }
    let target = lab.folder("cold")?;
    let cargo = lab
        .cargo(&lab.ctx.project.root)
        .args(["build", "--quiet", "--locked", "--jobs", "2", "--package", "xtask", "--target-dir"])
        .arg(&target);
    Ok(Measured::Samples(vec![lab.seconds(&cargo)?]))
}

/// How long, in seconds, at least one of the programs with these names ran.
fn busy(ran: &[Ran], named: impl Fn(&str) -> bool) -> f64 {
    let named = |program: &Path| program.file_name().is_some_and(|name| named(&name.to_string_lossy()));
    let mut spans: Vec<_> =
        ran.iter().filter(|ran| named(&ran.program)).map(|ran| (ran.start, ran.end)).collect();
    spans.sort();
    let mut total = Duration::ZERO;
    let mut until: Option<Instant> = None;
    for (start, end) in spans {
        let start = until.map_or(start, |until| until.max(start));
        total += end.saturating_duration_since(start);
        until = Some(until.map_or(end, |until| until.max(end)));
    }
    total.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_beside_each_other_are_counted_once() {
        let zero = Instant::now();
        let ran = |program: &str, start, end| Ran {
            program: program.into(),
            start: zero + Duration::from_secs(start),
            end: zero + Duration::from_secs(end),
        };
        let ran =
            [ran("/bin/cc", 1, 4), ran("python3", 0, 9), ran("cc", 2, 3), ran("cc", 3, 5), ran("cc", 7, 8)];
        assert_eq!(busy(&ran, |name| name == "cc"), 5.0);
        assert_eq!(busy(&ran, |_| false), 0.0);
    }

    #[test]
    fn the_specification_names_every_limit() {
        let text = include_str!("../../../docs/SPECIFICATION.md");
        for limit in ["60 s", "0.1 s", "1.5 ×", "175,000 bytes", "32,000 bytes", "600,000 bytes", "1.1 ×"] {
            assert!(text.contains(limit), "{limit}");
        }
    }
}
