//! The options that a Kconfig-era tree knows, and whether a kernel config uses them as the tree means.
//!
//! The tree brings its Kconfig files but no front end for them. Only what can find a mistake is read:
//! names, types, choices, dependencies and ranges. Options that only the sources mention are known by
//! name alone.

use crate::{
    document::suggest::{closest, list},
    kernel_config::OptionValue,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// What a tree says of its options.
#[derive(Debug, Default)]
pub(super) struct Kconfig {
    options: BTreeMap<String, Declared>,
    choices: Vec<Choice>,
    /// Names that the sources use.
    mentioned: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Declared {
    kind: Option<Kind>,
    depends: Vec<Expression>,
    range: Option<(i64, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flag,
    Number,
    Text,
}

#[derive(Debug, Default)]
struct Choice {
    prompt: String,
    depends: Vec<Expression>,
    members: Vec<String>,
}

/// What is wrong with an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The option's name without `CONFIG_`; none when several options are meant.
    pub(super) option: Option<String>,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) help: Option<String>,
}

type Options = BTreeMap<String, OptionValue>;

impl Kconfig {
    /// Reads the Kconfig files `files` of a tree and the names that all its other files mention.
    pub(super) fn read(root: &Path, files: &[PathBuf]) -> io::Result<Self> {
        let mut kconfig = Self::default();
        for file in files {
            kconfig.parse(&fs::read_to_string(root.join(file))?);
        }
        for entry in walkdir::WalkDir::new(root) {
            let entry = entry?;
            if entry.file_type().is_file() {
                kconfig.mention(&fs::read(entry.path())?);
            }
        }
        Ok(kconfig)
    }

    fn mention(&mut self, text: &[u8]) {
        const PREFIX: &[u8] = b"CONFIG_";
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let mut at = 0;
        while let Some(found) = text[at..].windows(PREFIX.len()).position(|window| window == PREFIX) {
            let start = at + found;
            let from = start + PREFIX.len();
            let length = text[from..].iter().take_while(|byte| word(byte)).count();
            at = from + length;
            // The Makefiles define some as `-DCONFIG_NAME`.
            let whole = text[..start].ends_with(b"-D") || !text[..start].last().is_some_and(word);
            if length > 0 && whole {
                self.mentioned.insert(String::from_utf8_lossy(&text[from..at]).into_owned());
            }
        }
    }

    fn parse(&mut self, text: &str) {
        let mut reader = Reader::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (word, rest) = split(line);
            if word == "help" || word == "---help---" {
                // The help text goes on for as long as it is indented like its first line.
                while lines.next_if(|next| next.trim().is_empty()).is_some() {}
                let depth = lines.peek().map_or(0, |first| indent(first));
                if depth > indent(line) {
                    while lines.next_if(|next| next.trim().is_empty() || indent(next) >= depth).is_some() {}
                }
            } else {
                reader.line(self, word, rest);
            }
        }
    }

    /// All that is wrong with `options`, in the order of their names.
    pub(super) fn check(&self, options: &Options) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        for (name, value) in options {
            let problem = match self.options.get(name) {
                Some(declared) => declared.problem(name, value, options).map(|text| (text, None)),
                None if self.mentioned.contains(name) => None,
                None => Some((format!("this kernel has no option `{name}`"), self.suggest(name))),
            };
            if let Some((message, help)) = problem {
                complaints.push(Complaint { option: Some(name.clone()), message, help });
            }
        }
        complaints.extend(self.choices.iter().filter_map(|choice| self.choose(choice, options)));
        complaints
    }

    fn suggest(&self, name: &str) -> Option<String> {
        if let Some(bare) = name.strip_prefix("CONFIG_")
            && (self.options.contains_key(bare) || self.mentioned.contains(bare))
        {
            return Some(format!("write `{bare}`, without `CONFIG_`"));
        }
        let known = self.options.keys().chain(&self.mentioned).map(String::as_str);
        closest(name, known).map(|best| format!("did you mean `{best}`?"))
    }

    /// What is wrong with a choice: none of its options is on, or several are.
    fn choose(&self, choice: &Choice, options: &Options) -> Option<Complaint> {
        let available = |name: &&String| {
            self.options.get(*name).is_some_and(|d| d.depends.iter().all(|e| e.holds(options)))
        };
        let members: Vec<_> = choice.members.iter().filter(available).collect();
        if members.is_empty() || !choice.depends.iter().all(|e| e.holds(options)) {
            return None;
        }
        let on: Vec<_> = choice.members.iter().filter(|name| is_on(options, name)).collect();
        let prompt = &choice.prompt;
        match on.as_slice() {
            [_] => None,
            [] => Some(Complaint {
                option: None,
                message: format!("nothing is chosen for \"{prompt}\""),
                help: Some(format!("set one of {} to true", list(&members))),
            }),
            [.., last] => Some(Complaint {
                option: Some((*last).clone()),
                message: format!("{} exclude each other (\"{prompt}\")", list(&on)),
                help: Some("keep one of them".to_owned()),
            }),
        }
    }
}

