//! YAML text → JSON value and the line of every path. Reports duplicate keys and what JSON cannot
//! hold; knows nothing of what the config means.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use crate::error::Problem;
use crate::path::{Lines, join_index, join_key};
use crate::scalar;
use crate::syntax;

/// How deep lists and mappings may nest: far beyond any config, well within the stack of what walks them.
const MAX_DEPTH: usize = 64;

/// How many nodes aliases may add in all, so that nested anchors cannot grow without bound.
const MAX_ALIASED_NODES: usize = 100_000;

/// The text as a value. Only complete when `problems` is empty, but good enough to find more of them.
pub(crate) struct Tree {
    pub(crate) value: Value,
    pub(crate) lines: Lines,
    pub(crate) problems: Vec<Problem>,
}

/// Reads one YAML document, whose root is a mapping. An error means that the text cannot be read on.
pub(crate) fn read(text: &str) -> Result<Tree, Vec<Problem>> {
    let mut builder = Builder::default();
    let root = builder.read(text).and_then(|()| builder.take_root());
    let mut problems = builder.problems;
    match root {
        Ok(root) => {
            let mut lines = Lines::default();
            lines.insert(String::new(), root.line);
            let value = root.into_value("", &mut lines);
            Ok(Tree {
                value,
                lines,
                problems,
            })
        }
        Err(problem) => {
            problems.push(problem);
            Err(problems)
        }
    }
}

/// A value and the line on which it starts.
#[derive(Clone)]
struct Node {
    line: usize,
    /// Nodes in it, itself included.
    size: usize,
    /// Levels in it: 0 for a scalar.
    height: usize,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Clone)]
struct Entry {
    key: String,
    /// Line of the key, which is where a reader looks for it.
    line: usize,
    value: Node,
}

impl Node {
    fn new(line: usize, content: Content) -> Self {
        let children: Vec<&Self> = match &content {
            Content::Scalar(_) => Vec::new(),
            Content::List(items) => items.iter().collect(),
            Content::Mapping(entries) => entries.iter().map(|entry| &entry.value).collect(),
        };
        let size = 1 + children.iter().map(|child| child.size).sum::<usize>();
        let below = children.iter().map(|child| child.height).max().unwrap_or(0);
        let height = if matches!(content, Content::Scalar(_)) {
            0
        } else {
            below + 1
        };
        Self {
            line,
            size,
            height,
            content,
        }
    }

    fn into_value(self, path: &str, lines: &mut Lines) -> Value {
        match self.content {
            Content::Scalar(value) => value,
            Content::List(items) => {
                let items = items.into_iter().enumerate().map(|(index, item)| {
                    let path = join_index(path, index);
                    lines.insert(path.clone(), item.line);
                    item.into_value(&path, lines)
                });
                Value::Array(items.collect())
            }
            Content::Mapping(entries) => {
                let entries = entries.into_iter().map(|entry| {
                    let path = join_key(path, &entry.key);
                    lines.insert(path.clone(), entry.line);
                    (entry.key, entry.value.into_value(&path, lines))
                });
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

/// A list or mapping whose end has not been read yet.
struct Frame {
    line: usize,
    anchor: usize,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        /// The key whose value comes next, and its line.
        key: Option<(String, usize)>,
    },
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    stack: Vec<Frame>,
    /// Finished nodes by the parser's number for their anchor.
    anchors: HashMap<usize, Node>,
    aliased_nodes: usize,
    documents: usize,
    problems: Vec<Problem>,
}

impl Builder {
    fn read(&mut self, text: &str) -> Result<(), Problem> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| syntax::problem(text, &error))?;
            self.accept(event, span.start.line())?;
        }
        Ok(())
    }

