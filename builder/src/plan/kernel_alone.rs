//! The plan of a kernel alone: what `build-kernel` does, and, for a machine that needs a loader, what an image of it
//! would still take.

use super::{Input, InputKind, KERNEL_INPUTS, KERNEL_TOOLS, Step, Steps, kernel_files, tools};
use crate::{
    Context, Digest, Result,
    bindings::{self, Era, era},
    cache,
    inputs::tools::find,
    kernel::{self, KernelTree, TreeKind},
    kernel_config::{KernelConfig, UserSource},
};
use serde::Serialize;
use std::path::PathBuf;

/// All that one kernel is made from and how.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelPlan {
    /// The kernel config's name.
    pub name: String,
    /// The digest of everything below but the paths and what is left to a later release.
    pub key: Digest,
    /// The kernel config.
    pub kernel: KernelConfig,
    /// The seL4 release.
    pub version: String,
    /// The name of what describes its user interface; none where nothing does so far, and no bindings are made.
    pub era: Option<String>,
    /// Everything that it depends on.
    pub inputs: Vec<Input>,
    /// What is done, in this order, and then what a later release does.
    pub steps: Vec<Step>,
    /// The folder of the result.
    pub output: PathBuf,
    /// The kernel's source, found.
    #[serde(skip)]
    pub(crate) tree: KernelTree,
}

/// Plans the kernel that the kernel config `name` makes of the source that the user names, or of its own.
pub fn plan(ctx: &Context<'_>, name: &str, user: Option<&UserSource>) -> Result<KernelPlan> {
    let kernel = KernelConfig::load_with(ctx.project, name, user)?;
    let tree = kernel::locate(ctx, &kernel)?;
    let mut inputs = vec![
        Input::new(InputKind::Builder, "builder", Digest::of(cache::BUILDER)),
        Input::new(InputKind::KernelConfig, "kernel-config", Digest::of_json(&kernel)).at(&kernel.path),
        Input::new(InputKind::KernelSource, "kernel-source", tree.digest)
            .at(&tree.root)
            .version(&tree.version),
    ];
    let era = match Era::name(&ctx.project.eras(), kernel.arch, &tree.version) {
        Ok(era) => Some(era),
        Err(era::Error::None { .. }) => None,
        Err(error) => return Err(bindings::Error::from(error).into()),
    };
    inputs.extend(kernel_files(ctx, &kernel, era.as_deref())?);
    inputs.extend(tools(ctx, vec![find(ctx, kernel.arch.compiler())?], &tree, kernel.arch)?);
    let steps = steps(&inputs, &kernel, &tree, era.is_some());
    let last = steps.iter().rfind(|step| !step.later);
    Ok(KernelPlan {
        name: kernel.name.clone(),
        key: last.map_or_else(|| Digest::of(""), |step| step.key),
        version: tree.version.clone(),
        output: ctx.project.kernel(&kernel.name),
        era,
        inputs,
        steps,
        kernel,
        tree,
    })
}

fn steps(inputs: &[Input], kernel: &KernelConfig, tree: &KernelTree, has_era: bool) -> Vec<Step> {
    use InputKind::{Builder, Era, KernelConfig, KernelSource};
    let none = None::<()>;
    let mut steps = Steps { inputs, steps: Vec::new() };
    let (name, machine) = (&kernel.name, kernel.platform.name());
    let what = match (kernel.arch.device_tree_from(), tree.kind) {
        (_, TreeKind::Prefix) => format!("take the kernel {name} from the prefix"),
        (None, _) => format!("compile and link the kernel {name}"),
        (Some(qemu), _) => {
            format!("have the device tree of {machine} from {qemu}, compile and link the kernel {name}")
        }
    };
    steps.add("kernel", what, &KERNEL_INPUTS, &KERNEL_TOOLS, &[], none);
    if has_era {
        let what = format!("generate the interface of {name} and check it against the headers");
        let compiler = [kernel.arch.compiler()];
        let kinds = [Builder, KernelConfig, KernelSource, Era];
        steps.add("interface", what, &kinds, &compiler, &["kernel"], none);
    }
    let what = format!("write kernel and headers of {name} as an installed prefix");
    steps.add("output", what, &[Builder], &[], &["kernel", "interface"], none);
    if kernel.arch.device_tree_from().is_none() {
        return steps.steps;
    }
    let mut later = |step: &str, what: String, after: &[&str]| {
        steps.add(step, what, &[Builder], &[], after, none);
        steps.steps.iter_mut().last().into_iter().for_each(|step| step.later = true);
    };
    if !has_era {
        let what = format!("describe the interface of seL4 {} on {} (an era)", tree.version, kernel.arch);
        later("interface", what, &["kernel"]);
    }
    later("root-task", format!("compile and link a root task for {}", kernel.arch), &["interface"]);
    let what = format!("compile a loader that sets up the MMU of {machine} and enters the kernel");
    later("loader", what, &[]);
    let what = "hand the machine's device tree to the kernel, which gives it to the root task".to_owned();
    later("device-tree", what, &["kernel", "loader"]);
    let what = "put loader, device tree, kernel and root task into one file (no Multiboot there)".to_owned();
    later("image", what, &["kernel", "root-task", "loader", "device-tree"]);
    steps.steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Project;

    /// Each step's name, and whether a later release does it.
    fn planned(config: &str, kind: TreeKind, has_era: bool) -> Vec<(String, bool)> {
        let kernel = KernelConfig::load(&Project::here(), config).unwrap();
        let tree = KernelTree {
            root: "/tree".into(),
            kind,
            version: "16.0.0".to_owned(),
            digest: Digest::of("tree"),
        };
        let steps = steps(&[], &kernel, &tree, has_era);
        steps.into_iter().map(|step| (step.name, step.later)).collect()
    }

    fn names(steps: &[(String, bool)], later: bool) -> Vec<&str> {
        steps.iter().filter(|step| step.1 == later).map(|step| step.0.as_str()).collect()
    }

    #[test]
    fn what_an_image_for_another_machine_lacks_is_named_as_left_to_later() {
        for config in ["aarch64-qemu-arm-virt", "riscv64-qemu-riscv-virt-debug"] {
            let steps = planned(config, TreeKind::Cmake, false);
            assert_eq!(names(&steps, false), ["kernel", "output"]);
            assert_eq!(names(&steps, true), ["interface", "root-task", "loader", "device-tree", "image"]);
            assert!(steps.is_sorted_by_key(|step| step.1), "{steps:?}");
        }
        let steps = planned("x86_64-release", TreeKind::Make, true);
        assert_eq!(
            (names(&steps, false), names(&steps, true)),
            (vec!["kernel", "interface", "output"], vec![])
        );
    }
}
