//! `[smoke]`

use super::{Check, repeated};
use crate::{
    document::{Step, at},
    recipe::{RawPattern, units::show_period},
};
use regex_syntax::ParserBuilder;
use std::ops::Range;

/// The default time-out, in milliseconds.
const TIMEOUT: u64 = 30_000;
/// The longest time-out, in milliseconds: a smoke test is not a soak test.
const TIMEOUT_MOST: u64 = 60 * 60_000;

impl Check<'_> {
    /// The time-out in milliseconds, and that of each request.
    pub(super) fn smoke(&mut self) -> (u64, Vec<u64>) {
        let Some(smoke) = &self.raw.smoke else { return (TIMEOUT, Vec::new()) };
        if smoke.expect.is_empty() {
            let help =
                "write at least one text that only a good run prints, for instance `expect = [\"ready\"]`";
            self.wrong(at!["smoke", "expect"], "nothing is expected, so that anything would pass", help);
        }
        self.patterns("expect", &smoke.expect);
        self.patterns("forbid", &smoke.forbid);
        self.contradictions(&smoke.expect, &smoke.forbid);
        if smoke.input.as_deref() == Some("") {
            let help = "take it out, or write what is to be sent, for instance `\"quit\\r\"`";
            self.wrong(at!["smoke", "input"], "the input is empty", help);
        }
        let at = at!["smoke", "timeout"];
        let timeout = self.period(at, smoke.timeout.as_ref(), TIMEOUT);
        if timeout == 0 {
            self.wrong(
                at,
                "a time-out of nothing fails every run",
                format!("write `\"{}\"`", show_period(TIMEOUT)),
            );
        } else if timeout > TIMEOUT_MOST {
            let message = format!(
                "`timeout` must be at most {}, not {}",
                show_period(TIMEOUT_MOST),
                show_period(timeout)
            );
            self.wrong(at, message, "write how long a good run may take at most, for instance `\"30 s\"`");
        }
        (timeout, self.requests(smoke))
    }

    fn patterns(&mut self, key: &str, patterns: &[RawPattern]) {
        for (i, pattern) in patterns.iter().enumerate() {
            self.pattern(at!["smoke", key, i], pattern);
        }
        if let Some(i) = repeated(patterns) {
            let help = match key {
                "expect" => {
                    "keep one; a regular expression finds a text twice: `{ regex = '(?s)tick.*tick' }`"
                }
                _ => "keep one of them",
            };
            self.wrong(at!["smoke", key, i], format!("this is twice in `{key}`"), help);
        }
    }

    /// A text or an expression that is to be found somewhere.
    pub(super) fn pattern(&mut self, at: &[Step<'_>], pattern: &RawPattern) {
        match pattern {
            RawPattern::Literal(text) if text.is_empty() => {
                let help = "write a text that only a good run shows";
                self.wrong(at, "the text is empty: it is everywhere", help);
            }
            RawPattern::Literal(_) => {}
            RawPattern::Regex { regex } => {
                if let Err(bad) = check_regex(regex) {
                    let at = [at, &[Step::Key("regex")]].concat();
                    let span = self.findings.doc.span_in_text(&at, bad.span);
                    self.findings.place(span, bad.message, bad.help);
                }
            }
        }
    }

    /// What is forbidden must not be in what is expected: no run could pass.
    fn contradictions(&mut self, expect: &[RawPattern], forbid: &[RawPattern]) {
        for (i, forbidden) in forbid.iter().enumerate() {
            let impossible = expect.iter().find(|expected| match (forbidden, expected) {
                (RawPattern::Literal(forbidden), RawPattern::Literal(expected)) => {
                    !forbidden.is_empty() && expected.contains(forbidden)
                }
                (RawPattern::Regex { regex }, RawPattern::Literal(expected)) => {
                    check_regex(regex).is_ok()
                        && regex::Regex::new(regex).is_ok_and(|regex| regex.is_match(expected))
                }
                (forbidden, expected) => forbidden == *expected,
            });
            if impossible.is_some() {
                let message = "this is forbidden, but it is in a text that is expected: no run could pass";
                self.wrong(
                    at!["smoke", "forbid", i],
                    message,
                    "take it out of `forbid`, or make it more precise",
                );
            }
        }
    }
}

/// Why a regular expression cannot be used.
struct BadRegex {
    /// The bytes of it that are wrong.
    span: Range<usize>,
    message: String,
    help: String,
}

fn check_regex(regex: &str) -> Result<(), BadRegex> {
    let bad =
        |span: Range<usize>, message: String, help: &str| Err(BadRegex { span, message, help: help.into() });
    let fault = |span: &regex_syntax::ast::Span, kind: &dyn std::fmt::Display| {
        let message = format!("the regular expression is wrong: {kind}");
        let help =
            "a backslash before a special character takes it as it is; docs.rs/regex describes the syntax";
        bad(span.start.offset..span.end.offset, message, help)
    };
    let parsed = match ParserBuilder::new().build().parse(regex) {
        Ok(parsed) => parsed,
        Err(regex_syntax::Error::Parse(error)) => return fault(error.span(), error.kind()),
        Err(regex_syntax::Error::Translate(error)) => return fault(error.span(), error.kind()),
        Err(error) => return bad(0..regex.len(), error.to_string(), "see docs.rs/regex"),
    };
    match parsed.properties().minimum_len() {
        None => bad(
            0..regex.len(),
            "the regular expression matches no text at all".into(),
            "take it out, or mend it",
        ),
        Some(0) => {
            let help = "make it match at least one character: `+` instead of `*`, say";
            bad(
                0..regex.len(),
                "the regular expression matches the empty text: it is everywhere".into(),
                help,
            )
        }
        Some(_) if regex::Regex::new(regex).is_err() => {
            let help = "use smaller counts in `{…}`";
            bad(0..regex.len(), "the regular expression is too large".into(), help)
        }
        Some(_) => Ok(()),
    }
}
