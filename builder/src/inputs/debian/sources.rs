//! Where the host fetches packages from, as sources of source packages: the same places, asked for the other kind.

use super::Error;
use crate::{Context, exec::Tool, files};
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

/// The variable that names a file in apt's format, which is used instead of the host's.
pub const VARIABLE: &str = "SELKIE_APT_SOURCES";

/// Files for a private `sources.list.d`, by name: their content.
pub(super) type Sources = BTreeMap<String, String>;

/// What this host's apt, or the user, says.
///
/// # Errors
/// When neither names a place.
pub(super) fn here(ctx: &Context<'_>) -> Result<Sources, Error> {
    if let Some(file) = env::var_os(VARIABLE).filter(|file| !file.is_empty()) {
        return of(&[PathBuf::from(file)], &format!("{VARIABLE} is set"));
    }
    let (list, parts) = places(ctx)?;
    let mut found = Vec::new();
    found.extend(list.is_file().then(|| list.clone()));
    if parts.is_dir() {
        found.extend(files::sorted_entries(&parts)?.into_iter().map(|entry| entry.path()));
    }
    of(&found, &format!("looked at {} and {}", list.display(), parts.display()))
}

/// The host's list and its folder of lists.
fn places(ctx: &Context<'_>) -> Result<(PathBuf, PathBuf), Error> {
    let words = ["shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"];
    let tool = Tool::new("apt-config", &ctx.project.root).args(words).inherit(&["APT_CONFIG"]);
    let output = super::run(ctx, tool, |_| Error::NoTool { tool: "apt-get" })?.stdout;
    let value = |name: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        PathBuf::from(line.unwrap_or_default().trim_matches('\''))
    };
    Ok((value("LIST"), value("PARTS")))
}

/// What is said in `found`, by the rules of sources.list(5): other names than `.list` and `.sources` are left out.
fn of(found: &[PathBuf], looked: &str) -> Result<Sources, Error> {
    /// Real ones have some lines.
    const MOST: u64 = 1 << 20;
    let mut sources = Sources::new();
    for path in found {
        let end = path.extension().unwrap_or_default();
        let derive: fn(&str) -> String = match end.to_str() {
            Some("list") => one_line,
            Some("sources") => stanzas,
            _ => continue,
        };
        let content = files::read_at_most(path, MOST)?;
        let derived = derive(&String::from_utf8_lossy(&content));
        if !derived.is_empty() {
            sources.insert(format!("{:03}.{}", sources.len(), end.display()), derived);
        }
    }
    if sources.is_empty() {
        return Err(Error::NoSources { looked: looked.to_owned() });
    }
    Ok(sources)
}

/// A file of lines (`deb [options] URI suite component…`): each place once.
fn one_line(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest = line.strip_prefix("deb-src").or_else(|| line.strip_prefix("deb"));
        let Some(rest) = rest.filter(|rest| rest.starts_with([' ', '\t'])) else { continue };
        let derived = format!("deb-src {}\n", rest.trim());
        if !lines.contains(&derived) {
            lines.push(derived);
        }
    }
    lines.concat()
}

/// A file of stanzas (deb822): the same, of type `deb-src`.
fn stanzas(text: &str) -> String {
    let mut derived = String::new();
    let mut fields = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(':') {
            Some((name, _)) if name.eq_ignore_ascii_case("types") => derived.push_str("Types: deb-src"),
            _ => derived.push_str(line),
        }
        fields |= !line.trim().is_empty();
        derived.push('\n');
    }
    if fields { derived } else { String::new() }
}

/// Writes `sources` into the folder `dir`, in place of what is there.
pub(super) fn write(sources: &Sources, dir: &Path) -> Result<(), files::Error> {
    files::remove(dir)?;
    files::create_dir_all(dir)?;
    sources.iter().try_for_each(|(name, content)| files::write(&dir.join(name), content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lines_become_places_of_sources_once_each() {
        let text = "# a comment\ndeb [signed-by=/k.gpg arch=amd64] copy:/a stable main # why\n\
                    deb-src [signed-by=/k.gpg arch=amd64] copy:/a stable main\n\tdeb\tcopy:/b ./\ndebris x\n#deb copy:/c ./\n";
        assert_eq!(
            one_line(text),
            "deb-src [signed-by=/k.gpg arch=amd64] copy:/a stable main\ndeb-src copy:/b ./\n"
        );
    }

    #[test]
    fn stanzas_keep_everything_but_the_type() {
        let text = "Types: deb\n# a comment\nURIs: copy:/a\nSuites: stable\nComponents: main\nSigned-By:\n -----BEGIN\n .\n types: x\n\nEnabled: no\ntypes: deb deb-src\nURIs: copy:/b\n";
        let derived = stanzas(text);
        assert_eq!(derived.matches("Types: deb-src\n").count(), 2, "{derived}");
        for kept in [
            "URIs: copy:/a\n",
            "Signed-By:\n -----BEGIN\n .\n types: x\n\n",
            "Enabled: no\n",
            "URIs: copy:/b\n",
        ] {
            assert!(derived.contains(kept), "{derived}");
        }
        assert!(!derived.contains("comment"));
        assert_eq!(stanzas("# nothing\n\n"), "");
    }

    #[test]
    fn other_files_are_left_out_and_nothing_at_all_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let files = [
            write("a.list.save", "deb copy:/a ./\n"),
            write("b.list", ""),
            write("c.list", "deb copy:/c ./\n"),
        ];
        let sources = of(&files, "here").unwrap();
        assert_eq!(
            sources.into_iter().collect::<Vec<_>>(),
            [("000.list".into(), "deb-src copy:/c ./\n".into())]
        );
        let error = of(&files[..2], "looked at x").unwrap_err();
        assert!(
            error.to_string().contains("(looked at x)") && error.to_string().contains(VARIABLE),
            "{error}"
        );
        assert_eq!(error.exit_code(), crate::ExitCode::HostLacks);
    }
}
