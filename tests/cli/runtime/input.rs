//! Trials that damage their own files.

use super::world::World;

#[test]
fn a_trial_that_replaces_its_records_file_loses_none_of_its_reports() {
    let script = "
        for i in 1 2 3; do echo \"{\\\"loss\\\": 0.$i}\" >> $SWATH_RECORDS; done
        sleep 0.5
        echo '{\"loss\": 0.05}' > new
        mv new $SWATH_RECORDS
        sleep 0.5
        echo '{\"loss\": 0.9}' >> $SWATH_RECORDS
    ";
    let world = World::new(1, "[resources]\njobs = 1", script);
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(world.column("loss"), ["0.05"]);
    assert_eq!(
        world.column("step"),
        ["5"],
        "every report before and after it"
    );
    assert!(
        ended.err.contains("records.jsonl") && ended.err.contains("replaced"),
        "{}",
        ended.err
    );
}

#[test]
fn a_trial_that_removes_its_own_folder_fails_or_ends_and_the_others_go_on() {
    let script = "echo \"{\\\"loss\\\": $1}\" >> $SWATH_RECORDS\nsleep 0.2\n[ $SWATH_TRIAL = 2 ] && rm -rf $SWATH_TRIAL_DIR\nexit 0\n";
    let world = World::new(4, "[resources]\njobs = 1", script);
    let ended = world.run();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(
        world.column("state"),
        vec!["complete"; 4],
        "its report was taken in before"
    );
}
