//! The bit-field files of a tree after the C preprocessor (`.pbf`), held against the era.
//!
//! They state the words that kernel and user share: message tag, rights, guard, and the numbers of the faults.
//! Read strictly: a word that this module does not know is an error that names file and line.

use super::{
    era::{Bitfield, Era},
    interface::Interface,
    xml::Place,
};
use crate::files;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What a file states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BitfieldFile {
    /// Words made of bit fields, by their names.
    pub blocks: BTreeMap<String, Block>,
    /// Kinds of a thing that has several, by the thing's name.
    pub unions: BTreeMap<String, Vec<Tag>>,
}

/// A word, or several, made of bit fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it is.
    pub place: Place,
    /// Its fields by their names. The first in the file has the highest bits.
    pub fields: BTreeMap<String, BlockField>,
    /// All its bits.
    pub bits: u32,
}

/// A field of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockField {
    /// Where it is.
    pub place: Place,
    /// Number of its lowest bit.
    pub shift: u32,
    /// How many bits it has.
    pub bits: u32,
}

/// One kind of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its number.
    pub value: u64,
}

/// A bit-field file could not be used, or says something else than the era.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// No include folder has it.
    #[error(
        "there is no {file} among the kernel's headers\n  help: build or install the kernel anew; the era of its release names this file"
    )]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A line that cannot be read.
    #[error(
        "{place}: {problem}\n  help: the tree is newer than this generator, or not one that the era of its release describes"
    )]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// Something that the era names is not there.
    #[error("{file}: there is no {what}, which the era names")]
    Lacks {
        /// The file, or all of them.
        file: String,
        /// What is missing.
        what: String,
    },
    /// The era is wrong about something.
    #[error("{place}: {what} is {found} in the tree and {expected} here")]
    Differs {
        /// Where.
        place: Place,
        /// What differs.
        what: String,
        /// What the tree says.
        found: String,
        /// What the era says.
        expected: String,
    },
}

/// Holds `interface` against the files that `era` names, looked for in `include_dirs`.
pub fn check(interface: &Interface, era: &Era, include_dirs: &[PathBuf]) -> Result<(), Error> {
    let Some(named) = era.bitfield_files.as_ref().filter(|named| !named.files.is_empty()) else {
        return Ok(());
    };
    let mut stated = BitfieldFile::default();
    for file in &named.files {
        let path = include_dirs.iter().map(|dir| dir.join(file)).find(|path| path.is_file());
        let path = path.ok_or_else(|| Error::Missing { file: file.clone() })?;
        let content = files::read(&path)?;
        let read = BitfieldFile::parse(file, &String::from_utf8_lossy(&content), era.word_bits)?;
        stated.blocks.extend(read.blocks);
        stated.unions.extend(read.unions);
    }
    let shown: Vec<_> = named.files.iter().map(|file| file.display().to_string()).collect();
    let shown = shown.join(", ");
    for bitfield in &interface.bitfields {
        if let Some(block) = &bitfield.block {
            let what = || format!("block `{block}`");
            let stated = stated.blocks.get(block);
            let stated = stated.ok_or_else(|| Error::Lacks { file: shown.clone(), what: what() })?;
            compare(bitfield, block, stated)?;
        }
    }
    let tags = stated.unions.get(&named.faults);
    let what = || format!("tagged_union `{}`", named.faults);
    faults(interface, tags.ok_or_else(|| Error::Lacks { file: shown.clone(), what: what() })?, &shown)
}

/// Every field of a block is one of the bit field, at the same place, and the other way round.
fn compare(bitfield: &Bitfield, name: &str, block: &Block) -> Result<(), Error> {
    for (field, stated) in &block.fields {
        let known = bitfield.fields.iter().find(|known| known.c.as_ref() == Some(field));
        let place = |bits, shift| format!("{bits} bits from bit {shift}");
        let expected = known.map_or_else(|| "not known".to_owned(), |known| place(known.bits, known.shift));
        let found = place(stated.bits, stated.shift);
        if expected != found {
            let what = format!("field `{field}` of block `{name}`");
            return Err(Error::Differs { place: stated.place.clone(), what, found, expected });
        }
    }
    let missing = bitfield.fields.iter().filter_map(|known| known.c.as_ref());
    match missing.into_iter().find(|c| !block.fields.contains_key(*c)) {
        None => Ok(()),
        Some(c) => Err(Error::Lacks {
            file: block.place.to_string(),
            what: format!("field `{c}` of block `{name}`"),
        }),
    }
}

