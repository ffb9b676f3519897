//! Parameters of analysers, as the command line has them: `--set threshold=0.5`, `--set people.threshold=0.5`.
//!
//! Here they are texts. Which ones there are, and of which types, Python knows, and says.

use graph::BoxError;

use super::{Analysis, blocks, is_name};

/// Gives each setting to the analysis that it is for; a later one replaces an earlier one.
///
/// # Errors
///
/// If one isn't written as it should be, or it isn't clear whose it is.
pub fn set(analyses: &mut [Analysis], settings: &[String]) -> Result<(), BoxError> {
    let names = blocks(analyses);
    for setting in settings {
        let failed = |why: String| format!("set {setting:?}: {why}");
        let Some((key, value)) = setting.split_once('=') else {
            return Err(failed("it is to be NAME=VALUE, or BLOCK.NAME=VALUE".to_owned()).into());
        };
        let (block, name) = key.rsplit_once('.').map_or((None, key), |(block, name)| (Some(block), name));
        let index = match block {
            _ if !is_name(name) => return Err(failed(format!("{name:?} is no name of a parameter")).into()),
            Some(block) => names.iter().position(|name| name == block),
            None if names.len() == 1 => Some(0),
            None => {
                let why = format!("say whose it is, of {}, as in {}.{name}={value}", names.join(", "), names[0]);
                return Err(failed(why).into());
            }
        };
        let Some(index) = index else {
            return Err(failed(format!("there is no such analyser; there are {}", names.join(", "))).into());
        };
        analyses[index].parameters.insert(name.to_owned(), value.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn analysis(file: &str) -> Analysis {
        Analysis { file: file.into(), name: None, parameters: BTreeMap::new() }
    }

    fn told(files: &[&str], settings: &[&str]) -> Result<Vec<BTreeMap<String, String>>, String> {
        let mut analyses: Vec<Analysis> = files.iter().map(|file| analysis(file)).collect();
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        set(&mut analyses, &settings).map_err(|error| error.to_string())?;
        Ok(analyses.into_iter().map(|analysis| analysis.parameters).collect())
    }

    fn map(items: &[(&str, &str)]) -> BTreeMap<String, String> {
        items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_setting_reaches_the_analyser_that_it_is_for() {
        assert_eq!(told(&["a.py"], &["x=1", "a.y==.", "x="]), Ok(vec![map(&[("x", ""), ("y", "=.")])]));
        let two = told(&["a.py", "b.py", "other/a.py"], &["b.x=0.5", "a-2.x=2"]);
        assert_eq!(
            told(&["motion.py"], &["motion-2.x=1"]),
            Ok(vec![map(&[("x", "1")])]),
            "there is a block of that name"
        );
        assert_eq!(two, Ok(vec![map(&[]), map(&[("x", "0.5")]), map(&[("x", "2")])]));
    }

    #[test]
    fn one_that_is_for_nobody_says_who_there_is() {
        let says = |files: &[&str], setting: &str| told(files, &[setting]).unwrap_err();
        assert!(says(&["a.py"], "x").contains("NAME=VALUE"));
        assert!(says(&["a.py"], "a.b-c=1").contains("\"b-c\" is no name"));
        assert!(says(&["a.py"], "=1").contains("is no name"));
        assert!(says(&["a.py", "b.py"], "x=1").contains("of a, b, as in a.x=1"));
        assert!(says(&["a.py", "b.py"], "c.x=1").contains("there are a, b"));
    }
}
