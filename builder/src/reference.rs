//! The reference of recipes and kernel configs, `docs/recipes.md`: written from the same schemas that
//! every file is checked against, so that it cannot be wrong about a key.

use crate::{
    document::{
        Document, Source,
        schema::{Schema, Table, choices, text},
    },
    kernel_config,
    recipe::{self, RawRecipe},
    template,
};
use serde::Serialize;
use serde_json::Value;

const PAGE: &str = include_str!("../../templates/reference/recipes.md.hbs");
const RECIPE: &str = include_str!("../../templates/reference/recipe.toml");
const KERNEL: &str = include_str!("../../templates/reference/kernel-config.toml");

/// The tables of a recipe as a reader meets them; one that is not named comes last.
const ORDER: [&str; 28] = [
    "[function]",
    "[root-task]",
    "[root-task.source]",
    "[rumprun]",
    "[[rumprun.mount]]",
    "[kernel]",
    "[devices]",
    "[devices.console]",
    "[devices.net]",
    "[[devices.net.forward]]",
    "[devices.disk]",
    "[files]",
    "[run]",
    "[run.net]",
    "[run.qemu]",
    "[run.qemu.net]",
    "[run.process]",
    "[run.process.net]",
    "[run.bare-metal]",
    "[run.bare-metal.net]",
    "[targets.qemu]",
    "[targets.process]",
    "[targets.bare-metal]",
    "[smoke]",
    "[[smoke.http]]",
    "[[smoke.tcp]]",
    "[[smoke.again]]",
    "[[smoke.server]]",
];

/// One table's section.
#[derive(Debug, Serialize)]
struct Section {
    title: String,
    about: String,
    rows: Vec<Row>,
}

/// One key.
#[derive(Debug, Serialize)]
struct Row {
    key: String,
    kind: String,
    default: String,
    meaning: String,
}

/// The page, ready to be written to `docs/recipes.md`.
pub fn page() -> String {
    let data = serde_json::json!({
        "recipe_example": RECIPE,
        "message": message(),
        "recipe": sections(recipe::schema()),
        "kernel_example": KERNEL,
        "kernel": sections(kernel_config::schema()),
    });
    let page = template::render(PAGE, &data);
    format!("{}\n", page.trim_end())
}

/// What is said about the example with a typing mistake in it.
fn message() -> String {
    let text = RECIPE.replacen("memory =", "memroy =", 1);
    let source = Source { file: "recipes/greeter.toml".into(), text };
    let decoded = Document::parse(&source).and_then(|doc| doc.decode::<RawRecipe>(recipe::schema()));
    decoded.err().map(|found| found.to_string()).unwrap_or_default()
}

/// The sections of a schema's tables; tables that only hold tables have none.
fn sections(schema: &Schema) -> Vec<Section> {
    let mut tables = schema.tables();
    // They are explained where they come first.
    tables.retain(|table| !table.header.starts_with("[[smoke.again."));
    tables
        .sort_by_key(|table| ORDER.iter().position(|header| *header == table.header).unwrap_or(ORDER.len()));
    let sections = tables.iter().map(|table| Section {
        title: if table.header.is_empty() { "At the top".into() } else { format!("`{}`", table.header) },
        about: about(table.about),
        rows: rows(schema, table),
    });
    sections.filter(|section| !section.rows.is_empty()).collect()
}

fn rows(schema: &Schema, table: &Table<'_>) -> Vec<Row> {
    let own = |node: &Value| {
        let node = schema.resolve(node);
        !node["properties"].is_object() && !schema.resolve(&node["items"])["properties"].is_object()
    };
    let mut keys: Vec<_> = table.keys.iter().filter(|(_, node)| own(node)).collect();
    keys.sort_by_key(|(key, _)| (!table.required.contains(key), *key));
    keys.into_iter().map(|(key, node)| row(schema, key, node, table.required.contains(key))).collect()
}

