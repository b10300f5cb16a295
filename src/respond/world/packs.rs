//! Owns what content packs say about the outside: the commands of their integrations, and scripts
//! that are not run here but can be answered for.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::{External, OnUnknown, World, library::Library};
use crate::config::source_map::SourceMap;
use crate::content::integration::Parameter;
use crate::content::{Body, Content};
use crate::respond::simulate::hints::Hints;

impl World {
    /// A world of packs in which nothing outside is there.
    pub fn of(content: Arc<Content>, files: &SourceMap) -> World {
        World { library: Library::of(&content, files), content: Some(content), ..World::default() }
    }

    /// Everything that packs declare can be called: somebody answers for it.
    pub fn declare_all(&mut self) {
        let Some(content) = self.content.clone() else { return };
        self.stand_in = true;
        for item in content.items.iter().filter(|item| content.in_window(item)) {
            match &item.body {
                Some(Body::Integration(integration)) => {
                    self.modules.push(
                        json!({ "name": format!("{}_instance_1", item.head.id), "brand": item.head.id, "state": "active", "category": integration.category }),
                    );
                    for command in &integration.commands {
                        let external =
                            self.externals.entry(command.name.to_lowercase()).or_insert_with(|| External { name: command.name.clone(), ..External::default() });
                        external.brands.push(item.head.id.clone());
                        // Simulations change nothing in the world, so nothing has to be asked.
                        external.on_unknown = OnUnknown::Retry;
                        external.outputs.extend(command.outputs.iter().cloned());
                        external.defaults.extend(defaults(&command.arguments));
                    }
                }
                Some(Body::Script(script)) if crate::respond::command::find(&item.head.name).is_none() => {
                    for name in [&item.head.name, &item.head.id] {
                        let external = self.externals.entry(name.to_lowercase()).or_insert_with(|| External { name: name.clone(), ..External::default() });
                        external.outputs.extend(script.outputs.iter().cloned());
                        external.defaults.extend(defaults(&script.arguments));
                    }
                }
                _ => {}
            }
        }
        // Playbooks ask for instances of integrations that no pack here has.
        let programs = self.library.all().into_iter().cloned().collect::<Vec<_>>();
        let mut brands: BTreeSet<String> = self.modules.iter().filter_map(|module| Some(module.get("brand")?.as_str()?.to_owned())).collect();
        for program in &programs {
            let compared = Hints::of(program).constants.remove("modules.brand").unwrap_or_default();
            for brand in compared.iter().filter_map(|brand| brand.as_str()) {
                if brands.insert(brand.to_owned()) {
                    self.modules.push(json!({ "name": format!("{brand}_instance_1"), "brand": brand, "state": "active" }));
                }
            }
        }
        // A brand that does not have a command here may have it in another version.
        for external in self.externals.values_mut() {
            external.brands.clear();
        }
    }
}

fn defaults(parameters: &[Parameter]) -> impl Iterator<Item = (String, String)> + '_ {
    parameters.iter().filter_map(|parameter| Some((parameter.name.clone(), parameter.default.clone()?)))
}
