//! Conditions on a kernel's options, as the XML of its interface states them.
//!
//! Up to seL4 12.1 a condition is the text of a C preprocessor expression: `defined(CONFIG_VTX)`,
//! `CONFIG_MAX_NUM_NODES > 1`. Newer trees use elements, which [`super::xml`] reads into the same
//! [`Condition`].

use crate::kernel_config::OptionValue;
use std::collections::BTreeMap;

/// An expression over a kernel's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The option (without `CONFIG_`) is on or has a value.
    Defined(String),
    /// Not.
    Not(Box<Condition>),
    /// Both.
    And(Box<Condition>, Box<Condition>),
    /// At least one.
    Or(Box<Condition>, Box<Condition>),
    /// Two numbers compared.
    Compare(Operand, Comparison, Operand),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// The value of an option (without `CONFIG_`); 0 when it is not set, as in C.
    Option(String),
    /// A number.
    Number(i64),
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A text that is not a condition; says what was expected where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the condition `{text}` cannot be read: {problem}")]
pub struct BadCondition {
    text: String,
    problem: String,
}

/// The options that a kernel is built with, as the C preprocessor sees them.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a>(pub &'a BTreeMap<String, OptionValue>);

impl Options<'_> {
    /// Whether the option (without `CONFIG_`) is defined.
    pub fn defined(&self, name: &str) -> bool {
        !matches!(self.0.get(name), None | Some(OptionValue::Flag(false)))
    }

    /// The option's number: 1 for a flag that is on, none for one that is off or not a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            OptionValue::Flag(on) => on.then_some(1),
            OptionValue::Number(number) => Some(*number),
            OptionValue::Text(text) => text.parse().ok(),
        }
    }
}

impl Condition {
    /// That the option `symbol` is set; none when it does not begin with `CONFIG_`.
    pub fn option(symbol: &str) -> Option<Self> {
        let name = symbol.strip_prefix("CONFIG_").filter(|name| !name.is_empty());
        name.map(|name| Self::Defined(name.to_owned()))
    }

    /// Reads the text of a C preprocessor expression over `CONFIG_` symbols.
    pub fn parse(text: &str) -> Result<Self, BadCondition> {
        let bad = |problem: String| BadCondition { text: text.to_owned(), problem };
        let mut parser = Parser { tokens: tokens(text).map_err(bad)?, next: 0 };
        let condition = parser.or().map_err(bad)?;
        match parser.tokens.get(parser.next) {
            None => Ok(condition),
            Some(token) => Err(bad(format!("`{token}` is not expected"))),
        }
    }

    /// Whether it holds for a kernel with these options.
    pub fn holds(&self, options: Options<'_>) -> bool {
        match self {
            Self::Defined(name) => options.defined(name),
            Self::Not(inner) => !inner.holds(options),
            Self::And(left, right) => left.holds(options) && right.holds(options),
            Self::Or(left, right) => left.holds(options) || right.holds(options),
            Self::Compare(left, comparison, right) => {
                let (left, right) = (left.value(options), right.value(options));
                match comparison {
                    Comparison::Equal => left == right,
                    Comparison::NotEqual => left != right,
                    Comparison::Less => left < right,
                    Comparison::LessOrEqual => left <= right,
                    Comparison::Greater => left > right,
                    Comparison::GreaterOrEqual => left >= right,
                }
            }
        }
    }
}

impl Operand {
    fn value(&self, options: Options<'_>) -> i64 {
        match self {
            Self::Option(name) => options.number(name).unwrap_or(0),
            Self::Number(number) => *number,
        }
    }
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    const SYMBOLS: &[&str] = &["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            symbol.ok_or_else(|| format!("`{first}` is not part of the language"))?.len()
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<String>,
    next: usize,
}

impl Parser {
    fn or(&mut self) -> Result<Condition, String> {
        let mut left = self.and()?;
        while self.take("||") {
            left = Condition::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Condition, String> {
        let mut left = self.unary()?;
        while self.take("&&") {
            left = Condition::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Condition, String> {
        if self.take("!") {
            return Ok(Condition::Not(Box::new(self.unary()?)));
        }
        if self.take("(") {
            let inner = self.or()?;
            self.need(")")?;
            return Ok(inner);
        }
        if self.take("defined") {
            let parenthesis = self.take("(");
            let name = self.option()?;
            if parenthesis {
                self.need(")")?;
            }
            return Ok(Condition::Defined(name));
        }
        let left = self.operand()?;
        let comparison = self.comparison()?;
        Ok(Condition::Compare(left, comparison, self.operand()?))
    }

    fn comparison(&mut self) -> Result<Comparison, String> {
        let comparison = match self.word()?.as_str() {
            "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            other => return Err(format!("a comparison is expected, not `{other}`")),
        };
        Ok(comparison)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        match self.tokens.get(self.next).and_then(|token| token.parse().ok()) {
            Some(number) => {
                self.next += 1;
                Ok(Operand::Number(number))
            }
            None => self.option().map(Operand::Option),
        }
    }

    fn option(&mut self) -> Result<String, String> {
        let word = self.word()?;
        match word.strip_prefix("CONFIG_") {
            Some(name) if !name.is_empty() => Ok(name.to_owned()),
            _ => Err(format!("a CONFIG_ symbol is expected, not `{word}`")),
        }
    }

    fn word(&mut self) -> Result<String, String> {
        let word = self.tokens.get(self.next).cloned().ok_or("it ends too early")?;
        self.next += 1;
        Ok(word)
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("`{token}` is missing")) }
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|next| next == token);
        self.next += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let options = [
            ("VTX", OptionValue::Flag(true)),
            ("IOMMU", OptionValue::Flag(false)),
            ("MAX_NUM_NODES", OptionValue::Number(4)),
        ];
        let options = options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Condition::parse(text).unwrap().holds(Options(&options))
    }

    #[test]
    fn conditions_are_evaluated_as_the_preprocessor_does() {
        for text in [
            "defined(CONFIG_VTX)",
            "defined CONFIG_VTX",
            "CONFIG_MAX_NUM_NODES > 1",
            "CONFIG_MAX_NUM_NODES >= 4 && !defined(CONFIG_IOMMU)",
            "defined CONFIG_IOMMU || (defined(CONFIG_VTX) && CONFIG_MAX_NUM_NODES != 1)",
            "CONFIG_NEVER_HEARD_OF == 0",
            "CONFIG_VTX == 1",
            "defined(CONFIG_VTX) || defined(CONFIG_IOMMU) && defined(CONFIG_NONE)",
        ] {
            assert!(holds(text), "{text}");
            assert!(!holds(&format!("!({text})")), "{text}");
        }
        assert!(!holds("defined(CONFIG_IOMMU)"), "a flag that is off is not defined");
    }

    #[test]
    fn anything_else_is_an_error() {
        for (text, problem) in [
            ("", "it ends too early"),
            ("defined(CONFIG_VTX", "`)` is missing"),
            ("defined(VTX)", "a CONFIG_ symbol is expected, not `VTX`"),
            ("CONFIG_VTX", "it ends too early"),
            ("CONFIG_VTX + 1", "`+` is not part of the language"),
            ("defined(CONFIG_VTX) CONFIG_IOMMU", "`CONFIG_IOMMU` is not expected"),
            ("CONFIG_A && 1", "a comparison is expected, not `&&`"),
            ("(defined CONFIG_A &&)", "a CONFIG_ symbol is expected, not `)`"),
        ] {
            assert_eq!(Condition::parse(text).unwrap_err().problem, problem, "{text}");
        }
    }
}
