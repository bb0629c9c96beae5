//! Markers of the runtime's functions that not every target serves: what a root task uses, its recipe has to
//! declare.
//!
//! A root task with symbols has them in the section [`SECTION`], two texts for each, both ended by a NUL: the
//! word, as `needs` and `wants` of a recipe have it, and the function. A marker goes with its function: what
//! is not linked in leaves none.

use crate::{
    elf::Elf,
    recipe::{Need, Recipe},
};
use std::fmt;

/// The section with the markers.
pub(crate) const SECTION: &str = ".selkie.needs";

/// One function of the runtime that is in a root task, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker {
    /// What it takes: a word of [`Need`], as it stands there.
    pub word: String,
    /// The function.
    pub function: String,
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` takes `{}`", self.function, self.word)
    }
}

/// The markers in `elf`, each once, sorted. Text that is no pair is left out.
pub(crate) fn markers(elf: &Elf<'_>) -> Vec<Marker> {
    let Some(data) = elf.section(SECTION).and_then(|section| elf.section_data(section)) else {
        return Vec::new();
    };
    // Sections are padded with zeros between the objects that they come from: no text is empty.
    let texts = data.split(|byte| *byte == 0).filter(|text| !text.is_empty());
    let texts: Vec<String> = texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let pairs = texts.as_chunks::<2>().0.iter();
    let mut markers: Vec<_> =
        pairs.map(|[word, function]| Marker { word: word.clone(), function: function.clone() }).collect();
    markers.sort();
    markers.dedup();
    markers
}

/// The markers that neither `needs` nor `wants` of `recipe` has.
pub(super) fn undeclared(elf: &Elf<'_>, recipe: &Recipe) -> Vec<Marker> {
    let declared = |word: &str| recipe.needs.iter().chain(&recipe.wants).any(|need| need.name() == word);
    markers(elf).into_iter().filter(|marker| !declared(&marker.word)).collect()
}

/// The message about markers that are not declared.
pub(super) fn describe(markers: &[Marker]) -> String {
    let lines: String = markers.iter().map(|marker| format!("\n  {marker}")).collect();
    let mut words: Vec<&str> = markers.iter().map(|marker| marker.word.as_str()).collect();
    words.dedup();
    if let Some(word) = words.iter().find(|word| word.parse::<Need>().is_err()) {
        return format!(
            "the runtime marks functions with a word that no recipe can declare{lines}\n  help: `{word}` is \
             missing in builder/src/recipe/need.rs; use a runtime and a builder of the same checkout"
        );
    }
    let list = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    format!(
        "the root task uses what its recipe does not declare{lines}\n  help: in [root-task], write `needs = \
         [{list}]` when the function cannot do without, which refuses targets that lack it; or `wants = \
         [{list}]` when it copes with the error of the call there"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf_sample::{Sample, Section};

    fn marked(data: &[u8]) -> Vec<u8> {
        let mut sample = Sample::good();
        let section = Section { name: SECTION, kind: 1, flags: 0, address: 0x40_3800, data: data.into() };
        sample.sections.push(section);
        sample.bytes()
    }

    #[test]
    fn markers_are_pairs_of_texts() {
        let bytes =
            marked(b"second-vspace\0VSpace::new\0\0\0device-memory\0map\0second-vspace\0VSpace::new\0");
        let found = markers(&Elf::parse(&bytes).unwrap());
        let found: Vec<_> = found.iter().map(|one| (one.word.as_str(), one.function.as_str())).collect();
        assert_eq!(found, [("device-memory", "map"), ("second-vspace", "VSpace::new")]);
        assert!(markers(&Elf::parse(&Sample::good().bytes()).unwrap()).is_empty());
        assert!(markers(&Elf::parse(&marked(b"alone")).unwrap()).is_empty());
    }

    #[test]
    fn what_is_not_declared_is_told_with_the_function() {
        let project = crate::Project::here();
        let mut recipe = Recipe::load(&project, "hello").unwrap();
        let bytes = marked(b"second-vspace\0VSpace::new\0device-memory\0map\0");
        let elf = Elf::parse(&bytes).unwrap();
        recipe.wants = vec![Need::DeviceMemory];
        let text = describe(&undeclared(&elf, &recipe));
        assert!(text.contains("`VSpace::new` takes `second-vspace`"), "{text}");
        assert!(text.contains("needs = [\"second-vspace\"]") && !text.contains("device"), "{text}");
        recipe.needs = vec![Need::SecondVspace];
        assert!(undeclared(&elf, &recipe).is_empty());
    }

    #[test]
    fn a_word_that_nobody_knows_is_not_the_users_fault() {
        let marker = Marker { word: "second-world".into(), function: "f".into() };
        assert!(describe(&[marker]).contains("runtime and a builder of the same checkout"));
    }
}
