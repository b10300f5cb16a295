//! What a pipeline takes from XSOAR packs: classifiers and mappers become computed columns, and
//! fields like those of `map`, which read these columns.

use std::collections::HashMap;
use std::sync::Arc;

use super::WrittenExpr;
use crate::config::model::{ExprText, Labels, MapSection, Pipeline, Source, XsoarClassify};
use crate::config::source_map::Spanned;
use crate::content::Content;
use crate::content::expressions::prepared;
use crate::content::text;
use crate::expr::ast::{Expr, Node};
use crate::expr::path::Path;
use crate::expr::typed::{Source as Input, Typed};
use crate::expr::value::Type;
use crate::expr::xsoar::model::{Argument, Place};
use crate::expr::xsoar::prepare::{Options, prepare};
use crate::expr::xsoar::prepared::Prepared;
use crate::ingest::computed::{Builder, Computed, Shape, When};

/// An expression of a pack, and the number of its computed column.
#[derive(Debug)]
pub struct Expression {
    id: u32,
    name: Arc<str>,
    prepared: Prepared,
    shape: Option<Shape>,
    /// It is for the field `occurred`.
    occurred: bool,
    /// The types whose incidents need it; `None`: all.
    targets: Vec<Option<Box<str>>>,
}

/// The table of a classifier that decides alone, and the type of what it does not have.
pub type Alone = (HashMap<Box<str>, u16>, Option<u16>);

/// What one source takes from packs.
#[derive(Debug, Default)]
pub struct Imported {
    expressions: Vec<Expression>,
    /// What is written for the same shape of value in sections of several types is one column.
    known: HashMap<(String, Option<Shape>, bool), usize>,
    /// Sections of fields; each field reads a computed column.
    pub sections: Vec<MapSection>,
    /// The computed column of the classifier's key.
    pub key: Option<Path>,
}

/// The classifier of a source: its own, else the pipeline's.
pub fn classifier<'p>(pipeline: &'p Pipeline, source: &'p Source) -> Option<&'p XsoarClassify> {
    source.xsoar_classify.as_ref().or(pipeline.classify.xsoar.as_ref())
}

/// Which attributes of a source's events become labels of incidents of a type.
pub fn labels(pipeline: &Pipeline, source: &Source, type_name: &str) -> Labels {
    let mapper = source.xsoar_map.as_ref().or(pipeline.xsoar_map.as_ref());
    match (pipeline.sink.labels, mapper) {
        (Labels::Mapper, Some(mapper)) => {
            let section = |target: &str| mapper.sections.iter().find(|section| section.target == target);
            // A type that the mapper does not know keeps everything.
            let wanted = section(type_name).or(section("*")).is_none_or(|section| section.labels);
            if wanted { Labels::Mapper } else { Labels::None }
        }
        (Labels::Mapper, None) => Labels::Unmapped,
        (written, _) => written,
    }
}

/// Prepares what a source takes from packs. Problems of expressions are those of `content check`:
/// an expression that is not usable fails on every event, and the incident lists its field.
pub fn read(pipeline: &Pipeline, source: &Source) -> Imported {
    let mut imported = Imported::default();
    let content = pipeline.content.as_deref();
    if let Some(classifier) = classifier(pipeline, source).filter(|classifier| !classifier.key.is_blank()) {
        let name = format!("{} (key)", classifier.id.value);
        imported.key = Some(imported.add(content, name, &classifier.key, None, None));
    }
    let Some(mapper) = source.xsoar_map.as_ref().or(pipeline.xsoar_map.as_ref()) else { return imported };
    for section in &mapper.sections {
        let mut fields = Vec::new();
        for entry in section.fields.iter().filter(|entry| !entry.argument.is_blank()) {
            let name = format!("{} / {} / {}", mapper.id.value, section.target, entry.field);
            let shape = if entry.field == "severity" { Shape::Severity } else { Shape::Field(entry.field_type) };
            let target = (section.target != "*").then(|| section.target.as_str().into());
            let path = imported.add(content, name, &entry.argument, Some(shape), target);
            let expr = Expr { node: Node::Path { path, quoted: false }, start: 0, end: 0 };
            let written = text::argument(&entry.argument, Place::Event);
            fields.push((Spanned::new(entry.field.clone(), entry.at), ExprText::without_source(&written, expr, entry.at)));
        }
        imported.sections.push(MapSection { target: Spanned::new(section.target.clone(), mapper.id.span), fields });
    }
    imported
}

impl Imported {
    fn add(&mut self, content: Option<&Content>, name: String, argument: &Argument, shape: Option<Shape>, target: Option<Box<str>>) -> Path {
        let id = self.expressions.len() as u32;
        let occurred = name.ends_with(" / occurred");
        let same = *self.known.entry((format!("{argument:?}"), shape, occurred)).or_insert(id as usize);
        if let Some(known) = self.expressions.get_mut(same) {
            known.targets.push(target);
            return Path::computed(known.id);
        }
        let (prepared, _) = match content {
            Some(content) => prepared(content, argument, Place::Event),
            None => prepare(argument, Place::Event, &Options::default()),
        };
        self.expressions.push(Expression { id, name: name.into(), prepared, shape, occurred, targets: vec![target] });
        Path::computed(id)
    }

    /// The key of a classifier, as `explain` shows it.
    pub fn written_key(&self, classifier: &XsoarClassify) -> Option<WrittenExpr> {
        let typed = Typed::input(Input::Event(self.key.clone()?), Type::Text);
        let key = text::argument(&classifier.key, Place::Event);
        Some(WrittenExpr { typed, text: format!("{}: {key}", classifier.id.value).into() })
    }

    /// Builds the columns. `code` gives the number of a type; `alone`: nothing but the classifier
    /// decides the type, so that a type's columns are computed for its rows only.
    pub fn build(
        &self,
        content: Option<Arc<Content>>,
        number: &mut dyn FnMut(&Path) -> usize,
        code: &dyn Fn(&str) -> Option<u16>,
        alone: Option<Alone>,
    ) -> Computed {
        let mut builder = Builder::new(number);
        let mut occurred = Vec::new();
        for expression in &self.expressions {
            let key = self.key.as_ref().and_then(Path::as_computed) == Some(expression.id);
            let mut codes: Vec<u16> = expression.targets.iter().flatten().filter_map(|target| code(target)).collect();
            codes.sort_unstable();
            codes.dedup();
            let when = match codes.as_slice() {
                _ if key => When::First,
                _ if expression.targets.contains(&None) => When::All,
                // No event becomes an incident of these types.
                [] => continue,
                _ => When::Types(codes),
            };
            let column = builder.add(expression.id, &expression.name, &expression.prepared, expression.shape, when);
            if expression.occurred {
                occurred.push(column);
            }
        }
        let mut computed = builder.finish();
        computed.occurred = occurred;
        computed.content = content;
        if let Some((table, default)) = alone {
            computed.table = Some(table.into_iter().collect());
            computed.default = default;
        }
        computed
    }
}
