//! A file's text into its documents, and each of them into a tree, within a budget.

use serde_saphyr::{Error, NonFiniteFloatPolicy, Options, Spanned, UserMessageFormatter};

use super::error::{Fault, quoted};
use super::node::{self, Node, Raw};
use super::origin::Position;

/// One document of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Document<'t> {
    /// How many lines of the file come before it.
    lines_before: usize,
    /// Its text, with the `---` before it if there is one.
    text: &'t str,
}

/// The most documents in one file: every VIP that the kernel program has room for, and a machine's configuration besides.
pub(super) const MOST_DOCUMENTS: usize = 8192;

/// Cuts a text into its documents, so that a syntax error in one doesn't hide the others and each has a budget of
/// its own.
///
/// A line that begins with `---` or `...` ends a document wherever it stands, in a quoted text as in a block (YAML
/// 1.2.2 §9.1.2, `c-forbidden`), so no parser is needed for it.
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let mut cut = |lines_before, from: usize, to: usize| {
        if to > from {
            documents.push(Document { lines_before, text: &text[from..to] });
        }
    };
    // Where the current document begins, and whether anything but comments and directives has been seen of it.
    let (mut first, mut from, mut begun) = (0, 0, false);
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if is_marker(bare, "---") {
            if begun {
                cut(first, from, offset);
                (first, from) = (number, offset);
            }
            begun = true;
        } else if is_marker(bare, "...") {
            cut(first, from, offset);
            (first, from, begun) = (number + 1, offset + line.len(), false);
        } else if !bare.is_empty() && !bare.trim_start().starts_with('#') && !bare.starts_with('%') {
            begun = true;
        }
        offset += line.len();
    }
    cut(first, from, offset);
    documents
}

/// The tree of a document; none if there is nothing in it.
pub(super) fn parse(document: Document<'_>) -> Result<Option<Node>, (Position, Fault)> {
    let Document { lines_before, text } = document;
    let read: Result<Option<Spanned<Raw>>, Error> = serde_saphyr::from_str_with_options(text, options());
    match read {
        Ok(None) => Ok(None),
        Ok(Some(raw)) => {
            let node = node::tree(raw, text, lines_before)?;
            Ok((!node.is_null()).then_some(node))
        }
        Err(error) => {
            let location = error.location();
            let start = Position { line: lines_before + 1, ..Position::START };
            let position = location.map_or(start, |location| node::position(location, lines_before));
            Err((position, fault(error)))
        }
    }
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// Far more than a machine config with all its manifests needs, and far less than hurts.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 48,
            flow_nesting_limit: 48,
            max_events: 400_000,
            max_nodes: 150_000,
            max_anchors: 1_000,
            max_aliases: 1_000,
            max_merge_keys: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 4 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
        },
        // Numbers are only told from texts here, never used.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
        emit_comments: false,
    }
}

const TOO_MUCH: &str = "too much or too deep for a config";

fn fault(error: Error) -> Fault {
    match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => fault(*error),
        Error::DuplicateMappingKey { key, .. } => {
            Fault::KeyTwice(key.map_or_else(|| "here".to_owned(), |key| quoted(&key)))
        }
        Error::Budget { .. } => Fault::Unwieldy(TOO_MUCH.to_owned()),
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            Fault::Unwieldy("aliases that unfold to too much".to_owned())
        }
        // The scanner's own limit, met before the budget's when brackets are opened without end.
        Error::ExternalMessage { msg, .. } if msg.contains("recursion limit") => {
            Fault::Unwieldy(TOO_MUCH.to_owned())
        }
        Error::ExternalMessage { msg, .. } => Fault::NotYaml(one_line(&msg)),
        other => {
            let text = other.render_with_formatter(&UserMessageFormatter);
            let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
            Fault::NotYaml(one_line(message))
        }
    }
}

/// An error is one line, whatever a file can make the parser say.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(usize, &str)> {
        split(text).into_iter().map(|document| (document.lines_before, document.text)).collect()
    }

    #[test]
    fn documents_are_cut_at_their_markers() {
        assert_eq!(cut(""), []);
        assert_eq!(cut("a: 1\n"), [(0, "a: 1\n")]);
        assert_eq!(cut("a: 1\n---\nb: 2\n"), [(0, "a: 1\n"), (1, "---\nb: 2\n")]);
        assert_eq!(cut("# c\n---\na: 1\n--- # x\nb: 2"), [(0, "# c\n---\na: 1\n"), (3, "--- # x\nb: 2")]);
        assert_eq!(cut("%YAML 1.2\n---\na: 1\n...\nb: 2\n"), [(0, "%YAML 1.2\n---\na: 1\n"), (4, "b: 2\n")]);
        assert_eq!(cut("---\n---\na: 1\n"), [(0, "---\n"), (1, "---\na: 1\n")]);
        assert_eq!(cut("a: 1\r\n---\r\nb: 2\r\n"), [(0, "a: 1\r\n"), (1, "---\r\nb: 2\r\n")]);
        assert_eq!(cut("a: |\n  ---\n----\n"), [(0, "a: |\n  ---\n----\n")]);
    }

    #[test]
    fn nothing_is_no_document() {
        for text in ["---\n", "# only this\n", "---\n# and this\n", "~\n", "null\n"] {
            for document in split(text) {
                assert!(parse(document).unwrap().is_none(), "{text:?}");
            }
        }
    }

    #[test]
    fn scalars_keep_their_spelling() {
        let text = "[&x 1.10, *x, 0x1F, no, 1e999, .nan, '5', \"a\\tb\", 12:30, ~, 007, -0]";
        let node = parse(split(text)[0]).unwrap().unwrap();
        let node::Content::List(items) = node.content else { panic!("{node:?}") };
        let found: Vec<String> = items.iter().map(Node::found).collect();
        assert_eq!(
            found.join(" "),
            r#""1.10" "1.10" "0x1F" "no" "1e999" ".nan" "5" "a\tb" "12:30" nothing "007" "-0""#
        );
    }

    #[test]
    fn a_document_knows_its_place_in_the_file() {
        let text = "a: 1\n---\n# ä\nö: [1,\n  2]\n";
        let node = parse(split(text)[1]).unwrap().unwrap();
        let node::Content::Mapping(entries) = node.content else { panic!("{node:?}") };
        let (key, value) = &entries[0];
        assert_eq!((key.position.line, key.position.column), (4, 1));
        assert_eq!((value.position.line, value.position.column), (4, 4));
        let node::Content::List(items) = &value.content else { panic!("{value:?}") };
        assert_eq!((items[1].position.line, items[1].position.column), (5, 3));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_cut_without_loss_and_read_or_refused(text in "([a-z:\\[\\]{}&*!|>'\"#%@,~. \r\n\t-]|---\n|\\PC){0,200}") {
            for document in split(&text) {
                proptest::prop_assert!(text.contains(document.text));
                let _ = parse(document);
            }
        }
    }
}
