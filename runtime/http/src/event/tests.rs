use super::*;
use crate::{Connection, MAX_HEAD};

fn head(fields: &str) -> Head {
    let text = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    Head::read(text.as_bytes(), MAX_HEAD).unwrap().unwrap().0
}

fn structured(body: &str) -> Result<Event, BadEvent> {
    Event::read(&head("Content-Type: application/cloudevents+json; charset=utf-8\r\n"), body.as_bytes())
}

const BINARY: &str = "ce-specversion: 1.0\r\nce-id: 7\r\nce-source: /s%20x/%C3%A4\r\nce-type: t\r\nce-ext1: e\r\n\
    Content-Type: text/plain\r\n";

#[test]
fn an_event_in_binary_mode_is_read_and_answered() {
    let event = Event::read(&head(BINARY), b"data").unwrap();
    assert_eq!((event.attribute("id"), event.attribute("source")), (Some("7"), Some("/s x/ä")));
    assert_eq!(
        (event.attribute("ext1"), event.media_type(), event.data()),
        (Some("e"), Some("text/plain"), &b"data"[..])
    );
    assert!(!event.is_structured());
    let answer = event.response(false);
    let head = answer.head(Connection::Kept, &answer.framing(true));
    for line in [
        "ce-specversion: 1.0\r\n",
        "ce-source: /s%20x/%C3%A4\r\n",
        "ce-ext1: e\r\n",
        "content-type: text/plain\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(answer.content(), b"data");
}

#[test]
fn an_event_in_structured_mode_is_read_and_answered() {
    let text = r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","n":5,"b":true,"none":null,"data":{"a":[1,"x"]}}"#;
    let event = structured(text).unwrap();
    assert_eq!(
        (event.attribute("n"), event.attribute("b"), event.attribute("none")),
        (Some("5"), Some("true"), None)
    );
    assert_eq!((event.media_type(), event.data()), (Some("application/json"), &br#"{"a":[1,"x"]}"#[..]));
    let answer = event.clone().response(true);
    assert!(
        answer
            .head(Connection::Kept, &answer.framing(true))
            .contains("content-type: application/cloudevents+json\r\n")
    );
    let again = structured(core::str::from_utf8(answer.content()).unwrap()).unwrap();
    assert_eq!(again.data(), event.data());
    let binary = structured(
        r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","datacontenttype":"a/b","data_base64":"AP8="}"#,
    );
    let binary = binary.unwrap();
    assert_eq!((binary.media_type(), binary.data()), (Some("a/b"), &[0, 0xff][..]));
    assert!(
        core::str::from_utf8(binary.response(true).content()).unwrap().contains(r#""data_base64":"AP8=""#)
    );
}

#[test]
fn what_is_no_event_is_told_so() {
    assert_eq!(Event::read(&head("Content-Type: text/plain\r\n"), b""), Err(BadEvent::None));
    assert_eq!(BadEvent::None.response().code(), 415);
    for (from, to, what) in [
        ("ce-id: 7\r\n", "", "id"),
        ("ce-id: 7", "ce-id:", "id"),
        ("ce-type: t", "x: t", "type"),
        ("1.0", "2.0", "specversion"),
        ("%20", "%2", "an attribute's value"),
        ("%C3%A4", "%C3", "an attribute's value"),
        ("ce-ext1", "ce-id", "an attribute's name"),
        ("ce-ext1", "ce-e_t", "an attribute's name"),
    ] {
        let event = Event::read(&head(&BINARY.replace(from, to)), b"");
        assert_eq!(event, Err(BadEvent::Malformed(what)), "{from} {to}");
    }
    for text in [
        "",
        "[]",
        r#"{"specversion":"1.0","id":"7","source":"/s"}"#,
        r#"{"specversion":"1.0","id":"7","source":"/s","type":["t"]}"#,
        r#"{"specversion":"1.0","id":7.5,"source":"/s","type":"t"}"#,
        r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","data":1,"data_base64":"AA=="}"#,
        r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","data_base64":"?"}"#,
    ] {
        assert!(matches!(structured(text), Err(BadEvent::Malformed(_))), "{text}");
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let deep = format!(r#"{{"specversion":"1.0","id":"7","source":"/s","type":"t","data":{deep}}}"#);
    assert!(structured(&deep).is_err(), "the stack is not used up");
}

#[test]
fn an_attribute_is_replaced_and_no_value_begins_a_field() {
    let event = Event::new("1", "/s", "t").with("type", "u").with("x_y", "no").with("subject", "a\r\nb: c");
    assert_eq!(event.attributes().count(), 4);
    let answer = event.response(false);
    let head = answer.head(Connection::Kept, &answer.framing(true));
    assert!(head.contains("ce-type: u\r\n") && head.contains("ce-subject: a%0D%0Ab:%20c\r\n"), "{head}");
}
