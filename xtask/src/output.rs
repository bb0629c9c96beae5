//! The two streams: the answer on stdout, as text or as one JSON document; all prose on stderr.

use builder::{
    ExitCode,
    diagnostic::{Diagnostic, Part},
};
use clap::error::ErrorKind;
use serde::Serialize;
use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
};

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// What a verb has to say in the end.
pub(crate) struct Answer {
    json: serde_json::Value,
    text: String,
    code: ExitCode,
}

impl Answer {
    /// An answer with the same content for programs and for people.
    pub(crate) fn new(data: &impl Serialize, text: impl Into<String>) -> anyhow::Result<Self> {
        Ok(Self { json: serde_json::to_value(data)?, text: text.into(), code: ExitCode::Ok })
    }

    /// The same answer with another exit code.
    pub(crate) fn with_code(mut self, code: ExitCode) -> Self {
        self.code = code;
        self
    }
}

/// How to print.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    /// How the answer is printed.
    pub(crate) format: Format,
    /// Whether only errors and the answer are printed.
    pub(crate) quiet: bool,
    color: Color,
}

/// A colour of the terminal, by meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paint {
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It was left out.
    Skipped,
    /// Of less weight.
    Dim,
}

impl Terminal {
    /// Reads the options that say how to print before clap does, so that its errors obey them too.
    pub(crate) fn of_args(args: impl Iterator<Item = OsString>) -> Self {
        // An argument that is not UTF-8 is none of these options.
        let args = args.map(|arg| arg.into_string().unwrap_or_default());
        let args: Vec<String> = args.take_while(|arg| arg != "--").collect();
        let value = |name: &str| {
            let joined = args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
            joined.or_else(|| args.iter().skip_while(|arg| *arg != name).nth(1).map(String::as_str))
        };
        let color = match value("--color") {
            Some("always") => Color::Always,
            Some("never") => Color::Never,
            _ => Color::Auto,
        };
        let format = if value("--format") == Some("json") { Format::Json } else { Format::Text };
        Self { format, color, quiet: args.iter().any(|arg| arg == "--quiet" || arg == "-q") }
    }

    /// Whether to draw on stderr.
    pub(crate) fn draws(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    fn colors(&self, terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }

    /// The choice of colours as clap puts it.
    pub(crate) fn clap_color(&self) -> clap::ColorChoice {
        match self.color {
            Color::Auto => clap::ColorChoice::Auto,
            Color::Always => clap::ColorChoice::Always,
            Color::Never => clap::ColorChoice::Never,
        }
    }

    /// `text` in a colour, for the answer.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        color(self.format == Format::Text && self.colors(io::stdout().is_terminal()), paint, text)
    }

    /// `text` in a colour, for prose.
    pub(crate) fn paint_prose(&self, paint: Paint, text: &str) -> String {
        color(self.colors(io::stderr().is_terminal()), paint, text)
    }

    /// Prints an answer and gives its exit code.
    pub(crate) fn answer(&self, answer: &Answer) -> u8 {
        let text = match self.format {
            Format::Text => answer.text.clone(),
            Format::Json => format!("{:#}\n", answer.json),
        };
        stdout(&text, answer.code as u8)
    }

    /// Prints an error and gives its exit code: `signal` when one ended the work, else what the error
    /// asks for.
    pub(crate) fn error(&self, error: &anyhow::Error, signal: Option<u8>) -> u8 {
        let known = error.chain().find_map(|cause| cause.downcast_ref::<builder::Error>());
        let code = known.map_or(ExitCode::Failed, builder::Error::code) as u8;
        let diagnostics = known.and_then(builder::Error::diagnostics).unwrap_or_default();
        self.failure(&format!("{error:#}"), diagnostics, signal.unwrap_or(code))
    }

    /// Prints `message`; `diagnostics` are its parts when it tells what is wrong in a file.
    fn failure(&self, message: &str, diagnostics: &[Diagnostic], code: u8) -> u8 {
        match self.format {
            Format::Text => {
                let label = self.paint_prose(Paint::Bad, "error:");
                if diagnostics.is_empty() {
                    stderr(&format!("{label} {message}"));
                }
                for diagnostic in diagnostics {
                    stderr(&format!("{label} {}", self.paint_diagnostic(diagnostic)));
                }
                code
            }
            Format::Json => {
                let mut error = serde_json::json!({ "message": message, "code": code });
                if !diagnostics.is_empty() {
                    error["diagnostics"] = serde_json::json!(diagnostics);
                }
                stdout(&format!("{:#}\n", serde_json::json!({ "error": error })), code)
            }
        }
    }

    fn paint_diagnostic(&self, diagnostic: &Diagnostic) -> String {
        let parts = diagnostic.parts().into_iter().map(|(part, text)| match part {
            Part::Place | Part::Message | Part::Source | Part::Help => text,
            Part::Gutter => self.paint_prose(Paint::Dim, &text),
            Part::Caret => self.paint_prose(Paint::Bad, &text),
            Part::HelpLabel => self.paint_prose(Paint::Good, &text),
        });
        parts.collect()
    }

    /// Prints what clap says, help or an error, and gives the exit code.
    pub(crate) fn clap(&self, error: &clap::Error) -> u8 {
        let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if self.format == Format::Json && !help {
            let text = error.render().to_string();
            let message = text.trim_end().strip_prefix("error: ").unwrap_or(text.trim_end());
            return self.failure(message, &[], ExitCode::Usage as u8);
        }
        // A closed pipe is the reader's choice.
        let _ = error.print();
        if help { 0 } else { ExitCode::Usage as u8 }
    }
}

/// Prints on stdout. A reader that went away (`| head`) is no error; a full disk is.
fn stdout(text: &str, code: u8) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            stderr(&format!("error: stdout: {error}"));
            code.max(ExitCode::Failed as u8)
        }
    }
}

/// Prints a line of prose. Nobody is left to tell when that fails.
pub(crate) fn stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn color(on: bool, paint: Paint, text: &str) -> String {
    if !on {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Good => 32,
        Paint::Bad => 31,
        Paint::Skipped => 33,
        Paint::Dim => 2,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
