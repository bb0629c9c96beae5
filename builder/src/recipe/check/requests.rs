//! `[[smoke.http]]` and `[[smoke.tcp]]`

use super::Check;
use crate::{
    Target,
    document::{Step, at},
    recipe::{
        After, Answer, Body, Period, RawHttp, RawNet, RawPattern, RawSmoke, RawTcp, units::show_period,
    },
};

/// How long an answer may take where nobody says, in milliseconds.
const ANSWER: u64 = 5_000;

/// Header fields that the client writes itself.
const OWN_HEADERS: [&str; 6] =
    ["connection", "content-length", "expect", "host", "transfer-encoding", "upgrade"];

impl Check<'_> {
    /// How long each HTTP request, then each TCP connection may take, in milliseconds: boot by boot.
    pub(super) fn requests(&mut self, smoke: &RawSmoke) -> Vec<u64> {
        let mut periods = self.boot(at!["smoke"], &smoke.http, &smoke.tcp);
        for (i, again) in smoke.again.iter().enumerate() {
            periods.extend(self.boot(at!["smoke", "again", i], &again.http, &again.tcp));
        }
        self.secrets(smoke);
        self.servers(smoke);
        if smoke.stop.is_some() && periods.is_empty() {
            let message = "it is sent when all requests have their answers, and there are none";
            self.findings.key(at!["smoke", "stop"], message, "add [[smoke.http]], or write `input` instead");
        }
        self.further_boots(smoke);
        if smoke.stop.as_deref() == Some("") {
            let help = "take it out: the default stops the native libOS";
            self.wrong(at!["smoke", "stop"], "the text is empty: it would stop nothing", help);
        }
        if !periods.is_empty() && self.raw.targets.process.input == Some(false) {
            let message = "a server is stopped by the console's input, which this process would not take";
            let help = "take it out, or take the requests out of [smoke]";
            self.wrong(at!["targets", "process", "input"], message, help);
        }
        periods
    }

    /// What the run is told besides the recipe's environment.
    fn secrets(&mut self, smoke: &RawSmoke) {
        for (name, written) in &smoke.secrets {
            let at = at!["smoke", "secrets", name.as_str()];
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("`{}` is not a name of a variable", name.escape_debug());
                self.findings.key(at, message, "write one such as `KEY`");
            }
            self.file(at, written);
        }
    }

    /// A file that the test reads.
    fn file(&mut self, at: &[Step<'_>], written: &str) {
        if let Some(path) = self.input(at, written).filter(|path| !path.is_file()) {
            self.absent(at, &path, "file");
        }
    }

    /// Servers of the host are reached over a card, and found by a variable.
    fn servers(&mut self, smoke: &RawSmoke) {
        let card = self.raw.devices.net.as_ref().is_some_and(RawNet::has_card);
        let tap = self.at_tap();
        for (i, server) in smoke.server.iter().enumerate() {
            if !card {
                let message = "the function has no network over which it could reach a server";
                self.findings.key(at!["smoke", "server", i], message, "add [devices.net] to the recipe");
            }
            if tap {
                let message = "servers of the host are reached where the card's mode is `\"user\"`, not at a tap device";
                let help = "write `mode = \"user\"` into [devices.net], or take the table out";
                self.findings.key(at!["smoke", "server", i], message, help);
            }
            let at = at!["smoke", "server", i, "env"];
            if server.env.is_empty() || server.env.contains(['=', '\0']) {
                let message = format!("`{}` is not a name of a variable", server.env.escape_debug());
                self.wrong(at, message, "write one such as `\"URL\"`");
            } else if smoke.secrets.contains_key(&server.env) {
                let message = format!("`{}` is a secret's variable already", server.env);
                self.wrong(at, message, "give each a variable of its own");
            } else if smoke.server.iter().take(i).any(|other| other.env == server.env) {
                let message = format!("`{}` is the variable of two servers", server.env);
                self.wrong(at, message, "give each a variable of its own");
            }
            for (key, written) in [("certificate", &server.certificate), ("key", &server.key)] {
                self.file(at!["smoke", "server", i, key], written);
            }
            let name = server.path.strip_prefix('/').unwrap_or_default();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
                let message =
                    format!("`{}` is not a path that the server can have", server.path.escape_debug());
                let help =
                    "write `/` and a name of letters, digits, `-`, `_` and `.`, for instance `\"/greeting\"`";
                self.wrong(at!["smoke", "server", i, "path"], message, help);
            }
        }
    }

    /// What boots after the first one need.
    fn further_boots(&mut self, smoke: &RawSmoke) {
        let asks = |http: &[RawHttp], tcp: &[RawTcp]| !http.is_empty() || !tcp.is_empty();
        let mut before = asks(&smoke.http, &smoke.tcp);
        for (i, again) in smoke.again.iter().enumerate() {
            if self.raw.devices.disk.is_none() && i == 0 {
                let help = "add [devices.disk], or take the table out";
                self.wrong(at!["smoke", "again", i], "there is no disk that a further boot could find", help);
            }
            if again.after == After::Kill && !before {
                let message = "the boot before it has no requests, after which it could be killed";
                self.wrong(
                    at!["smoke", "again", i, "after"],
                    message,
                    "add [[smoke.http]] to it, or write `\"stop\"`",
                );
            }
            if again.expect.is_empty() {
                let help = "write at least one text that only a good run prints";
                self.wrong(
                    at!["smoke", "again", i, "expect"],
                    "nothing is expected, so that anything would pass",
                    help,
                );
            }
            for (j, pattern) in again.expect.iter().enumerate() {
                self.pattern(at!["smoke", "again", i, "expect", j], pattern);
            }
            before = asks(&again.http, &again.tcp);
        }
    }

    /// The requests of one boot, whose table is `place`.
    fn boot(&mut self, place: &[Step<'_>], http: &[RawHttp], tcp: &[RawTcp]) -> Vec<u64> {
        let entry = |key: &'static str, i: usize| [place, &[Step::Key(key), i.into()]].concat();
        let mut periods = Vec::new();
        for (i, request) in http.iter().enumerate() {
            let at = entry("http", i);
            self.port(&at, request.port);
            self.request(&at, request);
            periods.push(
                self.answer_period(&[&at[..], &[Step::Key("timeout")]].concat(), request.timeout.as_ref()),
            );
        }
        for (i, connection) in tcp.iter().enumerate() {
            let at = entry("tcp", i);
            self.port(&at, connection.port);
            self.pattern(&[&at[..], &[Step::Key("expect")]].concat(), &connection.expect);
            periods.push(
                self.answer_period(&[&at[..], &[Step::Key("timeout")]].concat(), connection.timeout.as_ref()),
            );
        }
        periods
    }

    fn at_tap(&self) -> bool {
        self.raw.devices.net.as_ref().is_some_and(RawNet::is_at_tap)
    }

    /// What a request to a function at a tap device needs: the function's own address and port.
    fn port_at_tap(&mut self, at: &[Step<'_>], port: Option<u16>) {
        if port.is_none() {
            let message = "`port` is missing: a tap device forwards none that could be meant";
            self.wrong(at, message, "write the function's port, for instance `port = 8080`");
        }
        if let Some(target) = Target::ALL.iter().find(|target| self.raw.run.address(**target).is_none()) {
            let message = format!("at the tap device nobody knows the function's address (target {target})");
            let help = "give it one, for instance `addresses = [\"10.9.0.2/24\"]` in [run.net]";
            self.wrong(at, message, help);
        }
    }

    /// The port that a request goes to must be forwarded.
    fn port(&mut self, at: &[Step<'_>], port: Option<u16>) {
        if self.at_tap() {
            return self.port_at_tap(at, port);
        }
        let forwarded: Vec<_> = self.tcp_ports().map(|port| format!("`{port}`")).collect();
        let place = [at, &[Step::Key("port")]].concat();
        match port {
            Some(port) if self.tcp_ports().any(|there| there == port) => {}
            Some(port) => {
                let help = match forwarded.as_slice() {
                    [] => format!("add `forward = [{{ guest = {port} }}]` to [devices.net]"),
                    ports => format!("forwarded are: {}", ports.join(", ")),
                };
                self.wrong(&place, format!("the function's port {port} is not forwarded for TCP"), help);
            }
            None if forwarded.is_empty() => {
                let help =
                    "add the function's port to [devices.net], for instance `forward = [{ guest = 8080 }]`";
                self.wrong(at, "no port of the function is forwarded for TCP: nothing could answer", help);
            }
            None if self.only_port().is_none() => {
                let message = format!("`port` is missing: {} ports are forwarded for TCP", forwarded.len());
                self.wrong(at, message, format!("write one of {}", forwarded.join(", ")));
            }
            None => {}
        }
    }

    fn request(&mut self, at: &[Step<'_>], request: &RawHttp) {
        let inside = |key: &'static str| [at, &[Step::Key(key)]].concat();
        let method = request.method.as_deref().unwrap_or("GET");
        if !is_token(method) {
            self.wrong(
                &inside("method"),
                format!("`{}` is not a method", method.escape_debug()),
                "write one such as `\"GET\"` or `\"POST\"`",
            );
        } else if request.body.is_some() && ["GET", "HEAD", "CONNECT", "TRACE"].contains(&method) {
            let help = "write `method = \"POST\"` for instance, or take the body out";
            self.wrong(&inside("body"), format!("a request with the method {method} has no body"), help);
        }
        if !request.path.starts_with('/') || !request.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.wrong(
                &inside("path"),
                format!("`{}` is not a path of a request", request.path.escape_debug()),
                "begin it with `/`, and write what is not plain ASCII as `%` and two digits",
            );
        }
        for (name, value) in &request.headers {
            let place = [at, &[Step::Key("headers"), Step::from(name)]].concat();
            self.header(&place, name);
            if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                self.findings.key(&place, format!("`{name}` is set by Selkie itself"), "take it out");
            } else if value.chars().any(char::is_control) {
                let help = "take them out: a value is one line";
                self.wrong(&place, format!("the value of `{name}` has control characters in it"), help);
            }
        }
        for (name, pattern) in &request.expect_headers {
            let place = [at, &[Step::Key("expect-headers"), Step::from(name)]].concat();
            self.header(&place, name);
            self.regex_of(&place, pattern);
        }
        if let Some(Body::File { file }) = &request.body {
            self.file(&[at, &[Step::Key("body"), Step::Key("file")]].concat(), file);
        }
        if let Some(answer) = &request.expect_body {
            self.answer(&inside("expect-body"), answer);
        }
        if request.concurrency > Some(request.repeat.unwrap_or(1)) {
            let (most, repeat) = (request.concurrency.unwrap_or(1), request.repeat.unwrap_or(1));
            let message = format!("{most} connections are more than the {repeat} requests that are sent");
            self.wrong(&inside("concurrency"), message, format!("write `repeat = {most}` or more"));
        }
    }

    fn answer(&mut self, at: &[Step<'_>], answer: &Answer) {
        match answer {
            Answer::Regex { regex } => self.pattern(at, &RawPattern::Regex { regex: regex.clone() }),
            Answer::File { file } => self.file(&[at, &[Step::Key("file")]].concat(), file),
            Answer::Text(_) | Answer::Sha256 { .. } => {}
        }
    }

    fn header(&mut self, at: &[Step<'_>], name: &str) {
        if !is_token(name) {
            let message = format!("`{}` is not the name of a header field", name.escape_debug());
            self.findings.key(at, message, "write a name such as `content-type`");
        }
    }

    fn answer_period(&mut self, at: &[Step<'_>], period: Option<&Period>) -> u64 {
        let millis = self.period(at, period, ANSWER);
        if millis == 0 {
            let help = format!("write `\"{}\"`", show_period(ANSWER));
            self.wrong(at, "no answer takes no time at all", help);
        }
        millis
    }

    /// A text may be empty here: an answer, or the value of a field, can be.
    fn regex_of(&mut self, at: &[Step<'_>], pattern: &RawPattern) {
        if matches!(pattern, RawPattern::Regex { .. }) {
            self.pattern(at, pattern);
        }
    }
}

/// A word of HTTP (RFC 9110, 5.6.2).
fn is_token(word: &str) -> bool {
    let other = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || other(byte))
}
