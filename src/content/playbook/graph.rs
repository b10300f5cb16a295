//! Owns the checks of a playbook's graph: where it starts, edges that lead nowhere, circles,
//! tasks that nothing leads to, labels that no edge has.

use std::collections::HashMap;

use crate::config::read::shortened;
use crate::content::read::Reader;

use super::Playbook;
use super::task::Action;

/// Reports what is wrong with the graph; false if the playbook cannot run for it.
pub fn check(playbook: &Playbook, reader: &mut Reader<'_>) -> bool {
    let index: HashMap<&str, usize> = playbook.tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
    let Some(&start) = index.get(playbook.start.value.as_str()) else {
        let message = format!("`starttaskid` is `{}`, and there is no such task", shortened(&playbook.start.value));
        reader.error("dangling", message, playbook.start.span);
        return false;
    };
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); playbook.tasks.len()];
    let mut usable = true;
    for (task, edges) in playbook.tasks.iter().zip(&mut edges) {
        for target in task.next.iter().flat_map(|(_, targets)| targets) {
            match index.get(target.value.as_str()) {
                Some(&at) => edges.push(at),
                None => {
                    let message = format!("task `{}` leads to task `{}`, which is not there", shortened(&task.id), shortened(&target.value));
                    reader.error("dangling", message, target.span);
                    usable = false;
                }
            }
        }
    }
    unreached(playbook, start, &edges, reader);
    circles(playbook, &edges, reader);
    labels(playbook, reader);
    usable
}

fn unreached(playbook: &Playbook, start: usize, edges: &[Vec<usize>], reader: &mut Reader<'_>) {
    let mut reached = vec![false; edges.len()];
    let mut stack = vec![start];
    while let Some(at) = stack.pop() {
        let Some(seen) = reached.get_mut(at) else { continue };
        if !std::mem::replace(seen, true) {
            stack.extend(edges.get(at).into_iter().flatten());
        }
    }
    for (task, _) in playbook.tasks.iter().zip(&reached).filter(|(_, reached)| !**reached) {
        reader.warn("unreached", format!("nothing leads to task `{}`", shortened(&task.id)), task.span);
    }
}

/// Takes tasks away that nothing leads to any more; what stays stands in a circle or behind one.
fn circles(playbook: &Playbook, edges: &[Vec<usize>], reader: &mut Reader<'_>) {
    let mut before = vec![0_usize; edges.len()];
    for target in edges.iter().flatten() {
        if let Some(count) = before.get_mut(*target) {
            *count += 1;
        }
    }
    let mut free: Vec<usize> = before.iter().enumerate().filter(|(_, count)| **count == 0).map(|(at, _)| at).collect();
    while let Some(at) = free.pop() {
        for target in edges.get(at).into_iter().flatten() {
            if let Some(count) = before.get_mut(*target) {
                *count -= 1;
                if *count == 0 {
                    free.push(*target);
                }
            }
        }
    }
    let left = playbook.tasks.iter().zip(&before).find(|(_, count)| **count > 0);
    if let Some((task, _)) = left {
        reader.warn("circle", format!("task `{}` stands in a circle of tasks, or behind one: they wait for each other", shortened(&task.id)), task.span);
    }
}

/// An edge whose label nothing yields is never taken.
fn labels(playbook: &Playbook, reader: &mut Reader<'_>) {
    for task in &playbook.tasks {
        let yielded: Vec<String> = match &task.action {
            Action::Condition(branches) => branches.iter().map(|branch| branch.label.value.to_lowercase()).collect(),
            _ => continue,
        };
        for (label, _) in &task.next {
            let name = label.value.to_lowercase();
            if !name.starts_with('#') && !yielded.contains(&name) {
                let message = format!("no condition of task `{}` has the label `{}`: that way is never taken", shortened(&task.id), shortened(&label.value));
                reader.warn("dangling", message, label.span);
            }
        }
    }
}
