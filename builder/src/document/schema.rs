//! Checking a document against the JSON schema of the type that it becomes.
//!
//! serde stops at the first difference and knows no remedy; this walk finds all of them: unknown keys,
//! wrong types, missing keys, numbers out of range, words that are none of the choices.

use super::{
    Document,
    suggest::{closest, did_you_mean, list, same},
};
use crate::{Digest, diagnostic::Diagnostic};
use serde_json::Value;
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The schema of a type that is written as TOML.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Value,
    /// Words that people write for a key, and the key.
    habits: &'static [(&'static str, &'static str)],
}

/// One table of a schema.
#[derive(Debug, Clone)]
pub(crate) struct Table<'s> {
    /// As its header: `[run.qemu]`, `[[overlay]]`; empty for the top.
    pub(crate) header: String,
    /// What it is for.
    pub(crate) about: &'s str,
    /// Its keys, sorted, with their schemas; tables among them.
    pub(crate) keys: Vec<(&'s str, &'s Value)>,
    /// Keys that must be there.
    pub(crate) required: Vec<&'s str>,
}

impl Schema {
    /// The schema of `T`; `habits` are words that people write for its keys.
    pub(crate) fn of<T: schemars::JsonSchema>(habits: &'static [(&'static str, &'static str)]) -> Self {
        Self { root: schemars::schema_for!(T).to_value(), habits }
    }

    /// Every difference between `doc` and the schema, in order of place.
    pub(crate) fn check(&self, doc: &Document<'_>) -> Vec<Diagnostic> {
        let mut walk = Walk { schema: self, doc, found: Vec::new() };
        walk.table(&self.root, doc.root(), "", 0..0);
        walk.found.sort_by_key(|one| one.spot.as_ref().map(|spot| (spot.row, spot.column)));
        walk.found
    }

