//! Breaking lines as rustfmt does.

/// Columns after which a line is broken; that of the repository's `rustfmt.toml`.
const WIDTH: usize = 110;

/// `head(params)tail`, broken as rustfmt breaks it.
pub(super) fn call(head: &str, params: &[String], tail: &str) -> String {
    let line = format!("{head}({}){tail}", params.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let indent = &head[..head.len() - head.trim_start().len()];
    let params: String = params.iter().map(|param| format!("{indent}    {param},\n")).collect();
    format!("{head}(\n{params}{indent}){tail}")
}

/// `head Self { items } }`, broken as rustfmt breaks it.
pub(super) fn record(head: &str, items: &[String]) -> String {
    let line = format!("{head} Self {{ {} }} }}", items.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let indent = &head[..head.len() - head.trim_start().len()];
    let items: String = items.iter().map(|item| format!("{indent}        {item},\n")).collect();
    format!("{head}\n{indent}    Self {{\n{items}{indent}    }}\n{indent}}}")
}

/// Breaks a text into lines of documentation; all but the first begin with `indent`.
pub(super) fn wrap(indent: &str, text: &str) -> Vec<String> {
    const COLUMNS: usize = 96;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > COLUMNS {
            lines.push(format!("{indent}{word}"));
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}