    fn accept(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(_) => self.start_document(line),
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), line)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", line);
                self.open(line, anchor, Open::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", line);
                let (entries, key) = (Vec::new(), None);
                self.open(line, anchor, Open::Mapping { entries, key })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
            Event::Alias(id) => self.alias(id, line),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn start_document(&mut self, line: usize) -> Result<(), Problem> {
        self.documents += 1;
        if self.documents > 1 {
            let message =
                "a second YAML document starts here: keep one in a file, and remove this ---";
            return Err(problem(line, "", message));
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), Problem> {
        if self.expects_key() {
            self.key(text, style, line);
            return Ok(());
        }
        let value = scalar::resolve(text, style, tag).unwrap_or_else(|message| {
            self.report(line, message);
            Value::Null
        });
        self.finish(Node::new(line, Content::Scalar(value)), anchor);
        Ok(())
    }

    fn key(&mut self, text: &str, style: ScalarStyle, line: usize) {
        if text == "<<" && style == ScalarStyle::Plain {
            self.report(line, "merge keys (<<) are not supported: repeat the keys, or use an alias for the whole value");
        }
        if let Some(Frame {
            open: Open::Mapping { key, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = Some((text.to_owned(), line));
        }
    }

    fn open(&mut self, line: usize, anchor: usize, open: Open) -> Result<(), Problem> {
        if self.expects_key() {
            return Err(problem(
                line,
                &self.path(),
                "a key must be a plain text, not a list or a mapping",
            ));
        }
        self.check_depth(1, line)?;
        self.stack.push(Frame { line, anchor, open });
        Ok(())
    }

    fn close(&mut self) {
        if let Some(frame) = self.stack.pop() {
            let content = match frame.open {
                Open::List(items) => Content::List(items),
                Open::Mapping { entries, .. } => Content::Mapping(entries),
            };
            self.finish(Node::new(frame.line, content), frame.anchor);
        }
    }

    fn alias(&mut self, id: usize, line: usize) -> Result<(), Problem> {
        if self.expects_key() {
            return Err(problem(
                line,
                &self.path(),
                "a key must be a plain text, not an alias",
            ));
        }
        let Some(node) = self.anchors.get(&id) else {
            return Err(problem(
                line,
                &self.path(),
                "an alias cannot stand inside the value that it names",
            ));
        };
        self.aliased_nodes += node.size;
        if self.aliased_nodes > MAX_ALIASED_NODES {
            return Err(problem(
                line,
                &self.path(),
                "aliases make the config too large: write the values out",
            ));
        }
        let node = node.clone();
        self.check_depth(node.height, line)?;
        self.finish(node, 0);
        Ok(())
    }

    /// Puts a complete value where it belongs: into the list or mapping around it, or at the root.
    fn finish(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Mapping { entries, key }) => {
                let Some((key, line)) = key.take() else {
                    return;
                };
                match entries
                    .iter()
                    .find(|entry| entry.key == key)
                    .map(|entry| entry.line)
                {
                    None => entries.push(Entry {
                        key,
                        line,
                        value: node,
                    }),
                    Some(first) => {
                        let path = join_key(&self.path(), &key);
                        let message = format!("duplicate key: it is already set on line {first}");
                        self.problems.push(problem(line, &path, message));
                    }
                }
            }
        }
    }

    fn take_root(&mut self) -> Result<Node, Problem> {
        match self.root.take() {
            Some(root) if matches!(root.content, Content::Mapping(_)) => Ok(root),
            Some(root) if !matches!(root.content, Content::Scalar(Value::Null)) => Err(problem(
                root.line,
                "",
                "the config must be a mapping, with keys such as listeners: and routes: on its first level",
            )),
            _ => Err(Problem {
                line: None,
                path: String::new(),
                message: "the file is empty: it needs at least listeners: and routes:".to_owned(),
            }),
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, line: usize) {
        if tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && tag.suffix == expected)) {
            self.report(line, "YAML tags (!name) are not supported: remove the tag");
        }
    }

    fn check_depth(&self, more: usize, line: usize) -> Result<(), Problem> {
        if self.stack.len() + more > MAX_DEPTH {
            let message = format!("nested too deeply: at most {MAX_DEPTH} levels");
            return Err(problem(line, &self.path(), message));
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        let top = self.stack.last().map(|frame| &frame.open);
        matches!(top, Some(Open::Mapping { key: None, .. }))
    }

    fn report(&mut self, line: usize, message: &str) {
        self.problems.push(problem(line, &self.path(), message));
    }

    /// The path of what is being read.
    fn path(&self) -> String {
        self.stack
            .iter()
            .fold(String::new(), |path, frame| match &frame.open {
                Open::List(items) => join_index(&path, items.len()),
                Open::Mapping {
                    key: Some((key, _)),
                    ..
                } => join_key(&path, key),
                Open::Mapping { key: None, .. } => path,
            })
    }
}

fn problem(line: usize, path: &str, message: impl Into<String>) -> Problem {
    Problem {
        line: Some(line),
        path: path.to_owned(),
        message: message.into(),
    }
}