    /// Every table, the top one first, then in the order of their headers.
    pub(crate) fn tables(&self) -> Vec<Table<'_>> {
        let mut tables = Vec::new();
        self.collect(&self.root, text(&self.root, "description"), String::new(), &mut tables);
        tables
    }

    fn collect<'s>(&'s self, node: &'s Value, about: &'s str, path: String, into: &mut Vec<Table<'s>>) {
        let table = Table { about, ..self.table(node, header(&path)) };
        let keys = table.keys.clone();
        into.push(table);
        for (key, value) in keys {
            // In a list of tables, the header of an inner one has the list's name as well.
            let inner = join(path.trim_matches(['[', ']']), key);
            let about = text(value, "description");
            let value = self.resolve(value);
            if value["properties"].is_object() {
                self.collect(value, about, inner, into);
            } else if self.resolve(&value["items"])["properties"].is_object() {
                self.collect(self.resolve(&value["items"]), about, format!("[{inner}]"), into);
            }
        }
    }

    /// The table that `node` describes.
    fn table<'s>(&'s self, node: &'s Value, header: String) -> Table<'s> {
        let keys = node["properties"].as_object().into_iter().flatten();
        let required = node["required"].as_array().into_iter().flatten();
        Table {
            header,
            about: text(node, "description"),
            keys: keys.map(|(key, value)| (key.as_str(), value)).collect(),
            required: required.filter_map(Value::as_str).collect(),
        }
    }

    /// `node` behind its references, without "or nothing".
    pub(crate) fn resolve<'s>(&'s self, node: &'s Value) -> &'s Value {
        if let Some(name) = node["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
            return self.resolve(&self.root["$defs"][name]);
        }
        match node["anyOf"].as_array().map(Vec::as_slice) {
            Some([one, null]) | Some([null, one]) if null["type"] == "null" => self.resolve(one),
            _ => node,
        }
    }

    /// The alternatives that `node` has; itself when there is one only.
    fn variants<'s>(&'s self, node: &'s Value) -> Vec<&'s Value> {
        match node["anyOf"].as_array() {
            Some(variants) => variants.iter().map(|variant| self.resolve(variant)).collect(),
            None => vec![node],
        }
    }

    /// What a value of this schema is, for instance `a whole number`.
    pub(crate) fn describe(&self, node: &Value) -> String {
        let node = self.resolve(node);
        if let Some(title) = node["title"].as_str() {
            return title.to_owned();
        }
        let choices = choices(node);
        if let [only] = choices.as_slice() {
            return format!("`\"{only}\"`");
        }
        if !choices.is_empty() {
            return format!("one of {}", list(&choices));
        }
        match kind(node) {
            "string" => "a text".into(),
            "integer" => "a whole number".into(),
            "boolean" => "`true` or `false`".into(),
            "array" => match self.describe(&node["items"]).as_str() {
                "a text" => "a list of texts".into(),
                "a table" => "a list of tables".into(),
                item => format!("a list, each value {item}"),
            },
            _ if node["additionalProperties"].is_object() => {
                match self.describe(&node["additionalProperties"]).as_str() {
                    "a text" => "a table of texts".into(),
                    value => format!("a table, each value {value}"),
                }
            }
            _ => "a table".into(),
        }
    }

    /// What the top table's key `key` is, and what it is for, to follow `add it, `.
    pub(crate) fn explain(&self, key: &str) -> String {
        let node = &self.root["properties"][key];
        format!("{}: {}", self.describe(node), uncapitalised(text(node, "description")))
    }

    /// The table whose keys are free, such as `[options]`, when `word` is written as its keys are, in
    /// capitals; one inside `here` comes first.
    fn open_table(&self, word: &str, here: &str) -> Option<String> {
        let capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if !word.chars().all(capital) {
            return None;
        }
        let tables = self.tables();
        let path = |table: &Table<'_>| table.header.trim_matches(['[', ']']).to_owned();
        let open = tables.iter().flat_map(|table| {
            let free = table.keys.iter().filter(|(_, node)| node["additionalProperties"].is_object());
            free.map(move |(key, _)| (table.header != here, header(&join(&path(table), key))))
        });
        open.min_by_key(|(other, _)| *other).map(|(_, header)| header)
    }

    /// The table that has the key that `word` probably stands for, and that key. Keys of `here` are
    /// left to the caller.
    fn elsewhere(&self, word: &str, here: &str) -> Option<(String, &str)> {
        let tables: Vec<_> = self.tables().into_iter().filter(|table| table.header != here).collect();
        let all =
            || tables.iter().flat_map(|table| table.keys.iter().map(move |(key, _)| (&table.header, *key)));
        let meant = self.habits.iter().find(|(habit, _)| same(habit, word)).map_or(word, |(_, key)| key);
        let exact = all().find(|(_, key)| same(key, meant));
        let close =
            || closest(word, all().map(|(_, key)| key)).and_then(|near| all().find(|(_, key)| *key == near));
        let (_, key) = exact.or_else(close)?;
        // Several tables may have it: which one is meant, only the user knows.
        let places: Vec<_> =
            all().filter(|(_, other)| *other == key).map(|(header, _)| place(header)).collect();
        Some((places.join(" or "), key))
    }
}

