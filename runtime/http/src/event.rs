//! CloudEvents 1.0 by HTTP: in binary mode, where fields of the head carry what is said about the event and the body is its
//! data, and in structured mode, where the body is all of it as JSON.
//!
//! Source: CloudEvents, HTTP Protocol Binding 1.0.2 (3.1, 3.2) and JSON Event Format 1.0.2. Batches are not served.

use crate::{Head, Response};
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use core::fmt::{self, Write};
use serde_json::{Map, Value};

const VERSION: &str = "1.0";
const STRUCTURED: &str = "application/cloudevents+json";
const PREFIX: &str = "ce-";
/// Attributes that an event must have.
const REQUIRED: [&str; 3] = ["id", "source", "type"];

/// An event: attributes, which say what it is, and data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// By name, without `specversion` and `datacontenttype`.
    attributes: Vec<(String, String)>,
    media_type: Option<String>,
    data: Vec<u8>,
    structured: bool,
}

/// Why a request carries no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadEvent {
    /// It says that it carries none: it has neither the fields nor the media type of one.
    None,
    /// A part of it is missing or is not what it has to be.
    Malformed(&'static str),
}

impl fmt::Display for BadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("the request carries no CloudEvent"),
            Self::Malformed(what) => write!(f, "the CloudEvent is malformed: {what}"),
        }
    }
}

impl core::error::Error for BadEvent {}

impl BadEvent {
    /// The answer that says so: 415 where there is no event, else 400.
    pub fn response(self) -> Response {
        let status = if self == Self::None { 415 } else { 400 };
        Response::text(format!("{self}\n")).status(status)
    }
}

impl Event {
    /// An event without data.
    pub fn new(id: impl Into<String>, source: impl Into<String>, kind: impl Into<String>) -> Self {
        let values = [id.into(), source.into(), kind.into()];
        let attributes = REQUIRED.map(str::to_owned).into_iter().zip(values).collect();
        Self { attributes, media_type: None, data: Vec::new(), structured: false }
    }

    /// The event that a request carries.
    pub fn read(head: &Head, body: &[u8]) -> Result<Self, BadEvent> {
        let media_type = head.field("content-type");
        let plain = media_type.and_then(|text| text.split(';').next()).map(str::trim).unwrap_or_default();
        let event = if plain.eq_ignore_ascii_case(STRUCTURED) {
            Self::structured(body)?
        } else if head.field("ce-specversion").is_some() {
            Self::binary(head, media_type, body)?
        } else {
            return Err(BadEvent::None);
        };
        match REQUIRED.into_iter().find(|name| event.attribute(name).is_none_or(str::is_empty)) {
            Some(name) => Err(BadEvent::Malformed(name)),
            None => Ok(event),
        }
    }

    fn binary(head: &Head, media_type: Option<&str>, body: &[u8]) -> Result<Self, BadEvent> {
        let mut attributes = Vec::new();
        for (name, value) in head.fields() {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            let value = decode(value).ok_or(BadEvent::Malformed("an attribute's value"))?;
            add(&mut attributes, name, value)?;
        }
        let media_type = media_type.map(str::to_owned);
        Ok(Self { attributes, media_type, data: body.to_owned(), structured: false })
    }

