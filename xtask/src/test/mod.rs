//! `cargo xtask test`: everything that must hold, in steps that fail fast.

mod interrupts;
mod machine;
mod steps;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use self::steps::{STEPS, Step};
use crate::{Outcome, target, temporary};

/// Runs the named steps, or all; stops at the first that fails. The last line says how many passed and failed.
pub fn run(arguments: &[String]) -> Outcome {
    if arguments == ["--list"] {
        STEPS.iter().for_each(|step| println!("{:8} {}", step.name, step.what));
        return Ok(());
    }
    let chosen = choose(arguments)?;
    let needs: BTreeSet<_> = chosen.iter().flat_map(|step| step.needs).copied().collect();
    machine::prepare(&needs)?;
    let _claim = target::claim()?;
    let _temporary = temporary::Folder::create()?;
    interrupts::hear()?;
    let (mut passed, begun) = (0, Instant::now());
    for step in chosen {
        println!("\n=== {}: {}", step.name, step.what);
        let start = Instant::now();
        if let Err(error) = (step.run)() {
            println!("=== {} failed after {}: {error}", step.name, seconds(start.elapsed()));
            println!("{passed} passed, 1 failed");
            return Err(format!(
                "step `{0}` failed; run it alone by `cargo xtask test {0}`, its cause is above",
                step.name
            )
            .into());
        }
        println!("=== {} passed in {}", step.name, seconds(start.elapsed()));
        passed += 1;
    }
    println!("\nAll of it took {}.", seconds(begun.elapsed()));
    println!("{passed} passed, 0 failed");
    Ok(())
}

/// The steps of these names in their usual order; all, if there are no names.
fn choose(names: &[String]) -> Outcome<Vec<&'static Step>> {
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        return Err(format!("there is no step `{unknown}`; there are {}", known.join(", ")).into());
    }
    Ok(STEPS.iter().filter(|step| names.is_empty() || names.iter().any(|name| name == step.name)).collect())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name_and_keep_their_order() {
        let names = |chosen: &[&str]| -> Vec<&str> {
            let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
            choose(&chosen).unwrap().iter().map(|step| step.name).collect()
        };
        assert_eq!(names(&["unit", "fmt"]), ["fmt", "unit"]);
        assert_eq!(names(&[]).len(), STEPS.len());
        let told = choose(&["unti".to_owned()]).err().unwrap().to_string();
        assert!(told.contains("`unti`") && told.contains("unit"), "{told}");
    }
}