/// One walk over a document.
struct Walk<'a> {
    schema: &'a Schema,
    doc: &'a Document<'a>,
    found: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn wrong(&mut self, span: Range<usize>, message: String, help: String) {
        self.found.push(self.doc.source.diagnostic(span, message).help(help));
    }

    /// Checks a table whose header is written at `span`; `path` is empty for the top.
    fn table(&mut self, node: &Value, table: &DeTable<'_>, path: &str, span: Range<usize>) {
        let expected = self.schema.table(node, header(path));
        let open = &node["additionalProperties"];
        let mut meant = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let known = expected.keys.iter().find(|(known, _)| *known == name).map(|(_, node)| *node);
            match known.or(open.is_object().then_some(open)) {
                Some(node) => {
                    self.value(self.schema.resolve(node), value, &join(path, name), &format!("`{name}`"))
                }
                None => meant.extend(self.unknown(&expected, name, key.span(), value.get_ref().is_table())),
            }
        }
        for key in &expected.required {
            // A key that was misspelt is not missing as well.
            if !table.contains_key(*key) && !meant.contains(key) {
                let node = &node["properties"][*key];
                self.missing(&expected.header, key, node, span.clone());
            }
        }
    }

    /// The table has no key `name`; returns the one of its keys that is probably meant.
    fn unknown<'s>(
        &mut self,
        table: &Table<'s>,
        name: &str,
        span: Range<usize>,
        is_table: bool,
    ) -> Option<&'s str> {
        let keys: Vec<_> = table.keys.iter().map(|(key, _)| *key).collect();
        let habits = self.schema.habits.iter().filter(|(habit, _)| same(habit, name));
        let habit = habits.filter_map(|(_, meant)| keys.iter().find(|key| *key == meant)).next();
        let near = habit.copied().or_else(|| closest(name, keys.iter().copied()));
        let other = self.schema.elsewhere(name, &table.header);
        let help = match (near, other) {
            (Some(near), Some((places, key))) if same(key, name) && !same(near, name) => {
                format!("did you mean `{key}` {places}, or `{near}` here?")
            }
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some((places, key))) => format!("did you mean `{key}` {places}?"),
            (None, None) => match self.schema.open_table(name, &table.header) {
                Some(open) => format!("did you mean `{name}` in {open}?"),
                None => format!("keys there: {}", list(&keys)),
            },
        };
        let kind = if is_table { "table" } else { "key" };
        self.wrong(
            span,
            format!("there is no {kind} `{}` {}", name.escape_debug(), place(&table.header)),
            help,
        );
        near
    }

    fn missing(&mut self, header: &str, key: &str, node: &Value, span: Range<usize>) {
        let about = uncapitalised(text(node, "description"));
        let node = self.schema.resolve(node);
        if !node["properties"].is_object() {
            let message = format!("`{key}` is missing {}", place(header));
            return self.wrong(span, message, format!("add it, {}: {about}", self.schema.describe(node)));
        }
        let required = self.schema.table(node, String::new()).required;
        let keys = if required.is_empty() { String::new() } else { format!(", with {}", list(&required)) };
        self.wrong(span, format!("the table [{key}] is missing"), format!("add it{keys}: {about}"));
    }

    /// Checks one value; `name` is how messages call it.
    fn value(&mut self, node: &Value, value: &Spanned<DeValue<'_>>, path: &str, name: &str) {
        let mut variants = self.schema.variants(node);
        variants.retain(|node| fits(node, value.get_ref()));
        // Of tables, the one with some of the keys is meant; two at once are none.
        if let (DeValue::Table(table), [_, _, ..]) = (value.get_ref(), variants.as_slice()) {
            let has = |node: &&Value| {
                table.keys().any(|key| node["properties"].get(key.get_ref().as_ref()).is_some())
            };
            variants.retain(has);
            if variants.len() > 1 {
                variants.clear();
            }
        }
        let Some(node) = variants.first().copied() else {
            let message =
                format!("{name} must be {}, not {}", self.schema.describe(node), got(value.get_ref()));
            let help = self.remedy(node, value.get_ref(), path);
            return self.wrong(value.span(), message, help);
        };
        match value.get_ref() {
            DeValue::String(text) => self.choice(node, text, value.span(), name),
            DeValue::Integer(number) => {
                let number = i128::from_str_radix(number.as_str(), number.radix()).ok();
                self.range(node, number, value.span(), name);
            }
            DeValue::Array(values) => {
                let items = self.schema.resolve(&node["items"]);
                for (i, value) in values.iter().enumerate() {
                    self.value(items, value, &format!("[{path}]"), &format!("value {} of {name}", i + 1));
                }
            }
            DeValue::Table(table) => self.table(node, table, path, value.span()),
            _ => {}
        }
    }

    fn choice(&mut self, node: &Value, text: &str, span: Range<usize>, name: &str) {
        if node["format"] == "sha256" && text.parse::<Digest>().is_err() {
            let message = format!("{name} must be a SHA-256 digest: 64 hexadecimal digits, not `{text}`");
            return self.wrong(span, message, "write all zeros to be told the digest that was found".into());
        }
        let choices = choices(node);
        if !choices.is_empty() && !choices.contains(&text) {
            let message = format!("{name} must be {}, not `{text}`", self.schema.describe(node));
            self.wrong(span, message, did_you_mean(text, "choices", &choices));
        }
    }

    fn range(&mut self, node: &Value, number: Option<i128>, span: Range<usize>, name: &str) {
        let limit = |key: &str| node[key].as_i64().map(i128::from).or(node[key].as_u64().map(i128::from));
        let (least, most) = match node["format"].as_str() {
            Some("int64") => (i128::from(i64::MIN), i128::from(i64::MAX)),
            _ => (limit("minimum").unwrap_or(0), limit("maximum").unwrap_or(i128::from(i64::MAX))),
        };
        if number.is_none_or(|number| number < least || number > most) {
            if most == i128::from(i64::MAX) {
                let (what, help) = match number {
                    Some(..0) if least == 0 => ("must not be negative", "write 0 or more"),
                    _ => ("does not fit into 64 bits", "write a number nearer to zero"),
                };
                return self.wrong(span, format!("{name} {what}"), help.into());
            }
            let written = self.doc.source.text.get(span.clone()).unwrap_or_default();
            let message = format!("{name} must be {least} to {most}, not {written}");
            self.wrong(span, message, format!("write a number from {least} to {most}"));
        }
    }

    /// What to write instead of a value of the wrong type.
    fn remedy(&self, node: &Value, value: &DeValue<'_>, path: &str) -> String {
        let node = self.schema.resolve(node);
        let kinds: Vec<_> = self.schema.variants(node).into_iter().map(kind).collect();
        let scalar = match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            _ => None,
        };
        match (value, scalar) {
            _ if kinds == ["object"] => format!("write a header, `[{path}]`, and the table's keys under it"),
            (DeValue::Table(_), _) if kinds == ["array"] => {
                format!("write the header in double brackets: `[[{path}]]`")
            }
            (DeValue::String(text), _) if kinds.contains(&"integer") && text.parse::<i64>().is_ok() => {
                format!("write it without quotes: `{text}`")
            }
            (DeValue::String(text), _)
                if kinds.contains(&"boolean") && ["true", "false"].contains(&text.as_ref()) =>
            {
                format!("write it without quotes: `{text}`")
            }
            (DeValue::String(text), _) if kinds.contains(&"array") => format!("write a list: `[{text:?}]`"),
            (DeValue::Array(values), _) if kinds.contains(&"string") && values.len() == 1 => {
                "write its value without the brackets".into()
            }
            (_, Some(scalar)) if kinds == ["string"] => format!("write it in quotes: `\"{scalar}\"`"),
            _ => format!("write {}", self.schema.describe(node)),
        }
    }
}