/// Every kind of fault has the number that the interface gives it, and the other way round.
fn faults(interface: &Interface, tags: &[Tag], file: &str) -> Result<(), Error> {
    let known = interface.constants("fault").map(|group| group.entries.as_slice()).unwrap_or_default();
    let is = |c: &str, tag: &Tag| c.strip_suffix(&tag.name).is_some_and(|before| before.ends_with('_'));
    for tag in tags {
        let expected = known.iter().find(|constant| is(&constant.c, tag)).map(|constant| constant.value);
        if expected != Some(tag.value) {
            return Err(Error::Differs {
                place: tag.place.clone(),
                what: format!("fault `{}`", tag.name),
                found: tag.value.to_string(),
                expected: expected.map_or_else(|| "not known".to_owned(), |value| value.to_string()),
            });
        }
    }
    match known.iter().find(|constant| !tags.iter().any(|tag| is(&constant.c, tag))) {
        None => Ok(()),
        Some(constant) => {
            Err(Error::Lacks { file: file.to_owned(), what: format!("fault `{}`", constant.c) })
        }
    }
}

impl BitfieldFile {
    /// Reads `text`, which is that of `file`. Its words are of `word_bits` bits.
    pub fn parse(file: &Path, text: &str, word_bits: u32) -> Result<Self, Error> {
        let mut reader = Reader { file, word_bits, stated: Self::default(), open: Open::None };
        for (line, text) in (1..).zip(text.lines()) {
            reader.line(line, text)?;
        }
        match reader.open {
            Open::None => Ok(reader.stated),
            Open::Block(name, block) => Err(syntax(block.place, format!("block `{name}` has no end"))),
            Open::Union(name, place, _) => Err(syntax(place, format!("tagged_union `{name}` has no end"))),
        }
    }
}

/// What a line is in.
enum Open {
    None,
    Block(String, Block),
    Union(String, Place, Vec<Tag>),
}

struct Reader<'a> {
    file: &'a Path,
    word_bits: u32,
    stated: BitfieldFile,
    open: Open,
}

impl Reader<'_> {
    fn line(&mut self, line: u32, text: &str) -> Result<(), Error> {
        let place = Place { file: self.file.to_owned(), line };
        let meaning = text.split("--").next().unwrap_or_default();
        let words: Vec<_> = meaning.split_whitespace().collect();
        let number = |word: &str| {
            let number = word.parse::<u32>();
            number.map_err(|_| syntax(place.clone(), format!("`{word}` is not a number")))
        };
        match (&mut self.open, words.as_slice()) {
            (_, []) => {}
            (Open::None, ["base", bits]) if number(bits)? == self.word_bits => {}
            (Open::None, ["block", name, "{"]) => {
                let block = Block { place, fields: BTreeMap::new(), bits: 0 };
                self.open = Open::Block((*name).to_owned(), block);
            }
            (Open::None, ["tagged_union", name, _, "{"]) => {
                self.open = Open::Union((*name).to_owned(), place, Vec::new());
            }
            (Open::Block(_, block), ["padding", bits]) => block.make_room(number(bits)?, &place)?,
            (Open::Block(_, block), ["field", name, bits]) => {
                let bits = number(bits)?;
                block.make_room(bits, &place)?;
                let field = BlockField { place: place.clone(), shift: 0, bits };
                if block.fields.insert((*name).to_owned(), field).is_some() {
                    return Err(syntax(place, format!("field `{name}` is there twice")));
                }
            }
            (Open::Union(_, _, tags), ["tag", name, value]) => {
                let value = number(value)?.into();
                tags.push(Tag { place, name: (*name).to_owned(), value });
            }
            (_, ["}"]) => match std::mem::replace(&mut self.open, Open::None) {
                Open::None => return Err(syntax(place, "`}` ends nothing".to_owned())),
                Open::Block(name, block) => drop(self.stated.blocks.insert(name, block)),
                Open::Union(name, _, tags) => drop(self.stated.unions.insert(name, tags)),
            },
            _ => return Err(syntax(place, format!("`{}` is not known", meaning.trim()))),
        }
        Ok(())
    }
}

impl Block {
    /// What is there already moves up by `bits`.
    fn make_room(&mut self, bits: u32, place: &Place) -> Result<(), Error> {
        let too_large = || syntax(place.clone(), "the block is too large".to_owned());
        self.bits = self.bits.checked_add(bits).filter(|bits| *bits <= 1 << 16).ok_or_else(too_large)?;
        self.fields.values_mut().for_each(|field| field.shift += bits);
        Ok(())
    }
}

fn syntax(place: Place, problem: String) -> Error {
    Error::Syntax { place, problem }
}
