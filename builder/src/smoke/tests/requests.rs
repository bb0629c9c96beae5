//! Functions that answer, and all that they can get wrong.

use super::*;
use crate::{
    Digest,
    recipe::{Answer, Body, HttpRequest, InputPath, Protocol, RawForward, RawNet, TcpExchange},
};
use std::collections::BTreeMap;

fn literal(text: &str) -> RawPattern {
    RawPattern::Literal(text.into())
}

fn regex(regex: &str) -> RawPattern {
    RawPattern::Regex { regex: regex.into() }
}

fn post() -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        path: "/greet?loud=1".into(),
        port: 8080,
        headers: BTreeMap::from([("content-type".into(), "text/plain".into())]),
        body: Some(Body::Text("Ada".into())),
        status: 200,
        expect_headers: BTreeMap::from([("x-seen".into(), literal("yes"))]),
        expect_body: Some(Answer::Text("POST /greet?loud=1 HTTP/1.1|Ada\n".into())),
        repeat: 1,
        concurrency: 1,
        timeout: Duration::from_secs(10),
    }
}

/// The smoke test of a function that is sent a file, and is to answer with the content of another one or with its digest.
fn with_files(answer: &[u8], wanted: impl FnOnce(InputPath) -> Answer<InputPath>) -> Stage {
    let mut stage = serving("well");
    let put = |name: &str, content: &[u8]| {
        let path = stage.project.root.join(name);
        std::fs::write(&path, content).unwrap();
        InputPath { written: name.into(), path }
    };
    let body = Some(Body::File { file: put("ada.bin", b"Ada") });
    let expect_body = Some(wanted(put("answer.bin", answer)));
    stage.spec.http = vec![HttpRequest { body, expect_body, ..post() }];
    stage
}

/// A stage whose guest listens at its forwarded port and does what `behaviour` says.
pub(super) fn serving(behaviour: &str) -> Stage {
    let mut stage = Stage::new(&format!("serve {behaviour} && frame 0 && leave 0; leave 1"));
    stage.spec.expect = vec![literal("listening")];
    stage.spec.http = vec![post()];
    stage.spec.stop = Some("\u{3}".into());
    let forward = vec![RawForward { guest: 8080, host: 0, protocol: Protocol::Tcp }];
    stage.boot.vm.net = Some(RawNet { forward, ..RawNet::default() });
    stage
}

#[test]
fn right_answers_and_then_a_good_end_pass() {
    let mut stage = serving("well");
    let get = HttpRequest {
        method: "GET".into(),
        path: "/".into(),
        body: None,
        headers: BTreeMap::new(),
        expect_headers: BTreeMap::from([("content-length".into(), regex("^[0-9]+$"))]),
        expect_body: Some(Answer::Regex { regex: r"^GET / HTTP/1\.1\|$".into() }),
        repeat: 200,
        concurrency: 8,
        ..post()
    };
    stage.spec.http.push(get);
    let send = "PUT / HTTP/1.1\r\n\r\n".into();
    let tcp =
        TcpExchange { port: 8080, send, expect: literal("PUT / HTTP"), timeout: Duration::from_secs(10) };
    stage.spec.tcp.push(tcp);
    let report = stage.run();
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    let answered: Vec<_> = report.requests.iter().map(|request| request.answered).collect();
    assert_eq!(answered, [1, 200, 1]);
    assert_eq!(report.requests[1].request, "GET /");
}

#[test]
fn files_are_sent_and_expected() {
    let answer = b"POST /greet?loud=1 HTTP/1.1|Ada\n";
    let digest = |bytes: &[u8]| Answer::Sha256 { sha256: Digest::of(bytes) };
    let right = [with_files(answer, |file| Answer::File { file }), with_files(answer, |_| digest(answer))];
    for stage in right {
        let report = stage.run();
        assert_eq!(report.verdict, Verdict::Pass, "{report}");
    }
    let is = format!("|Ada\\n`, with the digest {}", Digest::of(answer));
    let wrong = with_files(b"other", |file| Answer::File { file });
    fails(wrong, Cause::WrongAnswer, &["the body must be that of `answer.bin`", &is]);
    let wrong = with_files(answer, |_| digest(b"other"));
    fails(wrong, Cause::WrongAnswer, &["one with the SHA-256 digest d9298a10", &is]);
    let gone =
        with_files(answer, |file| Answer::File { file: InputPath { path: "/nowhere".into(), ..file } });
    fails(gone, Cause::NoAnswer, &["POST /greet?loud=1: `answer.bin`: No such file", "0 of 1 requests"]);
}

