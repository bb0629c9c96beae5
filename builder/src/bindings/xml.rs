//! The XML files in which a seL4 tree states its system calls and invocations.
//!
//! Read strictly: an element, attribute or direction that this module does not know is an error that
//! names file and line, because bindings that leave something out have wrong numbers.

use super::{
    condition::{BadCondition, Condition},
    era::ConditionDialect,
};
use roxmltree::{Document, Node, ParsingOptions};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the tree.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A system call as the XML states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSystemCall {
    /// Its name, for instance `NBSend`.
    pub name: String,
    /// The condition under which it exists; it takes a number in any case.
    pub condition: Option<Condition>,
    /// The name of the element that it is in.
    pub section: String,
}

/// The invocations of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawInterfaces {
    /// Structures that are passed as parameters.
    pub structs: Vec<RawStruct>,
    /// Methods, in order.
    pub methods: Vec<RawMethod>,
}

/// A structure of words that is passed as a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawStruct {
    /// Its C name.
    pub name: String,
    /// Its members, each a word.
    pub members: Vec<String>,
}

/// An invocation as the XML states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMethod {
    /// Where it is.
    pub place: Place,
    /// The interface that it belongs to, a C type.
    pub interface: String,
    /// Its name in that interface.
    pub name: String,
    /// The C name of its label.
    pub id: String,
    /// The condition under which it exists; it takes no label otherwise.
    pub condition: Option<Condition>,
    /// What it does, in one sentence.
    pub brief: String,
    /// What capability it is invoked on.
    pub service: String,
    /// Parameters, in order.
    pub params: Vec<RawParam>,
}

/// A parameter as the XML states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawParam {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its C type.
    pub c_type: String,
    /// Whether it goes out of the invocation, rather than in.
    pub out: bool,
    /// What it means.
    pub doc: String,
}

/// An XML file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("{path}: {source}\n  help: the tree is not one that the era of its release describes")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not XML.
    #[error("{}: {source}", file.display())]
    Syntax {
        /// The file, relative to the tree.
        file: PathBuf,
        /// What is wrong, with line and column.
        source: roxmltree::Error,
    },
    /// An element that the reader does not know.
    #[error(
        "{place}: `<{element}>` in `<{parent}>` is not known\n  help: the tree is newer than this generator, or not one that the era of its release describes"
    )]
    Element {
        /// Where.
        place: Place,
        /// Its name.
        element: String,
        /// The name of the element around it.
        parent: String,
    },
    /// An attribute that the reader does not know.
    #[error("{place}: the attribute `{attribute}` of `<{element}>` is not known")]
    Attribute {
        /// Where.
        place: Place,
        /// The attribute.
        attribute: String,
        /// The element's name.
        element: String,
    },
    /// An attribute that must be there is not.
    #[error("{place}: `<{element}>` has no `{attribute}`")]
    Lacks {
        /// Where.
        place: Place,
        /// The attribute.
        attribute: &'static str,
        /// The element's name.
        element: String,
    },
    /// A direction other than in and out.
    #[error("{place}: the direction of a parameter is `in` or `out`, not `{dir}`")]
    Direction {
        /// Where.
        place: Place,
        /// What it is.
        dir: String,
    },
    /// A condition that cannot be read.
    #[error("{place}: {source}")]
    Condition {
        /// Where.
        place: Place,
        /// Why.
        source: BadCondition,
    },
    /// An element of a condition with too few or too many parts.
    #[error("{place}: `<{element}>` in a condition has {found} parts; {expected} expected")]
    Parts {
        /// Where.
        place: Place,
        /// Its name.
        element: String,
        /// How many there are.
        found: usize,
        /// How many are expected.
        expected: &'static str,
    },
    /// An option in a condition that is none.
    #[error("{place}: `{symbol}` in a condition is not a CONFIG_ symbol")]
    Symbol {
        /// Where.
        place: Place,
        /// What there is.
        symbol: String,
    },
}

/// Reads one file, remembering its name for messages.
pub struct Reader<'a> {
    file: &'a Path,
    dialect: ConditionDialect,
    document: Document<'a>,
}

/// Reads the text of the file `path`.
pub fn text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

