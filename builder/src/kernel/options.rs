//! A kernel config's options as the header that the kernel's sources include.

use crate::{kernel_config::OptionValue, template};
use serde::Serialize;
use std::collections::BTreeMap;

const TEMPLATE: &str = include_str!("../../../templates/kernel/autoconf.h.hbs");

#[derive(Serialize)]
struct Defined<'a> {
    name: &'a str,
    value: String,
}

/// The text of `autoconf.h`: one macro for each option that is on or has a value, sorted by name.
pub fn autoconf(options: &BTreeMap<String, OptionValue>) -> String {
    let value = |value: &OptionValue| match value {
        OptionValue::Flag(false) => None,
        OptionValue::Flag(true) => Some("1".to_owned()),
        OptionValue::Number(number) => Some(number.to_string()),
        OptionValue::Text(text) => Some(c_string(text)),
    };
    let options: Vec<_> =
        options.iter().filter_map(|(name, v)| Some(Defined { name, value: value(v)? })).collect();
    template::render(TEMPLATE, &BTreeMap::from([("options", options)]))
}

fn c_string(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\{:03o}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_macros_and_what_is_off_stays_undefined() {
        let options = "ZERO = 0\nON = true\nOFF = false\nNAME = 'a \"b\" \\ <c>'";
        let options: BTreeMap<String, OptionValue> = toml::from_str(options).unwrap();
        let text = autoconf(&options);
        let defines: Vec<_> = text.lines().filter(|line| line.starts_with("#define CONFIG")).collect();
        assert_eq!(
            defines,
            [r#"#define CONFIG_NAME "a \"b\" \\ <c>""#, "#define CONFIG_ON 1", "#define CONFIG_ZERO 0"]
        );
        assert!(text.ends_with("#endif\n"));
    }
}