#[test]
fn every_wrong_answer_is_named() {
    for (behaviour, words) in [
        ("wrong-status", "POST /greet?loud=1: status 500 instead of 200"),
        ("redirect", "status 302 instead of 200"),
        ("wrong-field", "the header field `x-seen` must be `yes`, but `no`"),
        ("no-field", "the header field `x-seen` must be `yes`, but there is none"),
        ("wrong-body", "|Ada\\n`, but it is `something else\\n`"),
    ] {
        fails(serving(behaviour), Cause::WrongAnswer, &[words, "0 of 1 requests", "all expected texts"]);
    }
}

#[test]
fn the_first_wrong_answer_of_many_is_named_and_no_more_are_sent() {
    let mut stage = serving("third-wrong");
    stage.spec.http[0].repeat = 50;
    stage.spec.http.push(post());
    let report = fails(stage, Cause::WrongAnswer, &["3 of 50: POST", "status 500", "2 of 51 requests"]);
    assert_eq!((report.requests[0].answered, report.requests[1].answered), (2, 0));
}

#[test]
fn no_answer_is_none() {
    for (behaviour, words) in
        [("close", "POST /greet"), ("garbage", "POST /greet"), ("cut-off", "the body of the answer")]
    {
        fails(serving(behaviour), Cause::NoAnswer, &[words, "0 of 1 requests"]);
    }
    let mut stage = serving("silent");
    stage.spec.http[0].timeout = Duration::from_millis(300);
    fails(stage, Cause::NoAnswer, &["timeout", "the exit line, too"]);
}

#[test]
fn a_function_that_ends_before_it_has_answered_fails() {
    // Whatever it prints: what it was asked was not answered.
    let mut stage = serving("well");
    fs::write(stage.boot.dir.join("guest"), "line listening; frame 0; leave 0").unwrap();
    stage.spec.http[0].repeat = 3;
    fails(stage, Cause::NoAnswer, &["POST /greet", "0 of 3 requests"]);
    // And one that dies of a request has ended early.
    fails(serving("dies"), Cause::EarlyExit, &["status 1", "0 of 1 requests were answered"]);
}

#[test]
fn requests_wait_for_the_first_expected_text() {
    let mut stage = serving("well");
    fs::write(stage.boot.dir.join("guest"), "line 'not yet'; sleep 60").unwrap();
    stage.options.timeout = Some(Duration::from_millis(1500));
    fails(
        stage,
        Cause::NoAnswer,
        &["POST /greet?loud=1 was not sent before the end", "0 of 1 expected texts"],
    );
}

#[test]
fn a_function_that_does_not_stop_runs_into_the_time_out() {
    let mut stage = serving("deaf");
    stage.options.timeout = Some(Duration::from_secs(8));
    fails(stage, Cause::Timeout, &["1 of 1 requests were answered as expected", "no exit line"]);
}

#[test]
fn a_connection_that_brings_something_else_or_nothing_fails() {
    let tcp = |behaviour: &str, expect: &str| {
        let mut stage = serving(behaviour);
        stage.spec.http.clear();
        let send = "GET / HTTP/1.1\r\n\r\n".into();
        let timeout = Duration::from_millis(500);
        stage.spec.tcp.push(TcpExchange { port: 8080, send, expect: literal(expect), timeout });
        stage
    };
    fails(tcp("garbage", "HTTP/1.1 200"), Cause::WrongAnswer, &["what came is `this is not HTTP"]);
    fails(tcp("silent", "HTTP/1.1 200"), Cause::NoAnswer, &["nothing came; it took too long"]);
}

#[test]
fn cancelling_ends_a_run_that_waits_for_an_answer() {
    let stage = serving("silent");
    let ctx = stage.context();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            ctx.cancel.request();
        });
        assert!(stage.try_run(&ctx).is_err());
    });
}
