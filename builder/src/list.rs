//! What can be built: recipes and kernel configs.

use crate::{
    Project, Result, Target,
    kernel_config::{Arch, KernelConfig},
    recipe::Recipe,
};
use serde::Serialize;

/// Everything that can be named on the command line, sorted.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// The recipes of `recipes/`.
    pub recipes: Vec<Listed<RecipeLine>>,
    /// The kernel configs of `kernel-configs/`.
    pub kernels: Vec<Listed<KernelLine>>,
}

/// One file: what it says in short, or why it cannot be read.
#[derive(Debug, Serialize)]
pub struct Listed<T> {
    /// The file's name without `.toml`.
    pub name: String,
    /// What it says.
    #[serde(flatten)]
    pub content: Content<T>,
}

/// What a file says, or what is wrong with it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Content<T> {
    /// It is sound.
    Good(T),
    /// It is wrong.
    Bad {
        /// Why.
        error: String,
    },
}

/// A recipe in short.
#[derive(Debug, Serialize)]
pub struct RecipeLine {
    /// The function's version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// The kernel config's name.
    pub kernel: String,
    /// What it can be built for.
    pub targets: Vec<Target>,
    /// Whether it has a smoke test.
    pub smoke: bool,
}

/// A kernel config in short.
#[derive(Debug, Serialize)]
pub struct KernelLine {
    /// The seL4 release.
    pub version: String,
    /// The architecture.
    pub arch: Arch,
    /// One sentence.
    pub description: String,
}

/// Reads all recipes and kernel configs. A wrong one is listed with what is wrong, so that it hides no
/// other.
pub fn list(project: &Project) -> Result<Listing> {
    let recipes =
        Recipe::all(project)?.into_iter().map(|(name, recipe)| Listed { name, content: line(recipe) });
    let kernels = KernelConfig::names(project)?.into_iter().map(|name| {
        let content = match KernelConfig::load(project, &name) {
            Ok(config) => Content::Good(KernelLine {
                version: config.source.to_string(),
                arch: config.arch,
                description: config.description,
            }),
            Err(error) => Content::Bad { error: error.to_string() },
        };
        Listed { name, content }
    });
    Ok(Listing { recipes: recipes.collect(), kernels: kernels.collect() })
}

fn line(recipe: Result<Recipe>) -> Content<RecipeLine> {
    match recipe {
        Ok(recipe) => Content::Good(RecipeLine {
            targets: recipe.targets(),
            smoke: recipe.smoke.is_some(),
            version: recipe.function.version,
            description: recipe.function.description,
            kernel: recipe.kernel,
        }),
        Err(error) => Content::Bad { error: error.to_string() },
    }
}
