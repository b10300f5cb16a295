//! Playbooks: all of the packs, in simulation.

use std::sync::Arc;

use catchment::config::Diagnostics;
use catchment::content;
use catchment::respond::simulate::survey::Survey;
use catchment::respond::world::World;

use crate::decode_oracle::shared;

#[test]
fn all_playbooks_of_the_packs_end_or_wait_and_most_tasks_are_reached() {
    let Some(dir) = shared("xsoar/content/Packs") else { return };
    let mut out = Diagnostics::with_room(200_000);
    let content = Arc::new(content::load(&[dir], None, &mut out));
    let mut world = World::of(content, out.files());
    world.declare_all();
    let survey = Survey::run(&world, 20, |_| {});
    let (reached, tasks) = survey.reached();
    let (done, runs) = (survey.count(&["completed", "waiting"]), survey.runs());
    eprintln!("{} playbooks, {runs} runs, {done} done or waiting; {reached} of {tasks} tasks reached", survey.rows.len());
    assert!(survey.rows.len() > 200);
    assert_eq!(
        survey.count(&["endless", "stuck"]),
        0,
        "{:?}",
        survey.rows.iter().filter(|row| row.ended.contains_key("endless") || row.ended.contains_key("stuck")).map(|row| &row.playbook).collect::<Vec<_>>()
    );
    assert!(done * 10 >= runs * 9, "{:?}", survey.reasons());
    assert!(reached * 10 >= tasks * 8);
}