impl Declared {
    fn problem(&self, name: &str, value: &OptionValue, options: &Options) -> Option<String> {
        let wanted = match (self.kind, value) {
            (Some(Kind::Flag), OptionValue::Number(_) | OptionValue::Text(_)) => "true or false",
            (Some(Kind::Number), OptionValue::Flag(_) | OptionValue::Text(_)) => "a number",
            (Some(Kind::Text), OptionValue::Flag(_) | OptionValue::Number(_)) => "a text",
            _ => "",
        };
        if !wanted.is_empty() {
            return Some(format!("`{name}` takes {wanted}"));
        }
        if let (Some((low, high)), OptionValue::Number(number)) = (self.range, value)
            && !(low..=high).contains(number)
        {
            return Some(format!("`{name}` must be between {low} and {high}, not {number}"));
        }
        let unmet = self.depends.iter().find(|expression| !expression.holds(options))?;
        Some(format!("`{name}` needs {}", unmet.text))
    }
}

fn is_on(options: &Options, name: &str) -> bool {
    options.get(name).is_some_and(|value| *value != OptionValue::Flag(false))
}

/// Where the lines of a Kconfig file belong.
#[derive(Default)]
struct Reader {
    /// The option that attributes belong to; none right after `choice` or `menu`.
    option: Option<String>,
    /// The open menus, choices and `if`s, each with what it depends on.
    open: Vec<Vec<Expression>>,
    choice: Option<Choice>,
}

impl Reader {
    fn line(&mut self, kconfig: &mut Kconfig, word: &str, rest: &str) {
        match word {
            "config" | "menuconfig" => {
                let depends = self.open.iter().flatten().cloned();
                kconfig.options.entry(rest.to_owned()).or_default().depends.extend(depends);
                if let Some(choice) = &mut self.choice {
                    choice.members.push(rest.to_owned());
                }
                self.option = Some(rest.to_owned());
            }
            "menu" => self.open(Vec::new()),
            "if" => self.open(vec![Expression::parse(rest)]),
            "choice" => {
                self.choice = Some(Choice::default());
                self.open(Vec::new());
            }
            "endmenu" | "endif" | "endchoice" => {
                let depends = self.open.pop().unwrap_or_default();
                self.option = None;
                if word == "endchoice"
                    && let Some(choice) = self.choice.take()
                {
                    let depends = self.open.iter().flatten().cloned().chain(depends).collect();
                    kconfig.choices.push(Choice { depends, ..choice });
                }
            }
            _ => self.attribute(kconfig, word, rest),
        }
    }

    fn open(&mut self, depends: Vec<Expression>) {
        self.open.push(depends);
        self.option = None;
    }

    fn attribute(&mut self, kconfig: &mut Kconfig, word: &str, rest: &str) {
        let depends = rest.strip_prefix("on ").filter(|_| word == "depends").map(Expression::parse);
        let Some(declared) = self.option.as_ref().and_then(|name| kconfig.options.get_mut(name)) else {
            if let (Some(depends), Some(open)) = (depends, self.open.last_mut()) {
                open.push(depends);
            } else if let (Some(choice), "prompt") = (&mut self.choice, word) {
                choice.prompt = rest.trim_matches('"').to_owned();
            }
            return;
        };
        declared.depends.extend(depends);
        match word {
            "bool" | "tristate" => declared.kind = Some(Kind::Flag),
            "int" | "hex" => declared.kind = Some(Kind::Number),
            "string" => declared.kind = Some(Kind::Text),
            "range" => {
                let bounds: Vec<i64> = rest.split_whitespace().filter_map(|n| n.parse().ok()).collect();
                if let [low, high] = bounds[..] {
                    declared.range = Some((low, high));
                }
            }
            _ => {}
        }
    }
}

fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    if line.starts_with('#') {
        return ("", "");
    }
    line.split_once(char::is_whitespace).map_or((line, ""), |(word, rest)| (word, rest.trim()))
}

/// The width of a line's indentation; a tab goes to the next multiple of 8, as in Kconfig.
fn indent(line: &str) -> usize {
    let blank = line.chars().take_while(|c| c.is_whitespace());
    blank.fold(0, |width, c| if c == '\t' { width / 8 * 8 + 8 } else { width + 1 })
}

/// A dependency: `!A && (B || C = 1)`.
#[derive(Debug, Clone)]
struct Expression {
    text: String,
    tokens: Vec<String>,
}

impl Expression {
    fn parse(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let operators = ["&&", "||", "!=", "!", "=", "(", ")"];
            let length = operators.iter().find(|op| rest.starts_with(**op)).map_or_else(
                || rest.find(|c: char| c.is_whitespace() || "&|!=()".contains(c)).unwrap_or(rest.len()),
                |op| op.len(),
            );
            let (token, tail) = rest.split_at(length.max(first.len_utf8()));
            tokens.push(token.to_owned());
            rest = tail.trim_start();
        }
        Self { text: text.to_owned(), tokens }
    }

    fn holds(&self, options: &Options) -> bool {
        Evaluation { options, tokens: &self.tokens }.any()
    }
}