fn row(schema: &Schema, key: &str, node: &Value, required: bool) -> Row {
    let written = on_one_line(node);
    let (meaning, said) = written.split_once(" Default: ").unwrap_or((&written, ""));
    let default = match &node["default"] {
        _ if required => "must be there".to_owned(),
        _ if !said.is_empty() => said.trim_end_matches('.').to_owned(),
        Value::Null => "none".to_owned(),
        Value::Object(_) => "empty".to_owned(),
        value => format!("`{value}`"),
    };
    let resolved = schema.resolve(node);
    let explained = resolved["oneOf"].as_array().into_iter().flatten().filter_map(|choice| {
        let word = choice["const"].as_str()?;
        Some(format!("`\"{word}\"`: {}", on_one_line(choice).trim_end_matches('.')))
    });
    let explained = explained.collect::<Vec<_>>().join("; ");
    let meaning = if explained.is_empty() { meaning.to_owned() } else { format!("{meaning} {explained}.") };
    let kind = match choices(resolved).as_slice() {
        [] => schema.describe(resolved),
        words => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" or "),
    };
    Row { key: key.to_owned(), kind: cell(&kind), default: cell(&default), meaning: cell(&meaning) }
}

/// What is said of `node`, as a cell can hold it.
fn on_one_line(node: &Value) -> String {
    text(node, "description").replace('\n', " ")
}

/// `text` in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A table's description without the header that it begins with.
fn about(text: &str) -> String {
    let text = text.replace('\n', " ");
    let bare = text.split_once("]`: ").map_or(text.as_str(), |(_, rest)| rest);
    let mut chars = bare.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, kernel_config::KernelConfig, recipe::Recipe};
    use std::fs;

    #[test]
    fn the_committed_reference_is_up_to_date() {
        let path = Project::here().root.join("docs/recipes.md");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, page()).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == page(),
            "docs/recipes.md is out of date: write it by `cargo xtask test --bless`"
        );
    }

    #[test]
    fn the_example_is_a_recipe_and_shows_every_key() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["recipes", "functions/greeter/site", "kernel-configs"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(root.join("functions/greeter/Cargo.toml"), "").unwrap();
        fs::write(root.join("kernel-configs/x86_64-release.toml"), "").unwrap();
        for file in ["greeter-test.pem", "greeter-test.key", "greeter-test.token"] {
            fs::write(root.join("recipes").join(file), "").unwrap();
        }
        fs::write(root.join("recipes/greeter.toml"), RECIPE).unwrap();
        let project = Project { root: root.to_owned(), out: root.join("out") };
        let recipe = Recipe::load(&project, "greeter").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(recipe.function.name, "greeter");
        for table in recipe::schema().tables() {
            for Row { key, .. } in rows(recipe::schema(), &table) {
                let shown = format!("{key} =");
                let headed = format!("{}.{key}]", table.header.trim_end_matches(']'));
                assert!(RECIPE.contains(&shown) || RECIPE.contains(&headed), "{} {key}", table.header);
            }
        }
    }

    #[test]
    fn the_example_is_a_kernel_config() {
        let here = Project::here();
        let folder = tempfile::tempdir().unwrap();
        let configs = folder.path().join("kernel-configs");
        let corpus = here.root.join("tests/recipes-bad/kernel-configs");
        for path in ["x86_64-release.toml", "overlays/stack.h", "sources/sel4-sys/Cargo.toml"] {
            fs::create_dir_all(configs.join(path).parent().unwrap()).unwrap();
            fs::copy(corpus.join(path), configs.join(path)).unwrap();
        }
        fs::write(configs.join("x86_64-many-slots.toml"), KERNEL).unwrap();
        let project = Project { root: folder.path().to_owned(), out: folder.path().join("out") };
        let config =
            KernelConfig::load(&project, "x86_64-many-slots").unwrap_or_else(|error| panic!("{error}"));
        assert!(!config.has("FASTPATH") && config.options.contains_key("ROOT_CNODE_SIZE_BITS"));
    }

    #[test]
    fn every_table_of_the_order_exists() {
        let headers: Vec<_> = recipe::schema().tables().into_iter().map(|table| table.header).collect();
        for header in ORDER {
            assert!(headers.iter().any(|there| there == header), "{header}");
        }
    }
}