    fn structured(body: &[u8]) -> Result<Self, BadEvent> {
        let value: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| BadEvent::Malformed("the body is no JSON object"))?;
        let (mut attributes, mut media_type) = (Vec::new(), None);
        let (mut data, mut encoded) = (None, None);
        for (name, value) in value {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("data", value) => data = Some(value),
                ("data_base64", Value::String(text)) => encoded = Some(text),
                ("datacontenttype", Value::String(text)) => media_type = Some(text),
                (name, Value::String(text)) => add(&mut attributes, name, text)?,
                (name, Value::Bool(value)) => add(&mut attributes, name, value.to_string())?,
                (name, Value::Number(value)) if value.is_i64() => {
                    add(&mut attributes, name, value.to_string())?
                }
                _ => return Err(BadEvent::Malformed("an attribute's value")),
            }
        }
        let media_type = media_type.unwrap_or_else(|| "application/json".to_owned());
        let data = match (data, encoded) {
            (Some(_), Some(_)) => return Err(BadEvent::Malformed("data")),
            (None, Some(text)) => STANDARD.decode(text).map_err(|_| BadEvent::Malformed("data_base64"))?,
            (None, None) => Vec::new(),
            // A text that is not said to be JSON is the data itself.
            (Some(Value::String(text)), None) if !is_json(&media_type) => text.into_bytes(),
            (Some(value), None) => value.to_string().into_bytes(),
        };
        Ok(Self { attributes, media_type: Some(media_type), data, structured: true })
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// All attributes but the media type of the data.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same with this attribute: a name of small letters and digits, which replaces one that is there. Another name
    /// is none, and changes nothing.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        if is_name(name) {
            self.attributes.retain(|(own, _)| own != name);
            self.attributes.push((name.to_owned(), value.into()));
        }
        self
    }

    /// The media type of its data.
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// Its data.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The same with other data.
    pub fn with_data(self, media_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self { media_type: Some(media_type.into()), data: data.into(), ..self }
    }

    /// Whether it came in structured mode.
    pub fn is_structured(&self) -> bool {
        self.structured
    }

    /// An answer that carries the event, in structured mode when `structured` says so, else in binary mode.
    pub fn response(self, structured: bool) -> Response {
        if structured { self.structured_response() } else { self.binary_response() }
    }

    fn binary_response(self) -> Response {
        let mut response = Response::new(200).field("ce-specversion", VERSION);
        for (name, value) in &self.attributes {
            response = response.field(format!("{PREFIX}{name}"), encode(value));
        }
        match self.media_type {
            Some(media_type) => response.body(media_type, self.data),
            None => response,
        }
    }

    fn structured_response(self) -> Response {
        let mut object = Map::new();
        object.insert("specversion".to_owned(), VERSION.into());
        let json = self.media_type.as_deref().is_some_and(is_json);
        let value = if json { serde_json::from_slice(&self.data).ok() } else { None };
        match value {
            _ if self.data.is_empty() => {}
            Some(value) => drop(object.insert("data".to_owned(), value)),
            None => drop(object.insert("data_base64".to_owned(), STANDARD.encode(&self.data).into())),
        }
        if let Some(media_type) = self.media_type {
            object.insert("datacontenttype".to_owned(), media_type.into());
        }
        object.extend(self.attributes.into_iter().map(|(name, value)| (name, value.into())));
        Response::new(200).body(STRUCTURED, Value::Object(object).to_string().into_bytes())
    }
}

/// Adds an attribute; the version is checked and left out.
fn add(attributes: &mut Vec<(String, String)>, name: &str, value: String) -> Result<(), BadEvent> {
    if name == "specversion" {
        return if value == VERSION { Ok(()) } else { Err(BadEvent::Malformed("specversion")) };
    }
    if !is_name(name) || attributes.iter().any(|(own, _)| own == name) {
        return Err(BadEvent::Malformed("an attribute's name"));
    }
    attributes.push((name.to_owned(), value));
    Ok(())
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name.bytes().all(plain) && !matches!(name, "data" | "specversion" | "datacontenttype")
}

fn is_json(media_type: &str) -> bool {
    let plain = media_type.split(';').next().unwrap_or_default().trim();
    plain.eq_ignore_ascii_case("application/json") || plain.to_ascii_lowercase().ends_with("+json")
}

/// Takes the `%` out of a field's value.
fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// Puts a `%` before each byte that a field's value does not carry as it is.
fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'%' | b'"' | b' ' | 0..=0x1f | 0x7f.. => {
                // Writing to a text does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
            byte => text.push(byte.into()),
        }
    }
    text
}

#[cfg(test)]
mod tests;
