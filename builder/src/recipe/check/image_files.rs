//! `[files]`

use super::Check;
use crate::document::at;

impl Check<'_> {
    pub(super) fn image_files(&mut self) {
        let Some(files) = &self.raw.files else { return };
        if self.raw.root_task.prebuilt.is_some() {
            let help = "take it out: what a prebuilt root task has in it was decided when it was linked";
            self.findings.key(at!["files"], "a prebuilt root task gets no files", help);
        }
        if self.raw.root_task.c_sources.is_some() && !self.is_rumprun() {
            let help =
                "take it out, or write the function in Rust: `selkie.h` has nothing to read files with";
            self.findings.key(at!["files"], "a function in C cannot read files of its image", help);
        }
        let at = at!["files", "from"];
        let Some(path) = self.input(at, &files.from) else { return };
        if path.is_file() {
            self.wrong(at, format!("`{}` is a file", self.shown(&path)), "name the folder that it is in");
        } else if !path.is_dir() {
            self.absent(at, &path, "folder");
        }
    }
}