impl<'a> Reader<'a> {
    /// Parses `text`, which was read from `file`.
    pub fn new(file: &'a Path, text: &'a str, dialect: ConditionDialect) -> Result<Self, Error> {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options)
            .map_err(|source| Error::Syntax { file: file.to_owned(), source })?;
        Ok(Self { file, dialect, document })
    }

    /// The system calls, in order. Only the elements named in `sections` may hold any.
    pub fn system_calls(&self, sections: &[&str]) -> Result<Vec<RawSystemCall>, Error> {
        let mut calls = Vec::new();
        for section in elements(self.root("syscalls", &[])?) {
            let name = section.tag_name().name();
            if !sections.contains(&name) {
                return Err(self.unknown(section));
            }
            self.only(section, &[])?;
            for config in elements(section) {
                self.expect(config, "config", self.condition_attribute())?;
                let condition = self.condition(config)?;
                for call in elements(config).filter(|element| !self.is_condition(*element)) {
                    self.expect(call, "syscall", &["name"])?;
                    let (name, section) = (self.need(call, "name")?.to_owned(), name.to_owned());
                    calls.push(RawSystemCall { name, condition: condition.clone(), section });
                }
            }
        }
        Ok(calls)
    }

    /// Structures and invocations, in order.
    pub fn interfaces(&self) -> Result<RawInterfaces, Error> {
        let mut raw = RawInterfaces::default();
        for element in elements(self.root("api", &["name", "label_prefix"])?) {
            match element.tag_name().name() {
                "struct" => raw.structs.push(self.structure(element)?),
                "interface" => self.interface(element, &mut raw.methods)?,
                _ => return Err(self.unknown(element)),
            }
        }
        Ok(raw)
    }

    fn structure(&self, element: Node<'_, '_>) -> Result<RawStruct, Error> {
        self.only(element, &["name"])?;
        let mut members = Vec::new();
        for member in elements(element) {
            self.expect(member, "member", &["name"])?;
            members.push(self.need(member, "name")?.to_owned());
        }
        Ok(RawStruct { name: self.need(element, "name")?.to_owned(), members })
    }

    fn interface(&self, element: Node<'_, '_>, methods: &mut Vec<RawMethod>) -> Result<(), Error> {
        self.only(element, &["name", "manual_name", "cap_description"])?;
        let name = self.need(element, "name")?;
        let service = element.attribute("cap_description").unwrap_or_default();
        for method in elements(element) {
            let known = ["id", "name", "manual_name", "manual_label"];
            self.expect(method, "method", &[&known, self.condition_attribute()].concat())?;
            methods.push(self.method(method, name, service)?);
        }
        Ok(())
    }

    fn method(&self, element: Node<'_, '_>, interface: &str, service: &str) -> Result<RawMethod, Error> {
        let mut method = RawMethod {
            place: self.place(element),
            interface: interface.to_owned(),
            name: self.need(element, "name")?.to_owned(),
            id: self.need(element, "id")?.to_owned(),
            condition: self.condition(element)?,
            brief: String::new(),
            service: service.to_owned(),
            params: Vec::new(),
        };
        for child in elements(element).filter(|child| !self.is_condition(*child)) {
            match child.tag_name().name() {
                "brief" => method.brief = prose(child),
                // What follows is about the manual, or repeats the types.
                "description" | "return" => {}
                "error" if self.dialect == ConditionDialect::Elements => {}
                "cap_param" => {
                    self.only(child, &["append_description"])?;
                    let more = child.attribute("append_description").unwrap_or_default();
                    method.service = words(&format!("{} {more}", method.service));
                }
                "param" => method.params.push(self.param(child)?),
                _ => return Err(self.unknown(child)),
            }
        }
        Ok(method)
    }

    fn param(&self, element: Node<'_, '_>) -> Result<RawParam, Error> {
        self.only(element, &["dir", "name", "type", "description"])?;
        let mut doc = words(element.attribute("description").unwrap_or_default());
        for child in elements(element) {
            self.expect(child, "description", &[])?;
            doc = prose(child);
        }
        let out = match self.need(element, "dir")? {
            "in" => false,
            "out" => true,
            dir => return Err(Error::Direction { place: self.place(element), dir: dir.to_owned() }),
        };
        Ok(RawParam {
            place: self.place(element),
            name: self.need(element, "name")?.to_owned(),
            c_type: self.need(element, "type")?.to_owned(),
            out,
            doc,
        })
    }

    /// The attribute that states conditions, in the dialect that has one.
    fn condition_attribute(&self) -> &'static [&'static str] {
        match self.dialect {
            ConditionDialect::CText => &["condition"],
            ConditionDialect::Elements => &[],
        }
    }

    /// Whether an element states the condition of the one around it.
    fn is_condition(&self, element: Node<'_, '_>) -> bool {
        self.dialect == ConditionDialect::Elements && element.tag_name().name() == "condition"
    }

    fn condition(&self, element: Node<'_, '_>) -> Result<Option<Condition>, Error> {
        if self.dialect == ConditionDialect::CText {
            let text = element.attribute("condition").filter(|text| !text.trim().is_empty());
            let condition = text.map(Condition::parse).transpose();
            return condition.map_err(|source| Error::Condition { place: self.place(element), source });
        }
        let stated: Vec<_> = elements(element).filter(|child| self.is_condition(*child)).collect();
        match stated[..] {
            [] => Ok(None),
            [stated] => {
                self.only(stated, &[])?;
                let parts: Vec<_> = elements(stated).collect();
                match parts[..] {
                    [] => Ok(None),
                    [part] => self.expression(part).map(Some),
                    _ => Err(self.parts(stated, parts.len(), "one is")),
                }
            }
            _ => Err(self.parts(element, stated.len(), "one condition is")),
        }
    }

    /// A condition that is written as elements.
    fn expression(&self, element: Node<'_, '_>) -> Result<Condition, Error> {
        let name = element.tag_name().name();
        let parts: Vec<_> = elements(element).collect();
        if name == "config" {
            self.only(element, &["var"])?;
            let symbol = self.need(element, "var")?;
            return match (Condition::option(symbol), parts.len()) {
                (_, found @ 1..) => Err(self.parts(element, found, "none is")),
                (Some(condition), 0) => Ok(condition),
                (None, 0) => Err(Error::Symbol { place: self.place(element), symbol: symbol.to_owned() }),
            };
        }
        self.only(element, &[])?;
        let join: fn(Box<Condition>, Box<Condition>) -> Condition = match (name, parts.len()) {
            ("not", 1) => return Ok(Condition::Not(Box::new(self.expression(parts[0])?))),
            ("not", found) => return Err(self.parts(element, found, "one is")),
            ("and", 2..) => Condition::And,
            ("or", 2..) => Condition::Or,
            ("and" | "or", found) => return Err(self.parts(element, found, "two or more are")),
            _ => return Err(self.unknown(element)),
        };
        let mut joined = self.expression(parts[0])?;
        for part in &parts[1..] {
            joined = join(Box::new(joined), Box::new(self.expression(*part)?));
        }
        Ok(joined)
    }

    fn parts(&self, element: Node<'_, '_>, found: usize, expected: &'static str) -> Error {
        let element_name = element.tag_name().name().to_owned();
        Error::Parts { place: self.place(element), element: element_name, found, expected }
    }

    fn root(&self, name: &str, attributes: &[&str]) -> Result<Node<'_, '_>, Error> {
        let root = self.document.root_element();
        self.expect(root, name, attributes)?;
        Ok(root)
    }

    fn expect(&self, element: Node<'_, '_>, name: &str, attributes: &[&str]) -> Result<(), Error> {
        if element.tag_name().name() != name {
            return Err(self.unknown(element));
        }
        self.only(element, attributes)
    }

    fn only(&self, element: Node<'_, '_>, attributes: &[&str]) -> Result<(), Error> {
        match element.attributes().find(|attribute| !attributes.contains(&attribute.name())) {
            None => Ok(()),
            Some(attribute) => Err(Error::Attribute {
                place: self.place(element),
                attribute: attribute.name().to_owned(),
                element: element.tag_name().name().to_owned(),
            }),
        }
    }

    fn need<'n>(&self, element: Node<'n, '_>, attribute: &'static str) -> Result<&'n str, Error> {
        element.attribute(attribute).ok_or_else(|| Error::Lacks {
            place: self.place(element),
            attribute,
            element: element.tag_name().name().to_owned(),
        })
    }

    fn unknown(&self, element: Node<'_, '_>) -> Error {
        let parent = element.parent_element().map_or("document", |parent| parent.tag_name().name());
        Error::Element {
            place: self.place(element),
            element: element.tag_name().name().to_owned(),
            parent: parent.to_owned(),
        }
    }

    fn place(&self, node: Node<'_, '_>) -> Place {
        Place { file: self.file.to_owned(), line: self.document.text_pos_at(node.range().start).row }
    }
}

fn elements<'n, 'd>(node: Node<'n, 'd>) -> impl Iterator<Item = Node<'n, 'd>> {
    node.children().filter(Node::is_element)
}

/// An element's text; of the marks inside it, the words that they show. References into the manual are
/// left out.
fn prose(element: Node<'_, '_>) -> String {
    let mut text = String::new();
    let in_reference = |node: Node<'_, '_>| node.ancestors().any(|around| around.has_tag_name("docref"));
    for node in element.descendants().filter(|node| !in_reference(*node)) {
        if let Some(part) = node.text().filter(|_| node.is_text()) {
            text.push_str(part);
        } else if let Some(shown) = node.attribute("text").or(node.attribute("name")) {
            text.push_str(shown);
        }
    }
    words(&text)
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
