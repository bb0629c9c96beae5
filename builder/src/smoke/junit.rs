//! A JUnit file of a smoke run, for CI systems. The format has few elements, so it is written here: the
//! crate for it would bring more code than all of this module's dependents.

use super::{Summary, Verdict};
use std::{fmt::Write, time::Duration};

/// The run as a JUnit file. When `strict`, skipped tests are failures in it.
pub fn junit(summary: &Summary, strict: bool) -> String {
    let [_, failed, skipped] = summary.counts();
    let (failed, skipped) = if strict { (failed + skipped, 0) } else { (failed, skipped) };
    let seconds = summary.reports.iter().filter_map(|r| r.timing.end).sum::<Duration>().as_secs_f64();
    let counts = format!(
        "tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\"",
        summary.reports.len()
    );
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"smoke\" {counts}>\n"
    );
    for report in &summary.reports {
        let time = report.timing.end.map_or(0.0, |end| end.as_secs_f64());
        let class = report.target;
        let name = match report.boot {
            None => escape(&report.name),
            Some(boot) => escape(&format!("{} {boot}", report.name)),
        };
        // Writing to a string cannot fail.
        let _ =
            writeln!(xml, "    <testcase classname=\"smoke.{class}\" name=\"{name}\" time=\"{time:.3}\">");
        let _ = match &report.verdict {
            Verdict::Pass => Ok(()),
            Verdict::Skip { reason } if !strict => {
                writeln!(xml, "      <skipped message=\"{}\"/>", escape(reason))
            }
            Verdict::Skip { reason } => failure(&mut xml, "skipped", reason, ""),
            Verdict::Fail { cause, detail } => {
                failure(&mut xml, &cause.to_string(), detail, &report.to_string())
            }
        };
        let firmware = report.firmware.iter().map(|line| format!("firmware: {line}"));
        let screen = report.screen.iter().map(|line| format!("screen: {line}"));
        let lines: Vec<String> = report.tail.iter().cloned().chain(firmware).chain(screen).collect();
        if !lines.is_empty() {
            let _ = writeln!(xml, "      <system-out>{}</system-out>", escape(&lines.join("\n")));
        }
        xml.push_str("    </testcase>\n");
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn failure(xml: &mut String, kind: &str, message: &str, text: &str) -> std::fmt::Result {
    let (kind, message, text) = (escape(kind), escape(message), escape(text));
    writeln!(xml, "      <failure type=\"{kind}\" message=\"{message}\">{text}</failure>")
}

/// `text` as XML 1.0 can hold it: control characters and non-characters have no spelling there.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if (c as u32) < 0x20 => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Target,
        smoke::{Cause, RunReport},
    };

    #[test]
    fn an_xml_reader_gets_back_what_was_put_in() {
        let detail = "`<a href=\"x\">` & ]]> \u{1b}[0m\nnext".to_owned();
        let verdicts = [
            Verdict::Pass,
            Verdict::Skip { reason: "no \"KVM\"".into() },
            Verdict::Fail { cause: Cause::WrongOutput, detail: detail.clone() },
        ];
        let reports = verdicts.map(|verdict| RunReport {
            tail: vec!["<&>".into(), "b".into()],
            ..RunReport::not_run("hello", Target::Qemu, verdict)
        });
        let summary = Summary { reports: reports.into() };
        for (strict, failures, skipped) in [(false, "1", "1"), (true, "2", "0")] {
            let xml = junit(&summary, strict);
            let document = roxmltree::Document::parse(&xml).unwrap();
            let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
            assert_eq!(suite.attribute("tests"), Some("3"));
            assert_eq!(suite.attribute("time"), Some("0.000"));
            assert_eq!(suite.attribute("failures"), Some(failures));
            assert_eq!(suite.attribute("skipped"), Some(skipped));
            let failure = document.descendants().rfind(|node| node.has_tag_name("failure")).unwrap();
            assert_eq!(failure.attribute("type"), Some("wrong output"));
            assert_eq!(failure.attribute("message"), Some(detail.replace('\u{1b}', "\u{fffd}").as_str()));
            let out = document.descendants().find(|node| node.has_tag_name("system-out")).unwrap();
            assert_eq!(out.text(), Some("<&>\nb"));
        }
    }
}
