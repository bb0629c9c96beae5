//! A plan for a person: every input with its digest, every step, every output.

use crate::{
    Target,
    bare_metal::{LeftOut, Media},
    image,
    kernel::{self, KernelTree},
    kernel_config::{KernelConfig, OptionValue},
    plan::{Input, InputKind, Plan, Step, kernel_alone::KernelPlan},
    recipe::ConsoleKind,
};
use std::fmt::Write as _;

/// How many digits of a digest are shown: enough to compare by eye. The JSON form has all.
const DIGITS: usize = 16;

/// The plan as text, each line ended.
pub fn text(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, plan);
    text
}

fn write(text: &mut String, plan: &Plan) -> std::fmt::Result {
    writeln!(text, "{} for {}", plan.name, plan.target)?;
    writeln!(text, "  key    {}", plan.key)?;
    if plan.recipe.devices.console_kind() == ConsoleKind::Virtio {
        let what = match plan.target {
            Target::Qemu => "virtio; what is typed and the last words go by the serial port",
            Target::Process => "the host's: [devices.console] changes nothing here",
            Target::BareMetal => "the serial port: [devices.console] changes nothing here",
        };
        writeln!(text, "  output {what}")?;
    }
    writeln!(text, "  epoch  {} (seconds since 1970; SOURCE_DATE_EPOCH sets it)", plan.epoch)?;
    if let Some(kernel) = plan.inputs.iter().find(|input| input.kind == InputKind::PrebuiltKernel) {
        writeln!(text, "\nthe kernel that boots is {}", image::NOT_BUILT)?;
        writeln!(text, "  file   {}  sha256 {}", described(kernel), kernel.digest)?;
    }
    kernel(text, &plan.kernel, &plan.tree)?;
    if let Some(media) = &plan.media {
        media_lines(text, media)?;
    }
    inputs_and_steps(text, &plan.inputs, &plan.steps)?;
    writeln!(text, "\noutputs")?;
    plan.outputs.iter().try_for_each(|path| writeln!(text, "  {}", path.display()))
}

/// The plan of a kernel alone as text, each line ended.
pub fn kernel_text(plan: &KernelPlan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_kernel(&mut text, plan);
    text
}

fn write_kernel(text: &mut String, plan: &KernelPlan) -> std::fmt::Result {
    writeln!(text, "kernel {} alone, for {} ({})", plan.name, plan.kernel.platform.name(), plan.kernel.arch)?;
    writeln!(text, "  key    {}", plan.key)?;
    kernel(text, &plan.kernel, &plan.tree)?;
    if plan.era.is_none() {
        writeln!(
            text,
            "  no bindings: nothing describes the interface of seL4 {} on {} for Selkie so far (an era)",
            plan.version, plan.kernel.arch
        )?;
    }
    inputs_and_steps(text, &plan.inputs, &plan.steps)?;
    writeln!(text, "\noutputs\n  {}", plan.output.display())
}

fn inputs_and_steps(text: &mut String, inputs: &[Input], steps: &[Step]) -> std::fmt::Result {
    writeln!(text, "\ninputs")?;
    let name = widest(inputs.iter().map(|input| input.name.as_str()));
    for input in inputs {
        let what = described(input);
        writeln!(
            text,
            "{}",
            format!("  {:name$}  {}  {what}", input.name, input.digest.short(DIGITS)).trim_end()
        )?;
    }
    writeln!(text, "\nsteps")?;
    let name = widest(steps.iter().map(|step| step.name.as_str()));
    for step in steps {
        let key = if step.later { "a later release".to_owned() } else { step.key.short(DIGITS) };
        writeln!(text, "  {:name$}  {key:DIGITS$}  {}", step.name, step.what)?;
    }
    Ok(())
}

fn kernel(text: &mut String, config: &KernelConfig, tree: &KernelTree) -> std::fmt::Result {
    writeln!(text, "\nkernel {}: seL4 {}", config.name, tree.version)?;
    let verified = kernel::verified(config, tree);
    writeln!(text, "  verified configuration: {verified} ({})", verified.why())?;
    writeln!(text, "  needs of the CPU: {}", config.cpu_features.join(" "))?;
    let beyond = config.beyond_tcg();
    if !beyond.is_empty() {
        writeln!(
            text,
            "  boots under KVM and on real machines only: QEMU's emulation lacks {}",
            beyond.join(" and ")
        )?;
    }
    if config.emulation_only {
        writeln!(text, "  for emulated machines only: it does without a mitigation that real CPUs need")?;
    }
    let options: Vec<String> = config.options.iter().map(|(name, value)| option(name, value)).collect();
    writeln!(text, "  options: {}", options.join(" "))?;
    for overlay in &config.overlays {
        writeln!(text, "  overlay {}: {}", overlay.header, overlay.reason)?;
    }
    Ok(())
}

fn media_lines(text: &mut String, media: &Media) -> std::fmt::Result {
    let firmware: Vec<_> = media.firmware.iter().map(ToString::to_string).collect();
    let formats: Vec<_> = media.formats.iter().map(ToString::to_string).collect();
    writeln!(
        text,
        "\nmedia: {}, booted by {} with {}",
        formats.join(", "),
        firmware.join(" and "),
        media.protocol
    )?;
    for LeftOut { what, why } in &media.left_out {
        writeln!(text, "  `{what}` is left out: {why}")?;
    }
    Ok(())
}

fn option(name: &str, value: &OptionValue) -> String {
    match value {
        OptionValue::Flag(true) => name.to_owned(),
        OptionValue::Flag(false) => format!("{name}=off"),
        OptionValue::Number(number) => format!("{name}={number}"),
        OptionValue::Text(value) => format!("{name}={value}"),
    }
}

/// The first line of a version and the place, whichever there are.
fn described(input: &Input) -> String {
    let version = input.version.iter().filter_map(|version| version.lines().next()).map(str::to_owned);
    let path = input.path.iter().map(|path| path.display().to_string());
    version.chain(path).collect::<Vec<_>>().join("  ")
}

fn widest<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.map(|name| name.chars().count()).max().unwrap_or(0)
}
