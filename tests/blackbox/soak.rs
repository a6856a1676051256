//! A slice of the soak: see `tests/soak`.

#[path = "../soak/rounds.rs"]
mod rounds;

use rounds::Plan;

#[test]
fn every_page_of_a_lively_hour_tells_what_is_so() {
    std::thread::scope(|scope| {
        for seed in [1, 2] {
            scope.spawn(move || rounds::run(&Plan { seed, rounds: 25, nodes: 4, guests: 60 }));
        }
    });
}