/// Recursive descent over what is left of an expression.
struct Evaluation<'a> {
    options: &'a Options,
    tokens: &'a [String],
}

impl Evaluation<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let found = self.tokens.first().is_some_and(|first| first == token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn any(&mut self) -> bool {
        let mut holds = self.all();
        while self.eat("||") {
            // Both sides are evaluated: each eats its tokens.
            holds |= self.all();
        }
        holds
    }

    fn all(&mut self) -> bool {
        let mut holds = self.one();
        while self.eat("&&") {
            holds &= self.one();
        }
        holds
    }

    fn one(&mut self) -> bool {
        if self.eat("!") {
            return !self.one();
        }
        if self.eat("(") {
            let holds = self.any();
            self.eat(")");
            return holds;
        }
        let Some((name, rest)) = self.tokens.split_first() else { return true };
        self.tokens = rest;
        let equal = self.eat("=");
        if !equal && !self.eat("!=") {
            return is_on(self.options, name);
        }
        let Some((wanted, rest)) = self.tokens.split_first() else { return true };
        self.tokens = rest;
        let value = match self.options.get(name) {
            None | Some(OptionValue::Flag(false)) => "n".to_owned(),
            Some(OptionValue::Flag(true)) => "y".to_owned(),
            Some(OptionValue::Number(number)) => number.to_string(),
            Some(OptionValue::Text(text)) => text.clone(),
        };
        (value == wanted.trim_matches('"')) == equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "
menu \"System\"
    depends on PC
    choice
        prompt \"Local APIC mode\"
        default XAPIC
        help
            config NOT_AN_OPTION

            of many lines
        config XAPIC
            bool \"XAPIC\"
        config X2APIC
            bool \"X2APIC\"
    endchoice
endmenu
config PC
    bool
config NODES
    int \"Nodes\"
    depends on DOMAINS = 1 && !(SMALL || PC = n)
    range 1 256
config DOMAINS
    int
config NAME
\tstring \"Name\"
";

    fn kconfig() -> Kconfig {
        let mut kconfig = Kconfig::default();
        kconfig.parse(TREE);
        kconfig.mention(b"#if defined(CONFIG_SMALL) && MY_CONFIG_OTHER && CONFIG_ -DCONFIG_BY_MAKE");
        kconfig
    }

    fn complaints(options: &str) -> Vec<String> {
        let options: Options = toml::from_str(options).unwrap();
        kconfig()
            .check(&options)
            .into_iter()
            .map(|c| c.message + "; " + &c.help.unwrap_or_default())
            .collect()
    }

    #[test]
    fn good_options_pass() {
        assert_eq!(complaints("PC = true\nXAPIC = true\nNODES = 4\nDOMAINS = 1\nNAME = 'x'"), [""; 0]);
        assert_eq!(complaints("SMALL = true\nBY_MAKE = true"), [""; 0]);
    }

    #[test]
    fn unknown_options_are_refused_with_the_nearest_name() {
        assert_eq!(complaints("NODE = 1"), ["this kernel has no option `NODE`; did you mean `NODES`?"]);
        assert_eq!(
            complaints("CONFIG_SMALL = true"),
            ["this kernel has no option `CONFIG_SMALL`; write `SMALL`, without `CONFIG_`"]
        );
        for unknown in ["QQQQQQQQ", "NOT_AN_OPTION", "OTHER"] {
            assert!(complaints(&format!("{unknown} = true"))[0].contains("no option"), "{unknown}");
        }
    }

    #[test]
    fn a_choice_wants_exactly_one() {
        assert_eq!(
            complaints("PC = true\nXAPIC = true\nX2APIC = true"),
            ["`XAPIC`, `X2APIC` exclude each other (\"Local APIC mode\"); keep one of them"]
        );
        assert_eq!(
            complaints("PC = true"),
            ["nothing is chosen for \"Local APIC mode\"; set one of `XAPIC`, `X2APIC` to true"]
        );
    }

    #[test]
    fn types_ranges_and_dependencies_hold() {
        assert_eq!(complaints("DOMAINS = true"), ["`DOMAINS` takes a number; "]);
        assert_eq!(complaints("NAME = 3"), ["`NAME` takes a text; "]);
        assert_eq!(complaints("SMALL = true\nXAPIC = true"), ["`XAPIC` needs PC; "]);
        let pc = "PC = true\nXAPIC = true\nDOMAINS = 1\n";
        assert_eq!(complaints(&format!("{pc}NODES = 257")), ["`NODES` must be between 1 and 256, not 257; "]);
        let needs = "`NODES` needs DOMAINS = 1 && !(SMALL || PC = n); ";
        assert_eq!(complaints(&format!("{pc}NODES = 2\nSMALL = true")), [needs]);
        assert_eq!(complaints("NODES = 2\nDOMAINS = 1"), [needs]);
    }
}