/// Whether the TOML type of `value` is the one of `node`.
fn fits(node: &Value, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(_) => kind(node) == "string",
        DeValue::Integer(_) => kind(node) == "integer",
        DeValue::Boolean(_) => kind(node) == "boolean",
        DeValue::Array(_) => kind(node) == "array",
        DeValue::Table(_) => kind(node) == "object",
        DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
}

/// The JSON type of `node`, without "or nothing"; a choice of words is a text.
fn kind(node: &Value) -> &str {
    let kinds = node["type"].as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(&node["type"]));
    let kind = kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null");
    kind.unwrap_or(if choices(node).is_empty() { "" } else { "string" })
}

/// The words that `node` allows; none when it is no choice of words.
pub(crate) fn choices(node: &Value) -> Vec<&str> {
    let plain = node["enum"].as_array().into_iter().flatten();
    let described = node["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]);
    plain.chain(described).filter_map(Value::as_str).collect()
}

/// What a value is, for `must be …, not …`.
fn got(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "`true`",
        DeValue::Boolean(false) => "`false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The text under `key`, empty when there is none.
pub(crate) fn text<'s>(node: &'s Value, key: &str) -> &'s str {
    node[key].as_str().unwrap_or_default()
}

/// `[path]`; nothing for the top.
fn header(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("[{path}]") }
}

/// How messages say that something is in a table.
fn place(header: &str) -> String {
    if header.is_empty() { "at the top of the file".to_owned() } else { format!("in {header}") }
}

/// `path.key`
fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// `text` to follow a colon: its first letter small unless the word is a name, without its last dot and
/// the default.
fn uncapitalised(text: &str) -> String {
    let text = text.replace('\n', " ");
    let text = text.split_once(" Default: ").map_or(text.as_str(), |(meaning, _)| meaning);
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}
